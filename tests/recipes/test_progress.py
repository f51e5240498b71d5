from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ramekin.recipes import progress
from ramekin.recipes.progress import AbstractProgress, AbstractStage, SilentProgress, reading


class _Heard(AbstractProgress, AbstractStage):
    def __init__(self) -> None:
        self.titles: list[tuple[str, int]] = []
        self.steps: list[tuple[float, str]] = []

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        self.titles.append((title, total))
        yield self

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def advance(self, count: float = 1, note: str = "") -> None:
        self.steps.append((count, note))


def test_reading_tells_its_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 12.0, 14.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    heard = _Heard()
    with reading(heard, "merge") as on_read:
        on_read(100_000_000, 800_000_000)
        on_read(400_000_000, 800_000_000)
        on_read(800_000_000, 800_000_000)
    assert heard.titles == [("merge", 100)]
    assert heard.steps == [
        (12.5, "100 of 800 MB, 200 MB/s, 4 s left"),
        (37.5, "400 of 800 MB, 200 MB/s, 2 s left"),
        (50.0, "800 of 800 MB, 200 MB/s"),
    ]


def test_what_follows_at_once_is_told_with_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 10.55, 10.7, 10.71])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    heard = _Heard()
    with reading(heard, "merge") as on_read:
        for done in (100, 200, 300, 400):
            on_read(done * 10**6, 400_000_000)
    assert [count for count, _ in heard.steps] == [25.0, 50.0, 25.0]


def test_nothing_to_read_is_no_fault() -> None:
    with reading(SilentProgress(), "merge") as on_read:
        on_read(0, 0)
