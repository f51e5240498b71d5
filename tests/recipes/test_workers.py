"""Jobs side by side, and a worker that is killed."""

import multiprocessing
import os
import signal
import time

import pytest

from ramekin.errors import ResourceError
from ramekin.recipes.workers import workers


def _double(number: int) -> int:
    return 2 * number


def _die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_with_their_positions() -> None:
    with workers(1) as alone, workers(2) as two:
        assert sorted(alone.run(_double, [3, 1])) == sorted(two.run(_double, [3, 1])) == [(0, 6), (1, 2)]


def test_a_worker_that_is_killed_is_told_of() -> None:
    with pytest.raises(ResourceError, match="killed from outside.*workers=1"), workers(2) as pool:
        list(pool.run(_die, [1]))


def _sleep(seconds: int) -> int:
    time.sleep(seconds)
    return seconds


def test_workers_are_ended_when_a_signal_stops_the_command() -> None:
    with pytest.raises(KeyboardInterrupt), workers(2) as pool:
        for _ in pool.run(_sleep, [0, 300, 300]):
            raise KeyboardInterrupt
    for child in multiprocessing.active_children():
        child.join(60)
        assert not child.is_alive()
