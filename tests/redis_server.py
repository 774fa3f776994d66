"""A real Redis for tests: on a socket in a folder of its own, so that no port is taken."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis

BINARY = shutil.which("redis-server")


def skip_without_redis() -> None:
    """Skip the test where the server is not installed."""
    if BINARY is None:
        pytest.skip("needs redis-server: apt-get install redis-server")


class RedisServer:
    """`redis-server` that can be killed, held and started again; it keeps every write on disk when `durable`."""

    def __init__(self, durable: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))  # not pytest's: a socket's path must be short
        self._socket, self._durable = self._folder / "s", durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        command = [str(BINARY), "--port", "0", "--unixsocket", str(self._socket), "--save", "", *durable]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end, "redis-server did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:  # or it still loads
            return False

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hold(self) -> None:
        """Let it stand still: it is there and does not answer."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def release(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        """A plain client, to look behind the store."""
        return redis.Redis(unix_socket_path=str(self._socket), decode_responses=True)

    def remove(self) -> None:
        """End it, and leave nothing behind."""
        self.kill()
        shutil.rmtree(self._folder)
