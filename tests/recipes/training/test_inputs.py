"""A finished run is done only while what it read is the same."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes import train
from ramekin.recipes.compose import compose
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.schema import TrainConfig

WORDS = (
    "model=base",
    "eval_split=''",
    "max_steps=1",
    "global_batch=4",
    "output=out",
    "workers=1",
    "cache=cache",
)
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Make) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)


def run(*words: str) -> Outcome:
    return train.execute(compose("train", TrainConfig, [*WORDS, *words]), SilentProgress())


def is_done(*words: str) -> bool:
    return "finished already" in run(*words).text()


def test_a_changed_mixture_is_another_run() -> None:
    mixture = Path("mine.yaml")
    mixture.write_text("tasks: [{task: mini/rte, limit_examples: 9}]\n")
    run("mixture=mine.yaml")
    assert is_done("mixture=mine.yaml")
    os.utime(mixture, ns=(1, 1))
    assert is_done("mixture=mine.yaml"), "it is what it was"
    mixture.write_text("tasks: [{task: mini/qnl, limit_examples: 9}]\n")
    with pytest.raises(UsageError, match=r"has changed since: out: got .*mine.yaml; fix: add overwrite=true"):
        run("mixture=mine.yaml")
    mixture.write_text("tasks: [{task: mini/stsb, limit_examples: 9}]\n")
    run("mixture=mine.yaml", "overwrite=true")
    assert is_done("mixture=mine.yaml")


def test_a_base_that_was_trained_again_is_another_one(make_checkpoint: Make, tmp_path: Path) -> None:
    run("task=mini/rte", "limit=8")
    assert is_done("task=mini/rte", "limit=8")
    shutil.rmtree("base")
    assert is_done("task=mini/rte", "limit=8"), "what is not there cannot be told to be another one"
    make_checkpoint(tmp_path / "base", seed=1)
    with pytest.raises(UsageError, match="has changed since: out: got .*base; fix"):
        run("task=mini/rte", "limit=8")


def test_an_older_version_kept_no_record() -> None:
    mixture = Path("mine.yaml")
    mixture.write_text("tasks: [{task: mini/rte, limit_examples: 9}]\n")
    run("mixture=mine.yaml")
    record = json.loads(Path("out/inputs.json").read_text())
    assert [Path(each["path"]).name for each in record["files"]] == ["mine.yaml"]
    Path("out/inputs.json").unlink()
    mixture.write_text("tasks: [{task: mini/stsb, limit_examples: 9}]\n")
    assert is_done("mixture=mine.yaml")


def test_an_edited_task_or_data_file_makes_another_run(own_task: Callable[..., tuple[Path, Path]]) -> None:
    task, rows = own_task([("rain", 1), ("sand", 0)])
    words = ("task=own/wet", "tasks_root=tasks", "data_root=.")
    run(*words)
    assert is_done(*words)
    before = rows.read_text()
    rows.write_text("\n".join(before.splitlines()[::-1]) + "\n")
    with pytest.raises(UsageError, match=r"has changed since: out: got [^,]*train.jsonl; fix"):
        run(*words)
    rows.write_text(before)
    assert is_done(*words), "it is what it was"
    task.write_text(task.read_text().replace("wet?", "dry?"))
    with pytest.raises(UsageError, match=r"has changed since: out: got [^,]*wet.yaml; fix"):
        run(*words)
