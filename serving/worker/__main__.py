"""The process: `python -m serving.worker FOLDER THREADS FD...` loads a bundle's graph and answers one call after the
other on each of the sockets, which it was born with. It ends when nobody holds their other ends any more.

It says on every socket once that it is ready, or on all of them why it never will be.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.runtime import RuntimeFailure, Session, scann_library
from serving.worker.wire import SIZES, pack, unpack

_INVALID, _FAILED = "invalid", "failed"  # inputs that do not fit; what TensorFlow said


def main(arguments: Sequence[str]) -> int:
    """Serve until every socket is closed; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the server too, which ends this process
    folder, threads, *descriptors = arguments
    sockets = [socket.socket(fileno=int(one)) for one in descriptors]
    try:
        session = _load(Path(folder), int(threads) or None)
    except (RuntimeFailure, OSError, ValueError, KeyError) as error:
        for one in sockets:
            one.sendall(pack({"error": [_FAILED, _code(error), _words(error)]}, {}))
        return 1
    serving = [threading.Thread(target=_serve, args=(one, session)) for one in sockets]
    for thread in serving:
        thread.start()
    for thread in serving:
        thread.join()
    return 0


def _load(folder: Path, threads: int | None) -> Session:
    manifest = json.loads((folder / "manifest.json").read_text())
    library = scann_library() if manifest["searcher"] == "scann" else None
    return Session(folder, manifest["signatures"], op_libraries=[library] if library else [], threads=threads)


def _serve(connection: socket.socket, session: Session) -> None:
    with connection:
        try:
            connection.sendall(pack({}, {}))
            while sizes := _read(connection, SIZES.size):
                head, body = SIZES.unpack(sizes)
                connection.sendall(_answer(session, _read(connection, head), _read(connection, body)))
        except OSError:  # nobody waits for it any more
            return


def _answer(session: Session, head: bytes, body: bytes) -> bytes:
    said, arrays = unpack(head, body)
    try:
        return pack({}, session.run(said["signature"], arrays))
    except RuntimeFailure as failure:
        return pack({"error": [_FAILED, failure.code, failure.message]}, {})
    except ValueError as error:
        return pack({"error": [_INVALID, "", str(error)]}, {})


def _read(connection: socket.socket, size: int) -> bytes:
    """So many bytes; fewer where the other end is closed."""
    found = bytearray()
    while len(found) < size:
        block = connection.recv(min(size - len(found), 1 << 20))
        if not block:
            return b""
        found += block
    return bytes(found)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, RuntimeFailure) else "INTERNAL"


def _words(error: Exception) -> str:
    return error.message if isinstance(error, RuntimeFailure) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
