"""Load and run a SavedModel through TensorFlow's C API, without importing TensorFlow (`c_api`). Fork before loading,
never after.
"""

import ctypes
import functools
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serving.c_api import Output, RuntimeFailure, Status, functions, package_file
from serving.tensors import DTYPES, Spec, Value, check, to_array, to_tensor


class _Signature(NamedTuple):
    """A signature, or some outputs of it alone, and what each call of it needs."""

    inputs: list[Spec]
    outputs: list[Spec]
    feeds: Any  # an array of Output for each
    fetches: Any


class Session:
    """A loaded SavedModel; `run` may be called from many threads at once. Runs on the CPU.

    Args:
        directory: the SavedModel, the folder that holds `saved_model.pb`.
        signatures: the model's `signature_table`, made when it was exported.
        op_libraries: shared libraries of custom operations to load first, such as `libraries_of` names.
        threads: threads within an operation; all cores when None. TensorFlow has one pool of them in a process, so
            the first session of the process decides. Operations of one call run one after the other in its caller's
            thread.

    Raises:
        RuntimeFailure: the model or a library is missing or damaged, the model needs an operation that nobody
            registered, or the table names a tensor that the model does not have, or has of another dtype.
        ValueError: `threads` is not 1 to 127, or the table names a dtype that this runtime does not carry.
    """

    def __init__(
        self,
        directory: Path,
        signatures: Mapping[str, Any],
        *,
        op_libraries: Sequence[Path] = (),
        threads: int | None = None,
    ):
        config = _config(threads)
        _require_files(Path(directory))
        for library in op_libraries:
            _load_operations(Path(library))
        self._session: int | None = None
        self._free = lambda: None
        self._calls = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        graph = functions().TF_NewGraph()
        try:
            self._session = _load(Path(directory), graph, config)
            # a session that nobody holds any more gives its memory back too; when the process ends, the system does
            self._free = weakref.finalize(self, _delete, self._session)
            self._free.atexit = False
            self._signatures = {name: _signature(graph, name, table) for name, table in signatures.items()}
            self._parts: dict[tuple[str, frozenset[str]], _Signature] = {}  # with those outputs alone
        except BaseException:
            self.close()
            raise
        finally:
            functions().TF_DeleteGraph(graph)  # gives up our share only: the graph lives as long as its session

    def run(
        self, signature: str, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Run one signature.

        Args:
            signature: its name.
            inputs: an array for each of its inputs. Strings are arrays of str (encoded as UTF-8) or bytes;
                numbers are cast where numpy calls that safe, so int32 to int64 but not back.
            outputs: the names of those wanted, all of them when None. The others are not copied, but computed all the
                same: TensorFlow keeps a signature whole. The first call for each set of names takes as long as the
                first call of all, since TensorFlow prepares a graph for it.

        Returns:
            An array for each output; strings as object arrays of bytes.

        Raises:
            ValueError: the signature, an input or an output is not what the table says; one line that names it.
            RuntimeFailure: TensorFlow refused or failed, or the session is closed.
        """
        if signature not in self._signatures:
            raise ValueError(f"signature {signature!r}: found no such name, expected one of {[*self._signatures]}")
        found = self._signatures[signature] if outputs is None else self._part(signature, outputs)
        values = _check_inputs(signature, found.inputs, inputs)
        with self._lock:
            if self._session is None:
                raise RuntimeFailure("FAILED_PRECONDITION", "the session is closed")
            session = self._session
            self._calls += 1
        try:
            return _run(session, found, values)
        finally:
            with self._lock:
                self._calls -= 1
                if self._session is None:
                    self._idle.notify_all()

    def close(self) -> None:
        """Wait for the calls under way, then give the model's memory back. A second call does nothing."""
        with self._lock:
            self._session = None
            self._idle.wait_for(lambda: self._calls == 0)
        self._free()

    def _part(self, signature: str, outputs: Sequence[str]) -> _Signature:
        key = signature, frozenset(outputs)
        if key not in self._parts:
            self._parts[key] = _wanted(signature, self._signatures[signature], outputs)
        return self._parts[key]

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _delete(session: int) -> None:
    with Status() as status:
        functions().TF_CloseSession(session, status)
        functions().TF_DeleteSession(session, status)


def signature_table(directory: Path) -> dict[str, Any]:
    """The signatures of a SavedModel as plain data, for a manifest. Imports TensorFlow: for export only.

    Returns:
        `{signature: {"inputs": {name: {"tensor", "dtype", "shape"}}, "outputs": {...}}}`. A dimension of any
        size is None, and so is the shape of a tensor of any rank.

    Raises:
        ValueError: not one graph is tagged `serve`, or a signature holds a ragged or sparse tensor.
    """
    from tensorflow import dtypes  # type: ignore[attr-defined]
    from tensorflow.core.protobuf import saved_model_pb2

    def row(name: str, info: Any) -> dict[str, Any]:
        if info.WhichOneof("encoding") != "name":
            raise ValueError(f"tensor {name!r}: found {info.WhichOneof('encoding')}, expected a dense tensor")
        shape = [dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim]
        return {
            "tensor": info.name,
            "dtype": dtypes.as_dtype(info.dtype).name,
            "shape": None if info.tensor_shape.unknown_rank else shape,
        }

    model = saved_model_pb2.SavedModel.FromString((Path(directory) / "saved_model.pb").read_bytes())
    graphs = [graph for graph in model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if len(graphs) != 1:
        raise ValueError(f"{directory}: found {len(graphs)} graphs tagged 'serve', expected 1")
    return {
        signature: {
            kind: {name: row(name, info) for name, info in sorted(getattr(definition, kind).items())}
            for kind in ("inputs", "outputs")
        }
        for signature, definition in sorted(graphs[0].signature_def.items())
        if not signature.startswith("__saved_model")  # the initialiser, which the loader runs
    }


def scann_library() -> Path | None:
    """ScaNN's operations as a shared library, or None where ScaNN is not installed. Does not import it."""
    return package_file("scann", "scann_ops/cc/_scann_ops.so")


def libraries_of(searcher: str) -> list[Path]:
    """What a graph behind a searcher of this kind needs loaded first; nothing where that is not installed."""
    return [library] if searcher == "scann" and (library := scann_library()) else []


@functools.cache
def _load_operations(library: Path) -> None:
    with Status() as status:
        handle = functions().TF_LoadLibrary(os.fsencode(library), status)
    functions().TF_DeleteLibraryHandle(handle)  # the operations stay registered


def _require_files(directory: Path) -> None:
    # Without its variables a model loads, and fails only when it is used.
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (directory / name).is_file():
            raise RuntimeFailure("NOT_FOUND", f"{directory} is not a whole SavedModel: it has no {name}")


def _config(threads: int | None) -> bytes:
    """A ConfigProto, spelled out by hand: its generated class would bring in all of TensorFlow."""
    # device_count {"GPU": 0}: a session takes all of a GPU's memory, and two versions must fit side by side.
    config = b"\x0a\x07\x0a\x03GPU\x10\x00"
    # graph_options.rewrite_options: once, and "pruning" and "function" alone. The other rewriters take a quarter of the
    # time until the first answer, and later answers take as long without. Where none inlines functions, a call that
    # fails leaves 3 KB behind.
    config += b"\x52\x19\x52\x17\x60\x01\xa2\x06\x07pruning\xa2\x06\x08function"
    # inter_op_parallelism_threads: -1, which runs a call in its caller's thread. Operations here take microseconds,
    # handing them to another thread as many; requests are what runs in parallel.
    config += b"\x28" + b"\xff" * 9 + b"\x01"
    if threads is None:
        return config
    if not 1 <= threads <= 127:  # what a varint holds in one byte
        raise ValueError(f"threads: found {threads}, expected 1 to 127")
    return config + bytes([2 << 3, threads])  # intra_op_parallelism_threads


def _load(directory: Path, graph: int, config: bytes) -> int:
    api = functions()
    options = api.TF_NewSessionOptions()
    try:
        with Status() as status:
            api.TF_SetConfig(options, config, len(config), status)
        with Status() as status:
            tags = (ctypes.c_char_p * 1)(b"serve")
            return api.TF_LoadSessionFromSavedModel(
                options, None, os.fsencode(directory), tags, len(tags), graph, None, status
            )
    finally:
        api.TF_DeleteSessionOptions(options)


def _signature(graph: int, name: str, table: Mapping[str, Any]) -> _Signature:
    """Read one signature of a table and find its tensors in the graph."""

    def read(kind: str) -> tuple[list[Spec], Any]:
        specs, outputs = [], []
        for tensor, row in table[kind].items():
            if row["dtype"] not in DTYPES:
                raise ValueError(f"signature {name!r}, {tensor!r}: found {row['dtype']}, expected one of {[*DTYPES]}")
            shape = None if row["shape"] is None else tuple(row["shape"])
            specs.append(Spec(f"signature {name!r}, input {tensor!r}", tensor, row["dtype"], shape))
            outputs.append(_find(graph, row["tensor"], row["dtype"]))
        return specs, (Output * len(outputs))(*outputs)

    (inputs, feeds), (outputs, fetches) = read("inputs"), read("outputs")
    return _Signature(inputs, outputs, feeds, fetches)


def _wanted(name: str, signature: _Signature, outputs: Sequence[str]) -> _Signature:
    """The signature with some of its outputs alone, in its own order. Raises: ValueError."""
    names = [spec.name for spec in signature.outputs]
    if not outputs or not set(outputs) <= set(names):
        raise ValueError(f"signature {name!r}: found outputs {[*outputs]}, expected some of {sorted(names)}")
    places = [place for place, one in enumerate(names) if one in outputs]
    fetches = (Output * len(places))(*(signature.fetches[place] for place in places))
    return signature._replace(outputs=[signature.outputs[place] for place in places], fetches=fetches)


def _find(graph: int, tensor: str, dtype: str) -> Output:
    name, _, index = tensor.partition(":")
    operation = functions().TF_GraphOperationByName(graph, name.encode())
    if not operation or int(index or 0) >= functions().TF_OperationNumOutputs(operation):
        raise RuntimeFailure("NOT_FOUND", f"the signatures name the tensor {tensor!r}, which the model lacks")
    found = Output(operation, int(index or 0))
    if functions().TF_OperationOutputType(found) != DTYPES[dtype]:  # numbers read as texts would point anywhere
        raise RuntimeFailure("INVALID_ARGUMENT", f"the signatures call {tensor!r} {dtype}, the model does not")
    return found


def _check_inputs(signature: str, expected: list[Spec], inputs: Mapping[str, Any]) -> list[Value]:
    names = {spec.name for spec in expected}
    if names != inputs.keys():
        raise ValueError(f"signature {signature!r}: found inputs {sorted(inputs)}, expected {sorted(names)}")
    return [check(spec, inputs[spec.name]) for spec in expected]


def _run(session: int, signature: _Signature, values: list[Value]) -> dict[str, np.ndarray]:
    api = functions()
    fed = (ctypes.c_void_p * len(values))()
    fetched = (ctypes.c_void_p * len(signature.outputs))()
    try:
        for position, value in enumerate(values):
            fed[position] = to_tensor(value)
        with Status() as status:
            api.TF_SessionRun(
                *(session, None, signature.feeds, fed, len(fed), signature.fetches, fetched, len(fetched)),
                *(None, 0, None, status),
            )
        return {
            spec.name: to_array(tensor, spec.dtype) for spec, tensor in zip(signature.outputs, fetched, strict=True)
        }
    finally:
        for tensor in (*fed, *fetched):
            if tensor:
                api.TF_DeleteTensor(tensor)  # with its strings, unless another tensor shares them
