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
from typing import BinaryIO

from serving.runtime import RuntimeFailure, Session, libraries_of
from serving.worker.wire import FAILED, INVALID, SIZES, pack, unpack


def main(arguments: Sequence[str]) -> int:
    """Serve until every socket is closed; the exit code."""
    for one in (signal.SIGINT, signal.SIGTERM):  # sent to the server too, which lets calls end before this process
        signal.signal(one, signal.SIG_IGN)
    folder, threads, *descriptors = arguments
    sockets = [socket.socket(fileno=int(number)) for number in descriptors]
    try:
        session = _load(Path(folder), int(threads) or None)
    except Exception as error:
        for connection in sockets:
            connection.sendall(_failed(error))
        return 1
    serving = [threading.Thread(target=_serve, args=(connection, session)) for connection in sockets]
    for thread in serving:
        thread.start()
    for thread in serving:
        thread.join()
    return 0


def _load(folder: Path, threads: int | None) -> Session:
    manifest = json.loads((folder / "manifest.json").read_text())
    libraries = libraries_of(manifest["searcher"])
    return Session(folder, manifest["signatures"], op_libraries=libraries, threads=threads)


def _serve(connection: socket.socket, session: Session) -> None:
    with connection, connection.makefile("rb") as calls:  # buffered: most calls come with one read
        try:
            connection.sendall(pack({}, {}))
            while True:
                head, body = SIZES.unpack(_read(calls, SIZES.size))
                connection.sendall(_answer(session, _read(calls, head), _read(calls, body)))
        except OSError:  # nobody waits for it any more
            return


def _answer(session: Session, head: bytes, body: bytes) -> bytes:
    try:
        said, arrays = unpack(head, body)
        return pack({}, session.run(said["signature"], arrays, said["outputs"]))
    except ValueError as error:
        return pack({"error": [INVALID, "", str(error)]}, {})
    except Exception as error:  # a thread that ended would leave a connection that nobody answers
        return _failed(error)


def _read(calls: BinaryIO, size: int) -> bytes:
    """So many bytes. Raises: ConnectionError where the other end is closed."""
    found = calls.read(size)
    if len(found) < size:
        raise ConnectionError("the server is gone")
    return found


def _failed(error: Exception) -> bytes:
    if not isinstance(error, RuntimeFailure):
        error = RuntimeFailure("INTERNAL", f"{type(error).__name__}: {error}")
    return pack({"error": [FAILED, error.code, error.message]}, {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
