"""Answers by many processes: nothing is left out, nothing asked twice, and the scores are those of one."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.evaluate.answering import Asked
from ramekin.evaluate.journal import Request
from ramekin.infer.decoding import Decoding
from ramekin.recipes.compose import compose
from ramekin.recipes.evaluate import execute
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.evaluations import fan_out
from ramekin.recipes.evaluations.fan_out import Job, shares_of
from ramekin.recipes.progress import AbstractProgress, AbstractStage
from ramekin.recipes.workers import workers

Run = Callable[..., tuple[int, str, str]]


def _asked(number: int) -> Asked:
    """One of 30 requests, of very different lengths, some scored and some written."""
    ids = tuple(range(5, 6 + number**2 % 97))
    if number % 3:
        return Asked(Request(ids, ((number,), (1, 2))), 0, 0)
    return Asked(Request(ids, (), number + 1, Decoding()), 0, 0)


class TestShares:
    @given(st.lists(st.lists(st.integers(0, 29), max_size=20), max_size=5), st.integers(1, 400))
    def test_every_request_is_in_one_share_once(self, numbers: list[list[int]], size: int) -> None:
        entries = [(2 * place, [_asked(n) for n in each]) for place, each in enumerate(numbers)]
        shares = shares_of(entries, size)
        told = dict(entries)
        found = [
            told[entry][place].request
            for share in shares
            for entry, places in share.entries
            for place in places
        ]
        assert len(found) == len(set(found)) == sum(share.count for share in shares)
        assert set(found) == {each.request for _, asked in entries for each in asked}

    @given(st.lists(st.integers(0, 29), min_size=1, max_size=60), st.integers(1, 400))
    def test_they_are_about_equal_and_the_longest_come_first(self, numbers: list[int], size: int) -> None:
        asked = [_asked(n) for n in numbers]
        longest = max(each.tokens for each in asked)
        tokens = [share.tokens for share in shares_of([(0, asked)], size)]
        assert sum(tokens) == sum(each.tokens for each in {one.request: one for one in asked}.values())
        assert all(each < size + longest for each in tokens)
        assert sum(each < size for each in tokens) <= 1
        assert [each // size for each in tokens] == sorted((each // size for each in tokens), reverse=True)

    def test_the_digest_is_of_the_requests_in_their_order(self) -> None:
        one, other = _asked(4), _asked(5)
        digests = {
            share.digest
            for asked in ([one, other], [other, one], [one], [other])
            for share in shares_of([(0, asked)], 1000)
        }
        assert len(digests) == 4
        assert shares_of([(3, [one])], 9)[0].digest == shares_of([(7, [other, one])], 1)[1].digest


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base, alone in the working folder; answers are kept there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "base", seed=0)


def _rows(folder: str, *names: str) -> dict[str, list[dict]]:
    """The predictions by file, without the numbers that may differ in their last bits."""
    files = sorted(Path(folder).rglob("*.jsonl"))
    rows = {f"{p.parent.parent.name}/{p.name}": list(map(json.loads, _lines(p))) for p in files}
    return {k.removeprefix(folder): [_without(row, *names) for row in each] for k, each in rows.items()}


def _without(values: dict, *names: str) -> dict:
    return {key: value for key, value in values.items() if key not in names}


def _keys(folder: str) -> list[str]:
    return [json.loads(line)["key"] for path in Path(folder).rglob("*.jsonl") for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _tasks(folder: str, *names: str) -> list[dict]:
    return [_without(each, "seconds", *names) for each in _evaluation(folder)["tasks"]]


def _evaluation(folder: str) -> dict:
    return json.loads(Path(folder, "evaluation.json").read_text())


class TestWorkers:
    def test_two_workers_find_what_one_finds(self, base: Path, ramekin: Run) -> None:
        words = (
            "evaluate", "model=base", "suite=mini", "limit=5", "mode.max_new_tokens=6", "batch_tokens=600",
        )  # fmt: skip
        assert ramekin(*words, "output=one", "answers=kept-one")[0] == 0
        code, _, err = ramekin(*words, "output=two", "answers=kept-two", "workers=2")
        assert code == 0, err
        assert "answer by 2 processes" in err
        assert _rows("one") == _rows("two")
        assert _tasks("one") == _tasks("two") and len(_tasks("one")) == 15
        for name in ("headline", "parts", "entries"):
            assert _evaluation("one")[name] == _evaluation("two")[name]
        assert sorted(_keys("kept-one")) == sorted(_keys("kept-two"))
        processes = {path.name.partition("-")[0] for path in Path("kept-two").rglob("*.jsonl")}
        assert len(processes) == 2 and str(os.getpid()) not in processes

    @pytest.mark.slow
    def test_several_models_and_options_that_are_ranked(
        self, base: Path, ramekin: Run, make_checkpoint: Callable[..., Path]
    ) -> None:
        make_checkpoint(Path("other"), seed=1, like=base)
        words = (
            "evaluate", "models=[base,other]", "tasks=[mini/mnli,mini/rte]", "mode=lm_eval", "limit=12",
            "templates=all", "batch_tokens=500",
        )  # fmt: skip
        assert ramekin(*words, "output=one", "answers=kept-one")[0] == 0
        code, _, err = ramekin(*words, "output=two", "answers=kept-two", "workers=2")
        assert code == 0, err
        assert _rows("one", "option_scores") == _rows("two", "option_scores")
        pairs = [
            (row["option_scores"][option], other["option_scores"][option])
            for name, rows in _rows("one").items()
            for row, other in zip(rows, _rows("two")[name], strict=True)
            for option in row["option_scores"]
        ]
        assert len(pairs) > 100
        assert all(one == pytest.approx(two, abs=1e-5) for one, two in pairs)
        keys = _keys("kept-two")
        assert len(keys) == len(set(keys)) and sorted(keys) == sorted(_keys("kept-one"))

    def test_each_job_is_told_with_the_time_left(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = ("model=base", "tasks=[mini/rte,mini/cola]", "limit=20", "batch_tokens=500", "workers=2")
        monkeypatch.setattr(fan_out, "workers", lambda count: workers(1))  # in this process, one by one
        for each in (fan_out._config, fan_out._entries, fan_out._opened, fan_out._requests_of_entry):
            each.cache_clear()
        progress = _Recorded()
        execute(compose("evaluate", EvaluateConfig, [*words, "output=out", "answers=kept"]), progress)
        told = progress.told["answer by 2 processes"]
        assert len(told) > 3
        assert sum(share for share, _ in told) == pytest.approx(100)
        pattern = r"(\d+) of (\d+) jobs, (\d+) requests(, \d+ s left)?"
        found = [re.fullmatch(pattern, note) for _, note in told]
        assert [(int(m[1]), int(m[2])) for m in found if m] == [
            (n, len(told)) for n in range(1, len(told) + 1)
        ]
        assert [bool(m[4]) for m in found if m] == [*(True,) * (len(told) - 1), False]
        assert found[-1] is not None and int(found[-1][3]) == len(_keys("kept")) > 30

    def test_too_little_to_share_is_answered_here(self, base: Path, ramekin: Run) -> None:
        words = ("evaluate", "model=base", "task=mini/rte", "limit=4", "mode=rank", "answers=kept")
        assert ramekin(*words, "output=one", "workers=2")[0] == 0
        (file,) = Path("kept").rglob("*.jsonl")
        assert file.name.startswith(f"{os.getpid()}-")

    def test_a_lost_worker_is_told_of_and_one_process_continues(
        self, base: Path, ramekin: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = (
            "evaluate", "model=base", "task=mini/rte", "limit=40", "mode=rank", "batch_tokens=500",
            "answers=kept", "output=out",
        )  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(fan_out, "answer_job", _answer_and_die)
            code, _, err = ramekin(*words, "workers=2")
        assert code == 5 and "killed from outside" in err and "what was finished is kept" in err
        before = _keys("kept")
        assert before and not Path("out/evaluation.json").exists()
        assert ramekin(*words)[0] == 0
        after = _keys("kept")
        assert set(before) < set(after) and len(after) == len(set(after)) == 40

    def test_a_worker_that_reads_other_rows_refuses(
        self, base: Path, ramekin: Run, own_task: Callable[..., tuple[Path, Path]], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        rows = [(f"a text of number {n}", n % 2) for n in range(40)]
        own_task(rows, split="validation")
        with monkeypatch.context() as patch:
            patch.setattr(fan_out, "answer_job", _answer_other_rows)
            code, _, err = ramekin(
                "evaluate", "model=base", "task=own/wet", f"tasks_root={tmp_path / 'tasks'}",
                f"data_root={tmp_path}", "mode=rank", "batch_tokens=200", "answers=kept", "workers=2",
            )  # fmt: skip
        assert code == 3 and "a worker reads other rows" in err and "own/wet" in err
        assert not Path("kept").exists()

    def test_a_device_that_is_not_there_is_told_of_before(self, base: Path, ramekin: Run) -> None:
        words = ("evaluate", "model=base", "task=mini/rte", "limit=40", "mode=rank", "batch_tokens=500")
        code, _, err = ramekin(*words, "answers=kept", "workers=2", "device=cuda:77")
        assert code and "cuda:77" in err and not Path("kept").exists()


class _Recorded(AbstractProgress):
    """What was told of each stage."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[float, str]]] = {}

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        yield _RecordedStage(self.told.setdefault(title, []))

    def say(self, text: str) -> None:
        pass


class _RecordedStage(AbstractStage):
    def __init__(self, told: list[tuple[float, str]]) -> None:
        self._told = told

    def advance(self, count: float = 1, note: str = "") -> None:
        self._told.append((count, note))


def _answer_and_die(job: Job) -> int:
    count = fan_out.answer_job(job)
    os.kill(os.getpid(), signal.SIGKILL)
    return count


def _answer_other_rows(job: Job) -> int:
    data = Path("own/wet/validation.jsonl")
    if "number 39" in data.read_text():
        data.write_text(data.read_text().replace("number", "no."))
    return fan_out.answer_job(job)
