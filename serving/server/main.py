"""From settings to a running server."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
import uvloop

from configs.errors import UserError
from configs.serving import Serving
from serving.server.app import application
from serving.server.connections import among
from serving.server.metrics import Metrics
from serving.server.service import Service

_KEPT = 75  # seconds that a connection may be idle: longer than proxies and clients keep theirs, which close first
_ENDS = 10  # seconds that requests under way have when the server is told to end


def serve(model: Path, settings: Serving, say: Callable[[str], None]) -> None:
    """Answer for a model's folder until the process is told to end; `say` is told the address once it is bound.

    The folder may be empty, or not there yet. Raises: UserError.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    gc.collect()
    gc.freeze()  # what was imported: looking through it takes tens of milliseconds, in which nobody is answered
    with _bound(settings.host, settings.port) as bound:
        uvloop.run(_answer(model, settings, bound, say))


class _Server(uvicorn.Server):
    """Uvicorn's own raises a signal once more when it has ended, and with it ends the process before logs are written
    and versions closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at SIGINT or SIGTERM, and leave the rest to the caller."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield


@asynccontextmanager
async def _grpc(service: Service) -> AsyncIterator[None]:
    """TF Serving's gRPC interface, where a port is set for it. Raises: UserError."""
    settings = service.settings
    if settings.grpc_port is None:
        yield
        return
    try:
        from serving.tfserving.grpc import start
    except ImportError:
        raise UserError("grpc_port: grpcio is not installed, expected twinspire[grpc]") from None
    address = f"{_host(settings.host)}:{settings.grpc_port}"
    try:
        server = await start(
            service.versions,
            service.metrics,
            address,
            settings.limits.deadline,
            key=settings.api_key,
            calls=settings.room,
            most=settings.room + settings.limits.connections,
        )
    except RuntimeError as error:
        raise UserError(f"grpc_port: {address} cannot be had: {error}") from None
    try:
        yield
    finally:
        await server.stop(_ENDS)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _answer(model: Path, settings: Serving, bound: socket.socket, say: Callable[[str], None]) -> None:
    service = await Service.start(model, settings, Metrics())
    try:
        config = uvicorn.Config(
            application(service),
            http=among(settings.limits, service.metrics),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEPT,
            timeout_graceful_shutdown=_ENDS,
        )
        host, port = bound.getsockname()[:2]
        async with _grpc(service):
            say(f"http://{_host(host)}:{port}")
            await _Server(config).serve(sockets=[bound])
    finally:
        await service.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen()  # from now on nobody else can have it, and nobody who was told the address is turned away
    except OSError as error:
        found.close()
        raise UserError(f"serve: {host}:{port} cannot be had: {error.strerror}; choose another --port") from None
    found.set_inheritable(False)
    return found
