"""Independent jobs side by side: one process a core, one thread each, results as they come.

Small models run faster as two processes of one thread than as one of two. A job is a module-level function
of one plain value, so that it can be sent to a process; with one worker it runs here.
"""

import itertools
import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar, final

from ramekin.errors import ResourceError
from ramekin.machine import num_cores

__all__ = ["AbstractWorkers", "Workers", "workers"]

J = TypeVar("J")
R = TypeVar("R")


@contextmanager
def workers(count: int) -> Iterator["Workers"]:
    """Processes for the block; 0 takes one a core."""
    count = count or num_cores()
    if count == 1:
        yield Workers(None, 1)
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_prepare_worker) as pool:
        try:
            yield Workers(pool, count)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):  # the pool would wait for what they are at
                for child in multiprocessing.active_children():
                    child.terminate()
            raise


class AbstractWorkers(ABC):
    """Where jobs are run."""

    @abstractmethod
    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """The position and result of each job, in the order they finish.

        Args:
            function: of a module, so that it can be sent to another process.
            jobs: plain values.

        Raises:
            ResourceError: a worker was lost.
        """


@final
class Workers(AbstractWorkers):
    """Processes of this machine, or this one."""

    def __init__(self, pool: ProcessPoolExecutor | None, count: int) -> None:
        self._pool = pool
        self._count = count

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """The position and result of each job, in the order they finish.

        Raises:
            ResourceError: a worker process was killed.
        """
        if self._pool is None:
            for position, job in enumerate(jobs):
                yield position, function(job)
            return
        waiting = iter(enumerate(jobs))
        running: dict[Future[R], int] = {}
        try:
            while True:
                # One a process and no more: what a pool holds ready it begins even after a signal to stop.
                for position, job in itertools.islice(waiting, self._count - len(running)):
                    running[self._pool.submit(function, job)] = position
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process was killed from outside, as a system does that runs out of memory",
                fix="run the same command with fewer of them (workers=1): what was finished is kept",
            ) from error


def _prepare_worker() -> None:
    """One thread for arithmetic, and no life beyond the parent's, which if killed cannot stop its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the parent ends them
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
