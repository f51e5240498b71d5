from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ramekin.evaluate.answering import Progress
from ramekin.recipes import progress
from ramekin.recipes.progress import AbstractProgress, AbstractStage, SilentProgress, answering, reading


class _Heard(AbstractProgress, AbstractStage):
    def __init__(self) -> None:
        self.titles: list[tuple[str, int]] = []
        self.steps: list[tuple[float, str]] = []
        self.said: list[str] = []

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        self.titles.append((title, total))
        yield self

    def say(self, text: str) -> None:
        self.said.append(text)

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


def told(*answered: int) -> Progress:
    """So many rows of two sets, of 4 and of 2."""
    sets = tuple(zip(answered, (4, 2), strict=True))
    return Progress(sum(answered), 6, sum(answered) / 6, sets)


def test_answering_tells_the_work_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 16.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    heard = _Heard()
    with answering(heard, "answer") as on_progress:
        on_progress(told(3, 0))
        on_progress(told(4, 2))
    assert heard.titles == [("answer", 100)]
    assert heard.steps == [
        (50.0, "3 of 6 rows, 0 of 2 sets, 2 s left"),
        (50.0, "6 of 6 rows, 2 of 2 sets"),
    ]
    assert heard.said == []


def test_each_set_says_when_it_is_done_or_has_a_bar() -> None:
    parts = (("mini/rte", 4), ("mini/cola", 2))
    heard = _Heard()
    with answering(heard, "answer", parts) as on_progress:
        for answered in ((3, 0), (4, 1), (4, 2)):
            on_progress(told(*answered))
    assert heard.said == ["mini/rte: 4 rows answered", "mini/cola: 2 rows answered"]

    class _Several(_Heard):
        shows_several = True

    several = _Several()
    with answering(several, "answer", parts) as on_progress:
        on_progress(told(3, 0))
        on_progress(told(4, 2))
    assert several.titles == [("answer", 100), ("  mini/rte", 4), ("  mini/cola", 2)]
    assert [count for count, _ in several.steps] == [50.0, 3, 0, 50.0, 1, 2]
    assert several.said == []
