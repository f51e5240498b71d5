"""The application in uvicorn: one process, bounded connections, an orderly end.

Knows nothing of models or requests.
"""

import asyncio
import contextlib
import json
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ramekin.errors import ResourceError
from ramekin.serve.limits import Limits
from ramekin.serve.log import LOG
from ramekin.serve.refusals import RefusalError
from ramekin.serve.service import Service

__all__ = ["Ended", "Server", "address", "bind"]

_LAST_SECONDS: Final = 5
"""That uvicorn waits for connections to close, when nothing is under way any more."""


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """How a server ended."""

    requests: int
    """That were answered in all."""
    given_up: int
    """Pieces of work that the grace time was too short for."""
    left_behind: bool = False
    """Whether an engine is still at work, which nothing can end but the end of the process."""


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is any that is free. It does not listen before it is served.

    Raises:
        ResourceError: the address is not this machine's, or is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket whose protocol is not named, asyncio does not know that it is TCP: an answer's second packet
    # would wait 40 ms for the first to be acknowledged.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host.strip("[]"), port))
    except OSError as error:
        found.close()
        raise ResourceError(
            "the address cannot be served",
            where=f"host={host}, port={port}",
            got=(error.strerror or str(error)).lower(),
            fix="choose another port, or port=0 for any that is free",
        ) from error
    return found


def address(listening: socket.socket) -> str:
    """The address of a socket as a URL has it.

    >>> with bind("127.0.0.1", 0) as listening:
    ...     address(listening).startswith("http://127.0.0.1:")
    True
    """
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@final
class Server:
    """Serves an application until a signal comes, or `stop` is called.

    After the first SIGTERM or SIGINT what comes is refused with 503 and what is under way is finished, within
    the grace time; a second ends that time.

    Args:
        app: of the service.
        service: told to start, to drain and to stop.
        listening: the socket, which is closed at the end.
        on_ready: called when requests are taken.
        on_stopping: called at the first signal, with the number of requests that are open.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        listening: socket.socket,
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_stopping: Callable[[int], None] = lambda _: None,
    ) -> None:
        limits = service.limits
        config = uvicorn.Config(
            app,
            http=_patient_for(limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.keep_alive_seconds,
            timeout_graceful_shutdown=_LAST_SECONDS,
            h11_max_incomplete_event_size=limits.header_bytes,
        )
        self._listening, self._service = listening, service
        self._server = _Uvicorn(config, service, on_ready, on_stopping)

    def run(self) -> Ended:
        """Serve; returns when all is over."""
        with _told_in_our_manner():
            self._server.run(sockets=[self._listening])
        server, service = self._server, self._service
        return Ended(server.server_state.total_requests, server.given_up, service.is_left_behind)

    def stop(self) -> None:
        """What a signal does, from any thread."""
        self._server.handle_exit(signal.SIGTERM, None)


@contextlib.contextmanager
def _told_in_our_manner() -> Iterator[None]:
    """While open, uvicorn's log tells failures alone, and ours tells a line each, on stderr."""
    quiet = {
        logging.getLogger("uvicorn.error"): logging.CRITICAL,
        logging.getLogger("asyncio"): logging.ERROR,
    }
    before = {logger: logger.level for logger in quiet}
    propagated = LOG.propagate
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    for logger, level in quiet.items():
        logger.setLevel(level)
    LOG.addHandler(handler)
    LOG.propagate = False
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
        LOG.propagate = propagated
        LOG.removeHandler(handler)


@final
class _Uvicorn(uvicorn.Server):
    """Uvicorn's server, which a signal asks to drain before it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        on_ready: Callable[[], None],
        on_stopping: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self.given_up = 0
        self._service, self._on_ready, self._on_stopping = service, on_ready, on_stopping
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is None:  # it has not started yet
            self.should_exit = True
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._draining is None:
            self._on_stopping(self._service.open_requests)
            self._draining = asyncio.ensure_future(self._drain())
        else:
            self.given_up += self._service.give_up()

    async def _drain(self) -> None:
        given_up = await self._service.drain()
        self.given_up += given_up
        self.should_exit = True


def _patient_for(limits: Limits) -> type[asyncio.Protocol]:
    """Uvicorn's protocol, which does not wait for ever for headers or for a client to read."""

    @final
    class Patient(H11Protocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._headers: asyncio.TimerHandle | None = None
            self._writing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self._await_headers()
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._cancel_timers(headers=True)

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_timers(headers=True, writing=True)
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._writing = self.loop.call_later(limits.write_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._cancel_timers(writing=True)

        def send_400_response(self, msg: str) -> None:
            what = "the request is no HTTP, or its headers are too large"
            body = json.dumps(RefusalError(400, what, code="bad_http").to_json()).encode()
            head = (
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(head.encode() + body)
            self.transport.close()

        def _await_headers(self) -> None:
            if self._headers is None:
                self._headers = self.loop.call_later(limits.header_seconds, self.transport.close)

        def _cancel_timers(self, *, headers: bool = False, writing: bool = False) -> None:
            if headers and self._headers is not None:
                self._headers.cancel()
                self._headers = None
            if writing and self._writing is not None:
                self._writing.cancel()
                self._writing = None

    return Patient
