"""A completion as server-sent events, until it is written, the client leaves or the deadline comes.

Knows nothing of what is asked.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ramekin.serve.answers import Chunks
from ramekin.serve.jobs import Job, Told, Write
from ramekin.serve.limits import Limits
from ramekin.serve.refusals import CODE_KEY, RefusalError
from ramekin.serve.waiting import refusal_for, while_connected

__all__ = ["EventStream"]

_DONE: Final = b"data: [DONE]\n\n"


@final
class EventStream(Response):
    """The response that streams a job.

    Args:
        job: what is streamed; it ends with the response.
        chunks: makes what is sent of what is told.
        limits: of the server.
        deadline: by the event loop's clock.
        on_first: called before the first piece is sent.
        on_end: called when nothing more is sent, whatever the reason.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        job: Job[Write, Told],
        chunks: Chunks,
        *,
        limits: Limits,
        deadline: float,
        on_first: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.status_code, self.background = 200, None
        self._job, self._chunks, self._limits, self._deadline = job, chunks, limits, deadline
        self._on_first, self._on_end = on_first, on_end
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await while_connected(self._pieces(send), receive, deadline=self._deadline)
            except Exception as error:
                refusal = refusal_for(error, self._limits)
                if refusal is None:
                    raise
                await self._end_badly(refusal, scope, send)
        finally:
            self._job.cancel()
            self._on_end()

    async def _pieces(self, send: Send) -> None:
        is_first = True
        while told := await self._job.news():
            events = b"".join(map(_event, self._chunks.of(told)))
            if events and is_first:
                self._on_first()
                is_first = False
            if events:
                await send({"type": "http.response.body", "body": events, "more_body": True})
        last = b"".join(map(_event, self._chunks.last()))
        await send({"type": "http.response.body", "body": last + _DONE, "more_body": False})

    async def _end_badly(self, refusal: RefusalError, scope: Scope, send: Send) -> None:
        """The status has been sent: what went wrong is one more event, and no [DONE] comes."""
        scope[CODE_KEY] = refusal.code
        async with asyncio.timeout(self._limits.write_seconds):
            await send({"type": "http.response.body", "body": _event(refusal.to_json()), "more_body": False})


def _event(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
