"""Jobs side by side, and a worker that is killed."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

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


def _wait_for_the_workers_to_end() -> None:
    """Not by `join`: it returns at once, the child seemingly alive, while the pool's thread is reaping it."""
    deadline = time.monotonic() + 60
    while multiprocessing.active_children():
        assert time.monotonic() < deadline, "a worker outlived its command"
        time.sleep(0.05)


def _sleep(seconds: int) -> int:
    time.sleep(seconds)
    return seconds


def _touch_until_stopped(path: Path) -> None:
    path.touch()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())  # as a training does, to save its state
    path.with_suffix(".ready").touch()
    stopped.wait(10)


def test_no_job_is_begun_after_a_signal(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(4)]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        while len(list(tmp_path.glob("*.ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt), workers(2) as pool:
            list(pool.run(_touch_until_stopped, paths))
    finally:
        signal.signal(signal.SIGUSR1, before)
    _wait_for_the_workers_to_end()
    assert sorted(path.name for path in tmp_path.glob("?")) == ["0", "1"]


def test_workers_are_ended_when_a_signal_stops_the_command() -> None:
    with pytest.raises(KeyboardInterrupt), workers(2) as pool:
        for _ in pool.run(_sleep, [0, 300, 300]):
            raise KeyboardInterrupt
    _wait_for_the_workers_to_end()
