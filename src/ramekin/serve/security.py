"""Who may ask: the names that a server answers to, the pages that may call it, and the token.

A page of the web that makes a browser call 127.0.0.1, under a name of its own that points there, shows itself
by its Host or its Origin (DNS rebinding). Knows nothing of what is asked.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, final

from starlette.types import ASGIApp, Receive, Scope, Send

from ramekin.errors import UsageError
from ramekin.serve.refusals import RefusalError, refusal_response, refuse

__all__ = ["OPEN_PATHS", "Access", "Guard", "check_token", "is_loopback"]

OPEN_PATHS: Final = frozenset({"/health", "/health/live", "/health/ready"})
"""What is answered without the token."""

_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", "[::]"})
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_LEAST_TOKEN: Final = 16


def is_loopback(host: str) -> bool:
    """Whether an address to bind is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_token(token: str, *, where: str) -> str:
    """The token itself.

    Raises:
        UsageError: it is short, or a header cannot hold it; the message does not show it.
    """
    if len(token) < _LEAST_TOKEN or re.fullmatch(r"[\x21-\x7e]+", token) is None:
        raise UsageError(
            "the token is refused",
            where=where,
            expected=f"{_LEAST_TOKEN} or more characters of ASCII without spaces",
            got=f"{len(token)} characters",
            fix='python -c "import secrets; print(secrets.token_urlsafe(32))" makes one',
        )
    return token


@final
@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    >>> Access.of_bind("127.0.0.1").hosts == {"127.0.0.1", "localhost", "[::1]"}
    True
    """

    hosts: frozenset[str] | None
    """The names, without ports, that a Host header may have; None: any."""
    origins: frozenset[str] = frozenset()
    """Pages of these origins may call, beside those of the server itself."""
    token: str | None = field(default=None, repr=False)
    """What each request must bring; None: nothing."""

    @classmethod
    def of_bind(
        cls, host: str, *, hosts: Iterable[str] = (), origins: Iterable[str] = (), token: str | None = None
    ) -> "Access":
        """What fits an address to bind.

        Args:
            host: the address.
            hosts: other names that the server is called by.
            origins: pages that may call it.
            token: what each request must bring.

        Raises:
            UsageError: other machines reach the address, and there is no token.
        """
        named = frozenset(name.lower() for name in hosts)
        pages = frozenset(page.lower().rstrip("/") for page in origins)
        if is_loopback(host):
            return cls(named | _LOCAL_NAMES | {_bracketed(host)}, pages, token)
        if token is None:
            raise UsageError(
                "other machines reach this address, so that a token is needed",
                where=f"host={host}",
                expected="a token, or host=127.0.0.1",
                fix="set RAMEKIN_TOKEN in the environment, or give token_file=FILE",
            )
        if host in _ANY_ADDRESS:
            return cls(named | _LOCAL_NAMES if named else None, pages, token)
        return cls(named | {_bracketed(host)}, pages, token)


def _bracketed(host: str) -> str:
    """An address as a Host header has it."""
    return f"[{host.lower()}]" if ":" in host and not host.startswith("[") else host.lower()


@final
class Guard:
    """Refuses who may not ask, before anything of a body is read.

    Args:
        app: what is guarded.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._token = None if access.token is None else _digest(access.token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except RefusalError as refusal:
                await refusal_response(refusal, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = _only(scope, b"host")
        match = _HOST.fullmatch(host or "")
        if match is None:
            raise refuse(400, "the Host header is missing, or is none", code="bad_host")
        if self._access.hosts is not None and match[1].lower() not in self._access.hosts:
            raise refuse(
                403,
                "this server does not answer to that name",
                expected="the Host that it was started with",
                got=match[1][:80],
                fix="add the name to hosts=[…] when starting the server",
                code="host_not_allowed",
            )
        origin = _only(scope, b"origin")
        if origin is not None and not self._may_call(origin.lower(), match[0].lower()):
            raise refuse(
                403,
                "pages of that origin may not call this server",
                fix="add it to origins=[…] when starting the server",
                code="origin_not_allowed",
            )
        if self._token is not None and scope["path"] not in OPEN_PATHS:
            self._check_token(scope, self._token)

    def _may_call(self, origin: str, host: str) -> bool:
        # A proxy may speak another scheme than we do, so that the server's own pages are known by their host.
        return origin in self._access.origins or origin.partition("://")[2] == host

    def _check_token(self, scope: Scope, expected: bytes) -> None:
        kind, _, given = (_only(scope, b"authorization") or "").partition(" ")
        # Digests have one length, so that nothing of the token's shows in the time that comparing takes.
        same = hmac.compare_digest(_digest(given.strip().encode("latin-1", "replace")), expected)
        if kind.lower() != "bearer" or not same:
            raise refuse(401, "the token is missing or wrong", expected="Authorization: Bearer TOKEN")


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _only(scope: Scope, name: bytes) -> str | None:
    """A header that may be there once.

    Raises:
        RefusalError: it is there several times.
    """
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise refuse(400, "a header is given several times", got=name.decode("latin-1"))
    return found[0].decode("latin-1") if found else None
