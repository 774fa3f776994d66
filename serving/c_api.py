"""TensorFlow's C API, without importing TensorFlow.

Importing TensorFlow costs seconds and hundreds of megabytes; the installed package offers what a server needs, the
loader and the session, as C symbols too. Fork before the first call, never after: TensorFlow's threads do not survive
a fork.
"""

import ctypes
import functools
import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

from towers.quiet import quiet

# TF_Code, numbered as in tensorflow/c/tf_status.h.
# fmt: off
_CODES = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
]


class Output(ctypes.Structure):
    """TF_Output: one output of one operation of the graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


# The C functions: the result, then the arguments, in the letters of _LETTERS. Long calls let other Python
# threads run. Short ones keep the lock: a request makes dozens of them, and a thread that gives the lock up
# may wait milliseconds to get it back. That is why memmove is here: the one of ctypes gives it up.
_LETTERS = {
    "v": None, "p": ctypes.c_void_p, "s": ctypes.c_char_p, "i": ctypes.c_int, "l": ctypes.c_int64, "o": Output,
    "b": ctypes.py_object,
}
_LONG_CALLS = {
    "TF_LoadLibrary": "psp", "TF_LoadSessionFromSavedModel": "pppspippp", "TF_SessionRun": "vppppippipipp",
    "TF_CloseSession": "vpp", "TF_DeleteSession": "vpp",
}
_SHORT_CALLS = {
    "TF_NewStatus": "p", "TF_GetCode": "ip", "TF_Message": "sp", "TF_DeleteStatus": "vp",
    "TF_DeleteLibraryHandle": "vp", "TF_NewGraph": "p", "TF_DeleteGraph": "vp",
    "TF_GraphOperationByName": "pps", "TF_OperationNumOutputs": "ip", "TF_OperationOutputType": "io",
    "TF_NewSessionOptions": "p", "TF_SetConfig": "vpslp", "TF_DeleteSessionOptions": "vp",
    "TF_AllocateTensor": "pipil", "TF_DeleteTensor": "vp", "TF_TensorData": "pp", "TF_NumDims": "ip", "TF_Dim": "lpi",
    "TF_StringCopy": "vpsl", "TF_StringGetDataPointer": "pp", "TF_StringGetSize": "lp",
    "memmove": "pppl",
}
_PYTHON_CALLS = {"PyByteArray_FromStringAndSize": "bpl"}
# fmt: on


class RuntimeFailure(RuntimeError):
    """What TensorFlow answered instead of a result, in one line: `NOT_FOUND: Op type not registered ...`."""

    def __init__(self, code: str, message: str):
        self.code = code
        self.message = " ".join(message.split())
        super().__init__(f"{self.code}: {self.message}")


class Status:
    """A TF_Status for one call; raises RuntimeFailure if the call left an error in it."""

    def __enter__(self) -> int:
        self._status = functions().TF_NewStatus()
        return self._status

    def __exit__(self, kind: object, *exception: object) -> None:
        api = functions()
        try:
            code = api.TF_GetCode(self._status)
            if code and kind is None:
                name = _CODES[code] if code < len(_CODES) else f"CODE_{code}"
                raise RuntimeFailure(name, api.TF_Message(self._status).decode(errors="replace"))
        finally:
            api.TF_DeleteStatus(self._status)


@functools.cache
def functions() -> SimpleNamespace:
    """The C functions. Loads TensorFlow's libraries on the first call."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read while loading; errors come as a status
    path = package_file("tensorflow", "libtensorflow_cc.so.2")
    if path is None:
        raise RuntimeFailure("NOT_FOUND", "TensorFlow is not installed, or has no libtensorflow_cc.so.2")
    # Not RTLD_GLOBAL: what it brings along exports an SSL of its own, and Python's hashlib would crash on it.
    libraries = (
        (ctypes.CDLL(str(path)), _LONG_CALLS),
        (ctypes.PyDLL(str(path)), _SHORT_CALLS),
        (ctypes.PyDLL(None), _PYTHON_CALLS),
    )
    quiet(libraries[0][0])
    api = SimpleNamespace()
    for found, calls in libraries:
        for name, letters in calls.items():
            function = getattr(found, name)
            function.restype, *function.argtypes = (_LETTERS[letter] for letter in letters)
            setattr(api, name, function)
    return api


def package_file(package: str, name: str) -> Path | None:
    """A file of an installed package. Looking a top-level package up does not import it."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((Path(folder, name) for folder in folders or () if Path(folder, name).is_file()), None)
