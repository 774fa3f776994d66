"""Load and run a SavedModel through TensorFlow's C API, without importing TensorFlow.

Importing TensorFlow costs seconds and hundreds of megabytes; the server needs only the loader and the
session, which the installed package also offers as C symbols. Fork before loading, never after: TensorFlow's
threads do not survive a fork.
"""

import ctypes
import functools
import importlib.util
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from towers.quiet import quiet

# TF_Code and TF_DataType, numbered as in tensorflow/c/tf_status.h and tf_datatype.h.
# fmt: off
_CODES = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
]
DTYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "string": 7, "int64": 9, "bool": 10}
_DTYPE_NAMES = {code: name for name, code in DTYPES.items()}
_STRING_BYTES = 24  # sizeof(TF_TString)

# The C functions: the result, then the arguments, in the letters of _LETTERS. Long calls let other Python
# threads run. Short ones keep the lock: a request makes hundreds of them, and a thread that gives the lock up
# may wait milliseconds to get it back.
_LETTERS = {"v": None, "p": ctypes.c_void_p, "s": ctypes.c_char_p, "i": ctypes.c_int, "l": ctypes.c_int64}
_LONG_CALLS = {
    "TF_LoadLibrary": "psp", "TF_LoadSessionFromSavedModel": "pppspippp", "TF_SessionRun": "vppppippipipp",
    "TF_CloseSession": "vpp", "TF_DeleteSession": "vpp",
}
_SHORT_CALLS = {
    "TF_NewStatus": "p", "TF_GetCode": "ip", "TF_Message": "sp", "TF_DeleteStatus": "vp",
    "TF_DeleteLibraryHandle": "vp", "TF_NewGraph": "p", "TF_DeleteGraph": "vp",
    "TF_GraphOperationByName": "pps", "TF_OperationNumOutputs": "ip",
    "TF_NewSessionOptions": "p", "TF_SetConfig": "vpslp", "TF_DeleteSessionOptions": "vp",
    "TF_AllocateTensor": "pipil", "TF_DeleteTensor": "vp", "TF_TensorData": "pp", "TF_TensorType": "ip",
    "TF_TensorByteSize": "lp", "TF_NumDims": "ip", "TF_Dim": "lpi",
    "TF_StringCopy": "vpsl", "TF_StringGetDataPointer": "pp", "TF_StringGetSize": "lp",
}
# fmt: on


class RuntimeFailure(RuntimeError):
    """What TensorFlow answered instead of a result, in one line: `NOT_FOUND: Op type not registered ...`."""

    def __init__(self, code: str, message: str):
        self.code = code
        self.message = " ".join(message.split())
        super().__init__(f"{self.code}: {self.message}")


class _Output(ctypes.Structure):
    """TF_Output: one output of one operation of the graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Tensor(NamedTuple):
    """One row of a signature table. A dimension of None has any size, a shape of None any rank."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


class _Signature(NamedTuple):
    inputs: list[_Tensor]
    outputs: list[_Tensor]
    feeds: Any  # an array of _Output for each
    fetches: Any


class _Value(NamedTuple):
    """A checked input: strings as a flat list of bytes, anything else as an array in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: Any


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
            registered, or the table names a tensor that the model does not have.
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
        self._condition = threading.Condition()
        graph = _api().TF_NewGraph()
        try:
            self._session = _load(Path(directory), graph, config)
            # a session that nobody holds any more gives its memory back too; when the process ends, the system does
            self._free = weakref.finalize(self, _delete, self._session)
            self._free.atexit = False
            self._signatures = {name: _signature(graph, name, table) for name, table in signatures.items()}
        except BaseException:
            self.close()
            raise
        finally:
            _api().TF_DeleteGraph(graph)  # gives up our share only: the graph lives as long as its session

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
        found = _wanted(signature, self._signatures[signature], outputs)
        values = _check_inputs(signature, found.inputs, inputs)
        with self._condition:
            if self._session is None:
                raise RuntimeFailure("FAILED_PRECONDITION", "the session is closed")
            session = self._session
            self._calls += 1
        try:
            return _run(session, found, values)
        finally:
            with self._condition:
                self._calls -= 1
                self._condition.notify_all()

    def close(self) -> None:
        """Wait for the calls under way, then give the model's memory back. A second call does nothing."""
        with self._condition:
            self._session = None
            self._condition.wait_for(lambda: self._calls == 0)
        self._free()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _delete(session: int) -> None:
    with _status() as status:
        _api().TF_CloseSession(session, status)
        _api().TF_DeleteSession(session, status)


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
    return _library("scann", "scann_ops/cc/_scann_ops.so")


def libraries_of(searcher: str) -> list[Path]:
    """What a graph behind a searcher of this kind needs loaded first; nothing where that is not installed."""
    return [library] if searcher == "scann" and (library := scann_library()) else []


def _library(package: str, name: str) -> Path | None:
    """A file of an installed package. Looking a top-level package up does not import it."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((Path(folder, name) for folder in folders or () if Path(folder, name).is_file()), None)


@functools.cache
def _api() -> SimpleNamespace:
    """The C functions. Loads TensorFlow's libraries on the first call."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read while loading; errors come as a status
    path = _library("tensorflow", "libtensorflow_cc.so.2")
    if path is None:
        raise RuntimeFailure("NOT_FOUND", "TensorFlow is not installed, or has no libtensorflow_cc.so.2")
    # Not RTLD_GLOBAL: what it brings along exports an SSL of its own, and Python's hashlib would crash on it.
    libraries = ((ctypes.CDLL(str(path)), _LONG_CALLS), (ctypes.PyDLL(str(path)), _SHORT_CALLS))
    quiet(libraries[0][0])
    api = SimpleNamespace()
    for library, calls in libraries:
        for name, letters in calls.items():
            function = getattr(library, name)
            function.restype, *function.argtypes = (_LETTERS[letter] for letter in letters)
            setattr(api, name, function)
    return api


@contextmanager
def _status() -> Iterator[int]:
    """A TF_Status for one call; raises RuntimeFailure if the call left an error in it."""
    api = _api()
    status = api.TF_NewStatus()
    try:
        yield status
        code = api.TF_GetCode(status)
        if code:
            name = _CODES[code] if code < len(_CODES) else f"CODE_{code}"
            raise RuntimeFailure(name, api.TF_Message(status).decode(errors="replace"))
    finally:
        api.TF_DeleteStatus(status)


@functools.cache
def _load_operations(library: Path) -> None:
    with _status() as status:
        handle = _api().TF_LoadLibrary(os.fsencode(library), status)
    _api().TF_DeleteLibraryHandle(handle)  # the operations stay registered


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
    api = _api()
    options = api.TF_NewSessionOptions()
    try:
        with _status() as status:
            api.TF_SetConfig(options, config, len(config), status)
        with _status() as status:
            tags = (ctypes.c_char_p * 1)(b"serve")
            return api.TF_LoadSessionFromSavedModel(
                options, None, os.fsencode(directory), tags, len(tags), graph, None, status
            )
    finally:
        api.TF_DeleteSessionOptions(options)


def _signature(graph: int, name: str, table: Mapping[str, Any]) -> _Signature:
    """Read one signature of a table and find its tensors in the graph."""

    def read(kind: str) -> tuple[list[_Tensor], Any]:
        tensors, outputs = [], []
        for tensor, row in table[kind].items():
            if row["dtype"] not in DTYPES:
                raise ValueError(f"signature {name!r}, {tensor!r}: found {row['dtype']}, expected one of {[*DTYPES]}")
            shape = None if row["shape"] is None else tuple(row["shape"])
            tensors.append(_Tensor(tensor, row["dtype"], shape))
            outputs.append(_find(graph, row["tensor"]))
        return tensors, (_Output * len(outputs))(*outputs)

    (inputs, feeds), (outputs, fetches) = read("inputs"), read("outputs")
    return _Signature(inputs, outputs, feeds, fetches)


def _wanted(name: str, signature: _Signature, outputs: Sequence[str] | None) -> _Signature:
    """The signature with some of its outputs alone, in its own order. Raises: ValueError."""
    if outputs is None:
        return signature
    names = [tensor.name for tensor in signature.outputs]
    if not outputs or not set(outputs) <= set(names):
        raise ValueError(f"signature {name!r}: found outputs {[*outputs]}, expected some of {sorted(names)}")
    places = [place for place, one in enumerate(names) if one in outputs]
    fetches = (_Output * len(places))(*(signature.fetches[place] for place in places))
    return signature._replace(outputs=[signature.outputs[place] for place in places], fetches=fetches)


def _find(graph: int, tensor: str) -> _Output:
    name, _, index = tensor.partition(":")
    operation = _api().TF_GraphOperationByName(graph, name.encode())
    if not operation or int(index or 0) >= _api().TF_OperationNumOutputs(operation):
        raise RuntimeFailure("NOT_FOUND", f"the signatures name the tensor {tensor!r}, which the model lacks")
    return _Output(operation, int(index or 0))


def _check_inputs(signature: str, expected: list[_Tensor], inputs: Mapping[str, Any]) -> list[_Value]:
    names = {tensor.name for tensor in expected}
    if names != set(inputs):
        raise ValueError(f"signature {signature!r}: found inputs {sorted(inputs)}, expected {sorted(names)}")
    return [_check(f"signature {signature!r}, input {t.name!r}", t, np.asarray(inputs[t.name])) for t in expected]


def _check(where: str, expected: _Tensor, array: np.ndarray) -> _Value:
    shape = expected.shape
    if shape is not None and (
        len(shape) != array.ndim or any(want not in (None, size) for want, size in zip(shape, array.shape, strict=True))
    ):
        raise ValueError(f"{where}: found shape {list(array.shape)}, expected {list(shape)}")
    if expected.dtype == "string" and array.dtype.kind in "OUST":
        return _Value("string", array.shape, as_utf8(where, array))
    if expected.dtype == "string" or not np.can_cast(array.dtype, expected.dtype, "safe"):
        raise ValueError(f"{where}: found dtype {array.dtype}, expected {expected.dtype}")
    return _Value(expected.dtype, array.shape, np.asarray(array, expected.dtype, order="C"))


def as_utf8(where: str, texts: np.ndarray) -> list[bytes]:
    """Texts of any shape, str or bytes, one after the other. Raises: ValueError, which says `where`."""
    try:
        return [value if isinstance(value, bytes) else str.encode(value) for value in texts.ravel().tolist()]
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"{where}: found an element that is no text ({error}), expected str or bytes") from error


def _run(session: int, signature: _Signature, values: list[_Value]) -> dict[str, np.ndarray]:
    api = _api()
    fed = (ctypes.c_void_p * len(values))()
    fetched = (ctypes.c_void_p * len(signature.outputs))()
    try:
        for position, value in enumerate(values):
            fed[position] = _to_tensor(value)
        with _status() as status:
            api.TF_SessionRun(
                *(session, None, signature.feeds, fed, len(fed), signature.fetches, fetched, len(fetched)),
                *(None, 0, None, status),
            )
        return {t.name: _to_array(tensor) for t, tensor in zip(signature.outputs, fetched, strict=True)}
    finally:
        for tensor in filter(None, [*fed, *fetched]):
            api.TF_DeleteTensor(tensor)  # with its strings, unless another tensor shares them


def _to_tensor(value: _Value) -> int:
    """A new TF_Tensor with a copy of the value."""
    api = _api()
    strings = value.dtype == "string"
    size = len(value.data) * _STRING_BYTES if strings else value.data.nbytes
    dims = (ctypes.c_int64 * len(value.shape))(*value.shape)
    tensor = api.TF_AllocateTensor(DTYPES[value.dtype], dims, len(dims), size)
    if size and not strings:
        ctypes.memmove(api.TF_TensorData(tensor), value.data.ctypes.data, size)
    elif size:
        data = api.TF_TensorData(tensor)
        ctypes.memset(data, 0, size)  # all that TF_StringInit does
        for offset, text in zip(range(0, size, _STRING_BYTES), value.data, strict=True):
            api.TF_StringCopy(data + offset, text, len(text))
    return tensor


def _to_array(tensor: int) -> np.ndarray:
    """A copy of a TF_Tensor."""
    api = _api()
    dtype = _DTYPE_NAMES[api.TF_TensorType(tensor)]
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    array = np.empty(shape, object if dtype == "string" else dtype)
    size, data = api.TF_TensorByteSize(tensor), api.TF_TensorData(tensor)
    if size and dtype != "string":
        ctypes.memmove(array.ctypes.data, data, size)
    elif size:
        array.reshape(-1)[:] = [
            ctypes.string_at(api.TF_StringGetDataPointer(data + offset), api.TF_StringGetSize(data + offset))
            for offset in range(0, array.size * _STRING_BYTES, _STRING_BYTES)
        ]
    return array
