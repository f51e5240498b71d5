"""Whose the folders of a training are: by words that matter and words that do not."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, final

import pytest

from ramekin.errors import ResourceError, StoppedError, UsageError
from ramekin.recipes import train
from ramekin.recipes.compose import compose
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.progress import AbstractProgress, AbstractStage, SilentProgress
from ramekin.recipes.schema import TrainConfig

WORDS = (
    "model=base",
    "task=mini/rte",
    "limit=8",
    "eval_with=[]",
    "max_steps=4",
    "global_batch=4",
    "output=out",
)
WORKING = Path("out.unfinished")


@pytest.fixture(autouse=True)
def _base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)


@final
class Stopping(AbstractProgress):
    """Sends SIGTERM after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        progress = self

        @final
        class Stage(AbstractStage):
            def advance(self, count: float = 1, note: str = "") -> None:
                progress.left -= title == "train"
                if not progress.left:
                    os.kill(os.getpid(), signal.SIGTERM)

        yield Stage()

    def say(self, text: str) -> None: ...


def run(*words: str, progress: AbstractProgress | None = None) -> Outcome:
    return train.execute(compose("train", TrainConfig, [*WORDS, *words]), progress or SilentProgress())


def stopped(*words: str, after: int = 2) -> None:
    with pytest.raises(StoppedError):
        run(*words, progress=Stopping(after))


def notices(folder: Path) -> list[str]:
    lines = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return [line["message"] for line in lines if line["event"] == "notice"]


@pytest.mark.parametrize("before", [(), ("overwrite=true",)])
def test_the_same_command_goes_on_even_if_it_may_overwrite(before: tuple[str, ...]) -> None:
    """A scheduler that stops a job starts the same line again."""
    run("output=straight")
    if before:
        run("seed=1")  # what is to be overwritten
    stopped(*before)
    stopped(*before, after=1)
    assert run(*before).to_json()["steps"] == 4
    assert notices(Path("out")) == ["continuing after step 2", "continuing after step 3"]
    weights = [Path(name, "model.safetensors").read_bytes() for name in ("out", "straight")]
    assert weights[0] == weights[1]
    assert not WORKING.exists()


@pytest.mark.parametrize(
    "word", ["checkpoint_every=1", "log_every=2", "samples=1", "project=x", "workers=1", "resume=auto"]
)
def test_words_that_change_nothing_of_the_result_may_change(word: str) -> None:
    stopped("resume=never" if word == "resume=auto" else "samples=0")
    run(word)
    assert notices(Path("out")) == ["continuing after step 2"]
    assert "finished already" in run().text()


def test_words_that_change_the_result_are_named() -> None:
    stopped()
    told = r"another configuration is in the way: .*expected seed=0, "
    with pytest.raises(UsageError, match=told) as caught:
        run("seed=1", "learning_rate=1e-2")
    assert "training.learning_rate=0.01" in str(caught.value) and "seed=1" in str(caught.value)
    run("seed=1", "overwrite=true")
    assert notices(Path("out")) == []


def test_an_unfinished_run_is_begun_anew_if_both_words_say_so() -> None:
    stopped()
    with pytest.raises(UsageError, match="an unfinished run is in the way"):
        run("resume=never")
    run("resume=never", "overwrite=true")
    assert notices(Path("out")) == []


@pytest.mark.parametrize(("words", "is_kept"), [((), True), (("seed=1",), False)])
def test_curves_go_with_the_run_that_they_are_of(words: tuple[str, ...], is_kept: bool) -> None:
    stopped()
    curves = Path("out.tracking", "ramekin", "events")
    curves.parent.mkdir(parents=True)
    curves.touch()
    run("overwrite=true", *words)
    assert curves.exists() is is_kept


@pytest.mark.parametrize("error", [KeyboardInterrupt, ResourceError("a worker process was killed")])
def test_a_run_that_ended_before_its_first_step_is_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def end(*_: object) -> NoReturn:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(train, "read_training_data", end)
        with pytest.raises((KeyboardInterrupt, ResourceError)):
            run()
    assert not WORKING.exists()
    run("seed=1")


def test_a_run_of_an_older_version_that_says_which_value_is_the_best_is_the_same() -> None:
    run()
    saved = Path("out/config.yaml")
    told = saved.read_text()
    saved.write_text(told.replace("best_is: null", "best_is: highest"))
    assert saved.read_text() != told
    assert "finished already" in run().text()
    with pytest.raises(UsageError):
        run("best_is=lowest")
