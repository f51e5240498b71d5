"""Answers that say no: OpenAI's error object, a message in our manner, and nothing of this machine.

Knows nothing of what is refused or why.
"""

import math
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, final

from starlette.responses import JSONResponse

from ramekin.errors import DataError, RamekinError, UsageError

__all__ = ["CODE_KEY", "RefusalError", "failed", "refusal_of", "refusal_response", "refuse"]

CODE_KEY: Final = "ramekin.refusal"
"""Where a request's scope keeps the code of its refusal."""

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    504: "timeout_error",
}
_CODES: Final = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "queue_full",
    500: "internal_error",
    503: "stopping",
    504: "deadline",
}
_SHOWN: Final = 1000
_SHOWN_GOT: Final = 200
"""Of what an error of ours was given: a library's own words can be long."""


@final
class RefusalError(Exception):
    """A request is not answered; what its client is told instead.

    Args:
        status: of HTTP.
        message: what is wrong, for a person.
        param: the field of the body that it is about.
        code: a stable name of the fault; None: the status's own.
        retry_after: after how many seconds another try makes sense.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message[:_SHOWN], param
        self.code = code or _CODES.get(status, "invalid_request")
        self.retry_after = retry_after

    def to_json(self) -> dict[str, object]:
        """OpenAI's error object."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Those that belong to the status."""
        found = {}
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


def refuse(
    status: int,
    what: str,
    *,
    param: str | None = None,
    expected: str | None = None,
    got: str | None = None,
    fix: str | None = None,
    code: str | None = None,
    retry_after: float | None = None,
) -> RefusalError:
    """A refusal whose message has the form of all our errors.

    >>> refuse(400, "a number is out of its bounds", param="n", expected="1 to 64", got="65").message
    'a number is out of its bounds: n: expected 1 to 64, got 65'
    """
    message = str(UsageError(what, where=param, expected=expected, got=got, fix=fix))
    return RefusalError(status, message, param=param, code=code, retry_after=retry_after)


def failed() -> RefusalError:
    """All that a client is told of a failure that is not its fault."""
    return RefusalError(500, "the model could not answer; the reason is in the server's log")


def refusal_of(error: RamekinError, *, names: Mapping[str, str] | None = None) -> RefusalError:
    """What a client is told of an error of ours: all, where it is the request's fault; else only that.

    Args:
        error: what was raised while a request was answered.
        names: what the request calls the things that the error is about.
    """
    if not isinstance(error, UsageError | DataError):
        return failed()
    where = None if error.where is None or "/" in error.where or "\\" in error.where else error.where
    message = str(UsageError(error.what, where=where, expected=error.expected, got=error.got, fix=error.fix))
    for ours, theirs in (names or {}).items():
        message = re.sub(rf"\b{re.escape(ours)}\b", theirs, message)
    param = re.sub(r"\W.*", "", where, flags=re.DOTALL) or None if where else None
    return RefusalError(400, message, param=(names or {}).get(param or "", param))


def refusal_response(refusal: RefusalError, scope: MutableMapping[str, Any]) -> JSONResponse:
    """The response that tells it; the scope keeps its code for whoever counts."""
    scope[CODE_KEY] = refusal.code
    return JSONResponse(refusal.to_json(), status_code=refusal.status, headers=refusal.headers())
