"""The outermost layer: each request is counted, timed, told in one line, and answered whatever happens.

Knows nothing of what is asked.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ramekin.serve.bodies import ClientLeftError
from ramekin.serve.log import LOG, one_line
from ramekin.serve.refusals import CODE_KEY, RefusalError, failed, refusal_response, refuse
from ramekin.serve.service import Service

__all__ = ["NOTE_KEY", "PATHS", "Watch"]

NOTE_KEY: Final = "ramekin.note"
"""Where a request's scope keeps what its line says of it."""
PATHS: Final = (
    "/v1/completions", "/v1/rank", "/v1/models", "/health", "/health/live", "/health/ready", "/metrics",
    "/openapi.json",
)  # fmt: skip
_MODEL_PATH: Final = "/v1/models/"
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_LEFT: Final = 499
"""What stands in the counts for the status of a request whose client left before it was answered."""
_SHOWN: Final = 80


@final
class Watch:
    """Counts requests, tells of them, and answers for what is raised.

    Args:
        app: what is watched.
        service: keeps the counts.
        on_access: told of each request in one line.
    """

    def __init__(self, app: ASGIApp, service: Service, on_access: Callable[[str], None] | None) -> None:
        self._app, self._service, self._on_access = app, service, on_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["ramekin.arrival"] = asyncio.get_running_loop().time()
        exchange = _Exchange(scope, receive, send)
        service = self._service
        service.open_requests += 1
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await refusal_response(refusal, scope)(scope, exchange.receive, exchange.send)
        except ClientLeftError:
            service.metrics.cancelled.labels("client_left").inc()
        except Exception as error:
            LOG.error("a request failed: %s", one_line(error))
            if exchange.status is None:
                await refusal_response(failed(), scope)(scope, exchange.receive, exchange.send)
        finally:
            service.open_requests -= 1
            self._count(scope, exchange)

    def _refusal(self, scope: Scope) -> RefusalError | None:
        """Why a request is not even looked at."""
        limits = self._service.limits
        if self._service.open_requests > limits.connections:
            return refuse(429, "too many requests are open", code="too_many_requests", retry_after=1)
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > limits.header_bytes:
            # Where they come in one piece, the server's own bound has not seen them.
            expected = f"at most {limits.header_bytes:,} bytes"
            return refuse(431, "the headers are too large", expected=expected, code="headers_too_large")
        return None

    def _count(self, scope: Scope, exchange: "_Exchange") -> None:
        metrics = self._service.metrics
        seconds = asyncio.get_running_loop().time() - scope["ramekin.arrival"]
        path, status = _label(scope["path"]), exchange.status or _LEFT
        method = scope["method"] if scope["method"] in _METHODS else "other"
        metrics.requests.labels(path, method, str(status)).inc()
        metrics.seconds.labels(path).observe(seconds)
        code = scope.get(CODE_KEY)
        if code == "deadline":
            metrics.cancelled.labels("deadline").inc()
        elif code is not None:
            metrics.refused.labels(code).inc()
        if self._on_access is not None:
            client = (scope.get("client") or ("-",))[0]
            told = [
                time.strftime("%H:%M:%S"),
                client,
                method,
                _shown(scope["path"]),
                str(status),
                f"{1000 * seconds:.0f} ms",
                *filter(None, (scope.get(NOTE_KEY), code)),
            ]
            self._on_access(" ".join(told))


@final
class _Exchange:
    """A request with its response, looked at on the way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.status: int | None = None
        headers = dict(scope["headers"])
        self._is_read = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            if not self._is_read:
                # What is left of the body is not read: the connection ends with the answer.
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


def _label(path: str) -> str:
    """A path in the counts, of which there are few, whatever is asked for."""
    if path in PATHS:
        return path
    return f"{_MODEL_PATH}{{id}}" if path.startswith(_MODEL_PATH) else "other"


def _shown(path: str) -> str:
    """A path in a line of its own."""
    return ascii(path)[1:-1][:_SHOWN].replace(" ", "%20")
