"""An engine in a thread of its own, and the queue before it.

The event loop hands work over and gets back what came of it; the thread alone touches the engine. It takes
steps while there is something to write, and between two steps scores the options of what waits to be ranked,
of many requests in one call. Knows nothing of HTTP.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, final

from ramekin.errors import RamekinError
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.request import Answered, Failed, Request
from ramekin.serve.jobs import Job, Rank, Scored, Told, Write
from ramekin.serve.log import LOG, one_line

__all__ = ["BusyError", "EngineFailedError", "Worker"]

_WINDOW_SECONDS: Final = 30.0
"""What counts as recent, where the time until there is room is estimated."""
_JOIN_SECONDS: Final = 5.0

_AnyJob: TypeAlias = Job[Any, Any]
_Writing: TypeAlias = Job[Write, Told]
_Ranking: TypeAlias = Job[Rank, Scored]


@final
class BusyError(Exception):
    """There is no room in the queue.

    Args:
        retry_after: seconds until there may be some.
        waiting: how many prompts and inputs wait.
    """

    def __init__(self, retry_after: float, waiting: int) -> None:
        super().__init__(f"{waiting} wait")
        self.retry_after, self.waiting = retry_after, waiting


@final
class EngineFailedError(Exception):
    """The engine raised what is no error of a request's own; the log has it."""


@final
@dataclass(frozen=True, slots=True)
class _Cancel:
    job: _AnyJob


@final
@dataclass(frozen=True, slots=True)
class _Stop:
    pass


@final
@dataclass(frozen=True, slots=True)
class _News:
    """What the thread tells of a job."""

    job: _AnyJob
    told: Sequence[Any] = ()
    done: int = 0
    error: Exception | None = None


@final
@dataclass(slots=True)
class _Thread:
    """What the thread knows; nobody else looks at it."""

    tickets: dict[int, tuple[_Writing, int]] = field(default_factory=dict)
    """The job of each ticket, and which of its requests it is."""
    ranks: deque[tuple[_Ranking, int]] = field(default_factory=deque)
    """Inputs that wait to be ranked: the job and which of its inputs."""
    news: list[_News] = field(default_factory=list)
    """What is to be told."""


@final
class Worker:
    """The thread of an engine, and what waits for it.

    All methods are for the event loop that `start` was called in.

    Args:
        engine: nobody else uses it from now on; it is closed with the worker.
        name: for messages.
        queue_size: prompts and inputs that may wait.
        seconds: after which a request is given up at the latest; what a client is told to wait at most.
        rank_tokens: of inputs and options that are ranked between two steps.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        engine: AbstractEngine,
        *,
        name: str,
        queue_size: int,
        seconds: float,
        rank_tokens: int = 8192,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._name, self._clock = engine, name, clock
        self._queue_size, self._seconds, self._rank_tokens = queue_size, seconds, rank_tokens
        self._inbox: queue.SimpleQueue[_AnyJob | _Cancel | _Stop] = queue.SimpleQueue()
        self._jobs: set[_AnyJob] = set()
        self._load = Load(0, 0, 0)
        self._finished: deque[tuple[float, int]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.is_left_behind = False
        """Whether the engine was still at work when it was closed."""

    def start(self) -> None:
        """Start the thread; its news come to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"engine {self._name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Prompts that the engine answers at the moment."""
        return self._load.running

    @property
    def waiting(self) -> int:
        """Prompts and inputs that wait for room."""
        return max(0, sum(job.left for job in self._jobs) - self._load.running)

    @property
    def tokens(self) -> int:
        """Tokens that the running ones may take."""
        return self._load.tokens

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, requests: Sequence[Request], *, streams: bool = False) -> Job[Write, Told]:
        """Have outputs written.

        Args:
            requests: for what.
            streams: whether pieces are told as they come.

        Raises:
            BusyError: too many wait already.
        """
        job: _Writing = Job(Write(tuple(requests), streams), len(requests), self._cancel)
        self._submit(job)
        return job

    def rank(
        self, inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> Job[Rank, Scored]:
        """Have options scored.

        Args:
            inputs: token ids of each.
            options: token ids of the options of each.

        Raises:
            BusyError: too many wait already.
        """
        job: _Ranking = Job(Rank(tuple(inputs), tuple(options)), len(inputs), self._cancel)
        self._submit(job)
        return job

    def cancel_all(self) -> int:
        """Give up everything; returns how many jobs that were."""
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        return len(jobs)

    async def close(self) -> None:
        """Give up everything, and end the thread and its engine; not started, or again: nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self.cancel_all()
        self._inbox.put(_Stop())
        await asyncio.to_thread(thread.join, _JOIN_SECONDS)
        if thread.is_alive():
            self.is_left_behind = True
            LOG.warning("the engine of %s is still at work and is left behind", self._name)

    def _submit(self, job: _AnyJob) -> None:
        waiting = self.waiting
        over = waiting + job.left - self._queue_size
        if over > 0:
            raise BusyError(self._until_free(over), waiting)
        self._jobs.add(job)
        self._inbox.put(job)

    def _until_free(self, places: int) -> float:
        """Seconds until so many places of the queue are free, at the pace of late."""
        now = self._clock()
        while self._finished and self._finished[0][0] < now - _WINDOW_SECONDS:
            self._finished.popleft()
        done = sum(count for _, count in self._finished)
        if not done:
            return self._seconds  # by then all that is under way has ended, one way or the other
        pace = done / max(now - self._finished[0][0], 1e-3)
        return min(places / pace, self._seconds)

    def _cancel(self, job: _AnyJob) -> None:
        self._jobs.discard(job)
        self._inbox.put(_Cancel(job))

    def _hear(self, news: Sequence[_News], load: Load) -> None:
        """What the thread has told, in the event loop."""
        self._load = load
        for each in news:
            if each.done:
                self._finished.append((self._clock(), each.done))
            if each.error is not None:
                each.job.fail(each.error)
            else:
                each.job.tell(each.told, done=each.done)
            if each.job.is_over:
                self._jobs.discard(each.job)
        while len(self._finished) > 4096:
            self._finished.popleft()

    # From here on: the thread.

    def _run(self) -> None:
        state = _Thread()
        try:
            while self._take(state):
                if state.tickets:
                    self._step(state)
                if state.ranks:
                    self._rank(state)
                self._tell(state)
        finally:
            with contextlib.suppress(Exception):
                self._engine.close()

    def _take(self, state: _Thread) -> bool:
        """Take what has come in, waiting for it if there is nothing else to do; False: the end."""
        is_idle = not (state.tickets or state.ranks)
        while True:
            try:
                given = self._inbox.get(block=is_idle)
            except queue.Empty:
                return True
            is_idle = False
            if isinstance(given, _Stop):
                return False
            if isinstance(given, _Cancel):
                self._forget(state, given.job)
            elif isinstance(given.work, Rank):
                state.ranks.extend((given, place) for place in range(len(given.work.inputs)))
            else:
                self._add(state, given)

    def _add(self, state: _Thread, job: _Writing) -> None:
        for place, request in enumerate(job.work.requests):
            try:
                ticket = self._engine.add(request, streams=job.work.streams)
            except Exception as error:
                self._fail(state, job, error)
                return
            state.tickets[ticket] = (job, place)

    def _step(self, state: _Thread) -> None:
        try:
            events = self._engine.step()
        except Exception as error:
            for job in {id(job): job for job, _ in state.tickets.values()}.values():
                self._fail(state, job, error)
            return
        for event in events:
            if event.ticket not in state.tickets:
                continue
            job, place = state.tickets[event.ticket]
            if isinstance(event, Failed):
                self._fail(state, job, event.error)
                continue
            is_end = isinstance(event, Answered)
            if is_end:
                del state.tickets[event.ticket]
            state.news.append(_News(job, (Told(place, event),), int(is_end)))

    def _rank(self, state: _Thread) -> None:
        """Score as many of those that wait as have room in one call."""
        taken: list[tuple[_Ranking, int]] = []
        tokens = 0
        while state.ranks and (not taken or tokens < self._rank_tokens):
            job, place = state.ranks.popleft()
            taken.append((job, place))
            tokens += len(job.work.inputs[place]) + sum(map(len, job.work.options[place]))
        try:
            state.news += self._scored(taken)
        except Exception as error:
            jobs = list({id(job): job for job, _ in taken}.values())
            if len(jobs) == 1:
                self._fail(state, jobs[0], error)
                return
            for job in jobs:  # one of them is to blame, and the others are not to pay for it
                own = [each for each in taken if each[0] is job]
                try:
                    state.news += self._scored(own)
                except Exception as cause:
                    self._fail(state, job, cause)

    def _scored(self, taken: Sequence[tuple[_Ranking, int]]) -> list[_News]:
        found = self._engine.rank(
            [job.work.inputs[place] for job, place in taken],
            [job.work.options[place] for job, place in taken],
        )
        return [
            _News(job, (Scored(place, values),), 1) for (job, place), values in zip(taken, found, strict=True)
        ]

    def _fail(self, state: _Thread, job: _AnyJob, error: Exception) -> None:
        """A job's own failure: the others go on."""
        self._forget(state, job)
        if not isinstance(error, RamekinError):
            LOG.error("the engine of %s failed: %s", self._name, one_line(error))
            error = EngineFailedError(type(error).__name__)
        state.news.append(_News(job, error=error))

    def _forget(self, state: _Thread, job: _AnyJob) -> None:
        """Give back what a job has taken."""
        for ticket in [ticket for ticket, (owner, _) in state.tickets.items() if owner is job]:
            del state.tickets[ticket]
            with contextlib.suppress(Exception):
                self._engine.cancel(ticket)
        if any(owner is job for owner, _ in state.ranks):
            state.ranks = deque(each for each in state.ranks if each[0] is not job)

    def _tell(self, state: _Thread) -> None:
        news, state.news = state.news, []
        assert self._loop is not None, "the thread is started in a loop"
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
            self._loop.call_soon_threadsafe(self._hear, news, self._engine.load)
