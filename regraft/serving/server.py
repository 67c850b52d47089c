"""The serving process: it listens, opens the model, answers until a signal arrives, and then finishes accepted
requests."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from regraft.errors import RegraftError
from regraft.serving.app import Access, make_app
from regraft.serving.model import Options, ServedModel, open_model
from regraft.serving.service import Service

LINGER = 0.3
"""Seconds for clients with open connections to learn that the server is draining."""
_KEEP_ALIVE = 75


@dataclass(frozen=True)
class Place:
    """Where a server listens, and how long it takes to end.

    Attributes:
        port: 0: any that is free.
        drain: seconds for answering accepted requests.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    drain: float = 30.0


def serve(path: Path, options: Options, access: Access, place: Place, say: Callable[[str], None]) -> None:
    """Serve the model at `path` until SIGTERM or SIGINT.

    Args:
        say: called with a line about where it listens, and one when it is ready.

    Raises:
        RegraftError: the model cannot be opened, does not reproduce its golden outputs, or the port is taken.
    """
    with listening(place) as listener:
        if access.token is None and not _is_loopback(listener):
            say("warning: anyone who reaches this machine can use the model: set --token, or REGRAFT_TOKEN")
        service = Service(model_name(path))
        config = uvicorn.Config(
            make_app(service, access),
            lifespan="off",
            log_config=None,  # uvicorn's own closes the handlers of other libraries, and some of these their streams
            log_level="critical",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=int(place.drain) + 1,
        )

        def open_() -> ServedModel:
            return open_model(path, options, service.metrics.called, say)

        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(service, open_, _Server(config), listener, place.drain, say))


async def _serve(
    service: Service,
    open_: Callable[[], ServedModel],
    server: uvicorn.Server,
    listener: socket.socket,
    drain: float,
    say: Callable[[str], None],
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    address = f"http://{written(listener)}/v2/models/{service.name}"
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        say(f"opening {service.name}")
        service.model = await asyncio.to_thread(open_)
        say(f"serving {address}")
        await asyncio.wait({serving, waiting := asyncio.create_task(ended.wait())}, return_when="FIRST_COMPLETED")
        waiting.cancel()
    finally:
        await asyncio.to_thread(service.drain, drain)
        await asyncio.sleep(LINGER if service.model else 0)
        server.should_exit = True
        await serving
    say("drained")


class _Server(uvicorn.Server):
    """Uvicorn's server without its signal handlers, which would end the process by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def model_name(path: Path) -> str:
    """The name by which clients ask for the model at `path`: that of the bundle, or of the file without its suffix."""
    place = path.resolve()
    return place.name if place.is_dir() else place.stem


@contextlib.contextmanager
def listening(place: Place) -> Iterator[socket.socket]:
    """A socket that is bound to where a server is to listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise RegraftError(f"cannot listen on {place.host}: {getattr(error, 'strerror', None) or error}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            where = f"{place.host}, port {place.port}"
            raise RegraftError(f"cannot listen on {where}: {error.strerror}; choose another with --port") from error
        yield listener


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def written(listener: socket.socket) -> str:
    """Where a socket listens, as an address has it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
