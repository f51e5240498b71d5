"""A point is finished only while all that decided what it found is the same."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.sweeps.jobs import PointJob
from ramekin.recipes.sweeps.records import (
    PointRecord,
    files_read,
    has_begun,
    read_record,
    write_begun,
    write_record,
)

Make = Callable[..., Path]
VALUES: Mapping[str, object] = {"loss": 1.5}


@pytest.fixture(autouse=True)
def _base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Make) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)


def job(*words: str, verb: str = "train", trained: PointJob | None = None) -> PointJob:
    named = ("model=base", "task=mini/rte") if trained is None else ("task=mini/rte",)
    place = Path(verb)
    return PointJob(
        verb, (*named, *words), None, place / "points/a.json", place / "a", one_thread=False, trained=trained
    )


def test_a_point_is_what_was_asked() -> None:
    assert read_record(job()) is None
    written = write_record(job(), VALUES)
    assert written == PointRecord(VALUES, None) == read_record(job())
    assert read_record(job("overwrite=true")) is None
    with pytest.raises(UsageError, match=r"another sweep: train/points/a.json: .*learning_rate=0.5"):
        read_record(job("learning_rate=0.5"))


def test_a_point_that_was_begun_is_not_finished() -> None:
    assert not has_begun(job())
    write_begun(job())
    assert has_begun(job()) and read_record(job()) is None
    assert not has_begun(job("learning_rate=0.5")) and read_record(job("learning_rate=0.5")) is None


def test_where_things_lie_and_what_a_run_may_be_continued_with_is_free() -> None:
    write_record(job(), VALUES)
    free = ("threads=1", "workers=2", "cache=elsewhere", "samples=0", "checkpoint_every=7", "log_every=3")
    assert read_record(job(*free)) is not None
    assert read_record(replace(job(), output=Path("moved"))) is not None
    write_record(job(verb="evaluate"), VALUES)
    with pytest.raises(UsageError, match="max_input_tokens=9"):
        read_record(job("max_input_tokens=9", verb="evaluate"))


@pytest.mark.parametrize("words", [(), ("hub_root=hub",)])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_weights_that_were_trained_anew_are_others(
    make_checkpoint: Make, words: tuple[str, ...], has_manifest: bool
) -> None:
    if words:
        shutil.move("base", "hub/base")
    folder = Path("hub/base" if words else "base")
    if not has_manifest:
        folder.joinpath("ramekin.json").unlink(missing_ok=True)
    write_record(job(*words), VALUES)
    assert read_record(job(*words)) is not None
    shutil.rmtree(folder)
    make_checkpoint(folder, seed=1)
    if not has_manifest:
        folder.joinpath("ramekin.json").unlink(missing_ok=True)
    with pytest.raises(UsageError, match=r"expected weights\.base="):
        read_record(job(*words))


def test_an_evaluation_is_of_the_training_that_was_asked() -> None:
    first = job("max_steps=1")
    write_record(job(verb="evaluate", trained=first), VALUES)
    assert read_record(job(verb="evaluate", trained=replace(first, output=Path("moved")))) is not None
    assert read_record(job(verb="evaluate", trained=job("max_steps=1", "workers=2"))) is not None
    with pytest.raises(UsageError, match=r"expected model\.training\.max_steps=2"):
        read_record(job(verb="evaluate", trained=job("max_steps=2")))


def test_a_training_whose_data_have_changed_is_not_finished() -> None:
    write_record(job(), VALUES)
    output = job().output
    output.mkdir()
    rows = Path("rows.jsonl")
    rows.write_text("{}")
    told = {"path": str(rows.absolute()), "size": 2, "changed_ns": rows.stat().st_mtime_ns, "sha256": None}
    (output / "inputs.json").write_text(json.dumps({"base": {}, "files": [told]}))
    assert read_record(job()) is not None
    rows.write_text("{} {}")
    with pytest.raises(UsageError, match=r"has changed since: train/a: got .*rows\.jsonl"):
        read_record(job())


def test_a_training_whose_folder_holds_another_model_is_not_taken_for_it(make_checkpoint: Make) -> None:
    output = make_checkpoint(job().output, seed=3)
    write_record(job(), VALUES)
    assert read_record(job()) is not None
    shutil.rmtree(output)
    make_checkpoint(output, seed=4)
    with pytest.raises(UsageError, match="another model than the point trained: train/a"):
        read_record(job())
    shutil.rmtree(output)
    assert read_record(job()) is not None, "a folder may be moved away"


def test_an_older_record_is_no_record() -> None:
    write_record(job(), VALUES)
    job().record.write_text(json.dumps({"values": VALUES, "report": None}))
    assert read_record(job()) is None


def test_the_files_of_an_evaluation_are_its_suites_and_its_rows_and_exemplars() -> None:
    for split in ("train", "validation"):
        path = Path(f"data/glue/rte/{split}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    Path("own.yaml").write_text("tasks: [glue/rte, mini/rte]\n")

    def read(**values: object) -> set[str]:
        config = EvaluateConfig.model_validate({"model": "base", "data_root": "data", **values})
        return {Path(each["path"]).name for each in files_read(config)}

    assert read(task="glue/rte") == {"validation.jsonl"}
    assert read(task="glue/rte", split="train") == {"train.jsonl"}
    assert read(suite="own.yaml") == {"own.yaml", "validation.jsonl"}
    assert read(suite="own.yaml", shots=1) == {"own.yaml", "validation.jsonl", "train.jsonl"}
    assert read(suite="mini") == set()
