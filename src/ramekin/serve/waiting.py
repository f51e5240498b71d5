"""Waiting for an answer while its client does, until the deadline; and what went wrong on the way, in HTTP.

Knows nothing of what is waited for.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from starlette.types import Receive

from ramekin.errors import RamekinError
from ramekin.serve.bodies import ClientLeftError
from ramekin.serve.jobs import CancelledJobError
from ramekin.serve.limits import Limits
from ramekin.serve.refusals import RefusalError, failed, refusal_of, refuse
from ramekin.serve.worker import BusyError, EngineFailedError

__all__ = ["NAMES", "arrival", "refusal_for", "too_late", "while_connected"]

T = TypeVar("T")

NAMES: Final[Mapping[str, str]] = {
    "max_new_tokens": "max_tokens",
    "num_alternatives": "logprobs",
    "num_samples": "n",
    "sampling_temperature": "temperature",
}
"""What a request calls the settings of an engine."""


def arrival(scope: Mapping[str, Any]) -> float:
    """When a request came, by the event loop's clock."""
    found: float = scope.get("ramekin.arrival") or asyncio.get_running_loop().time()
    return found


async def while_connected(work: Coroutine[Any, Any, T], receive: Receive, *, deadline: float) -> T:
    """The result of some work, which is given up when nobody waits for it.

    Args:
        work: ends its own doings when it is cancelled.
        receive: of the request, whose body has been read.
        deadline: by the event loop's clock.

    Raises:
        ClientLeftError: the client has left.
        TimeoutError: the deadline has come.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeftError
    finally:
        for each in (task, left):
            each.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def too_late(limits: Limits) -> RefusalError:
    """What is said where the deadline has come."""
    return refuse(
        504,
        "the answer was not ready in time",
        expected=f"{limits.seconds:g} s",
        fix="ask for fewer outputs or tokens, or try again when the server has less to do",
    )


def refusal_for(error: Exception, limits: Limits) -> RefusalError | None:
    """What a client is told of what a job or its worker raised; None: it is no such error."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, TimeoutError):
        return too_late(limits)
    if isinstance(error, BusyError):
        return refuse(
            429,
            "the queue is full",
            expected=f"room among {limits.queue} that wait",
            got=f"{error.waiting} waiting",
            fix="try again after the time that Retry-After says",
            retry_after=error.retry_after,
        )
    if isinstance(error, CancelledJobError):
        return refuse(503, "the server is stopping", fix="try again", retry_after=limits.grace_seconds)
    if isinstance(error, EngineFailedError):
        return failed()
    return refusal_of(error, names=NAMES) if isinstance(error, RamekinError) else None
