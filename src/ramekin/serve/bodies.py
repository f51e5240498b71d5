"""Bodies of requests: JSON as it should be, of bounded size, in bounded time, read before anything is done.

What comes in is counted, whatever the Content-Length says. Knows nothing of what a body asks.
"""

import asyncio
import contextlib
import re
from typing import Any, Final, final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ramekin.serve.limits import Limits
from ramekin.serve.refusals import RefusalError, refusal_response, refuse
from ramekin.sources.strict_json import NotJSON, parse_json

__all__ = ["Bodies", "ClientLeftError", "checked_json"]

_JSON: Final = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
_SURROGATE: Final = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 4 << 20


@final
class ClientLeftError(Exception):
    """The client closed the connection before it was answered."""


def checked_json(body: bytes, *, depth: int) -> Any:
    """The value of a JSON body.

    >>> checked_json(b'{"n": 2}', depth=4)
    {'n': 2}

    Args:
        body: UTF-8.
        depth: levels of lists and objects at most.

    Raises:
        RefusalError: it is not JSON that all readers agree about: bytes that are no UTF-8, NaN, a key given
            twice, half of a surrogate pair; or it is nested too deeply.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise refuse(400, "the body is not UTF-8", got=f"byte {error.start}", code="invalid_json") from None
    try:
        value = parse_json(text)
    except NotJSON as error:
        raise refuse(400, f"the body is not JSON: {error}", code="invalid_json") from None
    if _levels(value, depth) > depth:
        raise refuse(400, "the body is nested too deeply", expected=f"{depth} levels", code="invalid_json")
    if _SURROGATE.search(text) and _has_surrogate(value):
        raise refuse(400, "a text has half of a surrogate pair, which is no character", code="invalid_json")
    return value


def _levels(value: Any, bound: int) -> int:
    """How deeply lists and objects are nested, at most one more than the bound."""
    level, layer = 0, [value]
    while level <= bound:
        layer = [
            each
            for outer in layer
            if isinstance(outer, dict | list)
            for each in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(each, dict | list)
        ]
        level += 1
        if not layer:
            break
    return level


def _has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return True
        return False
    if isinstance(value, dict):
        return any(map(_has_surrogate, value)) or any(map(_has_surrogate, value.values()))
    return isinstance(value, list) and any(map(_has_surrogate, value))


@final
class Bodies:
    """Reads each request's body whole, within its bounds, and hands it on as one piece.

    Args:
        app: what gets it.
        limits: its bounds.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the body, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reading = _Reading(receive)
        try:
            try:
                _check_headers(scope, self._limits)
                body = await self._read(reading)
                if scope["method"] == "POST":
                    checked_json(body, depth=self._limits.depth)
            except RefusalError as refusal:
                self._release(reading)
                if not reading.is_whole:
                    await _linger(reading)
                await refusal_response(refusal, scope)(scope, receive, send)
                return
            await self._app(scope, _replaying(body, receive), send)
        finally:
            self._release(reading)

    def _release(self, reading: "_Reading") -> None:
        self._held -= reading.size
        reading.size = 0

    async def _read(self, reading: "_Reading") -> bytes:
        limits, parts = self._limits, []
        try:
            async with asyncio.timeout(limits.body_seconds):
                while not reading.is_whole:
                    part = await reading.next()
                    reading.size += len(part)
                    self._held += len(part)
                    if reading.size > limits.body_bytes:
                        raise _too_large(limits)
                    if self._held > limits.bodies_bytes:
                        raise refuse(
                            429,
                            "the bodies of all open requests are too large together",
                            fix="try again in a moment",
                            code="too_many_bodies",
                            retry_after=1,
                        )
                    parts.append(part)
        except TimeoutError:
            raise refuse(
                408, "the body did not come in time", expected=f"all of it in {limits.body_seconds:g} s"
            ) from None
        return b"".join(parts)


@final
class _Reading:
    """A body as it comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_whole = False
        self.size = 0
        """Bytes that are held."""

    async def next(self) -> bytes:
        """The next part.

        Raises:
            ClientLeftError: there will be none.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        self.is_whole = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


def _too_large(limits: Limits) -> RefusalError:
    return refuse(413, "the body is too large", expected=f"at most {limits.body_bytes:,} bytes")


def _check_headers(scope: Scope, limits: Limits) -> None:
    """Refuse by the headers alone what would be refused anyway."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise refuse(
            415,
            "encoded bodies are not read",
            expected="no Content-Encoding",
            got=encoding.decode("latin-1")[:40],
        )
    if scope["method"] == "POST":
        kind = headers.get(b"content-type", b"").decode("latin-1")
        if _JSON.fullmatch(kind.strip()) is None:
            raise refuse(415, "the body is not said to be JSON", expected="Content-Type: application/json",
                         got=kind[:80] or "none")  # fmt: skip
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise refuse(400, "the Content-Length is no number", code="bad_header")
    if int(length[:20]) > limits.body_bytes:
        raise _too_large(limits)


async def _linger(reading: _Reading) -> None:
    """Read on for a moment, as a client that is still sending would not see the refusal."""
    size = 0
    with contextlib.suppress(TimeoutError, ClientLeftError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while not reading.is_whole and size < _LINGER_BYTES:
                size += len(await reading.next())


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body first."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
