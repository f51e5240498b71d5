"""What the merges of a sweep are compared with: the base, and each task by the model tuned on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.sweeps.jobs import PointJob, check_jobs, composed
from ramekin.recipes.sweeps.points import SweepPoint
from ramekin.recipes.sweeps.references import own_tasks, reference_rows, references_of, told
from ramekin.recipes.sweeps.report import PointResult
from ramekin.report.values import AVERAGE, Cell, Report, ScoreTable, TableRow
from ramekin.weights.lineage import Lineage, write_manifest

Make = Callable[..., Path]
MERGE = (
    "method=task_arithmetic",
    "base=base",
    "models=[runs/rte,runs/cola,runs/x]",
    "tasks=[mini/rte,mini/cola]",
)
POOL = (
    "method=task_arithmetic",
    "modelpool.models={_pretrained_: {pretrained_model_name_or_path: base}, glue-rte: "
    "{pretrained_model_name_or_path: runs/x}, b: {base_model_path: base, peft_model_path: lora}}",
    "+taskpool.name=own",
    "taskpool.tasks=[mini/rte,mini/cola]",
    "taskpool.split=train",
)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _job(*words: str, verb: str = "trial") -> PointJob:
    return PointJob(verb, words, None, Path("out/points/a.json"), Path("out/a"), one_thread=False)


def _tuned(folder: str, tasks: list[str], kind: str = "dense") -> Path:
    place = Path(folder)
    place.mkdir(parents=True)
    (place / ("adapter_config.json" if kind == "adapter" else "config.json")).write_text("{}")
    write_manifest(place, Lineage(kind, "finetune", settings={"tasks": tasks}))  # type: ignore[arg-type]
    return place


def test_a_model_is_that_of_the_tasks_in_its_lineage_or_else_in_its_name() -> None:
    tasks = ("mini/rte", "mini/cola", "glue/qnli")
    by_lineage = _tuned("runs/cola", ["mini/rte#a"])
    models = [("runs/cola", by_lineage), ("runs/x-cola", None), ("t5_GLUE_QNLI", None), ("rte2", None)]
    assert own_tasks(models, tasks) == (("mini/rte",), ("mini/cola",), ("glue/qnli",), ())


def test_a_task_goes_to_the_model_that_was_tuned_on_the_fewest() -> None:
    several = _tuned("several", ["mini/rte", "mini/cola"])
    one, again = _tuned("one", ["mini/cola"]), _tuned("again", ["mini/cola"])
    models = [(str(each), each) for each in (several, one, again)]
    assert own_tasks(models, ("mini/rte", "mini/cola")) == (("mini/rte",), ("mini/cola",), ())


def test_they_are_evaluated_as_the_points_are() -> None:
    job = _job(*MERGE, "limit=7", "seed=3", "max_input_tokens=99", "post=svc", "dtype=bfloat16", "threads=1")
    found = references_of(composed(job), ("method.scaling_factor", "dtype", "post.alpha"), job)
    assert found is not None and found.has_base
    assert found.tasks == (("mini/rte", "mini/cola"), ("mini/rte",), ("mini/cola",))
    check_jobs(found.jobs)
    configs = [composed(each) for each in found.jobs]
    assert [config.model for config in configs] == ["base", "runs/rte", "runs/cola"]  # type: ignore[attr-defined]
    assert [config.task_names for config in configs] == list(found.tasks)  # type: ignore[attr-defined]
    for config in configs:
        assert (config.limit, config.seed, config.max_input_tokens) == (7, 3, 99)  # type: ignore[attr-defined]
        assert config.output is not None and config.output.parent == Path("out")
    assert len({each.output for each in found.jobs}) == len({each.record for each in found.jobs}) == 3
    assert "rte by runs/rte; cola by runs/cola" in told(found)


def test_a_pool_of_fuse_has_them_too() -> None:
    _tuned("lora", ["mini/cola"], kind="adapter")
    job = _job(*POOL, verb="fuse")
    found = references_of(composed(job), ("method",), job)
    assert found is not None
    configs = [composed(each).model_dump(include={"model", "base", "tasks", "split"}) for each in found.jobs]
    assert [tuple(config.values()) for config in configs] == [
        (("mini/rte", "mini/cola"), "base", None, "train"),
        (("mini/rte",), "runs/x", None, "train"),
        (("mini/cola",), "lora", "base", "train"),
    ]


@pytest.mark.parametrize("key", ["models", "base", "tasks", "limit", "split", "seed"])
def test_where_what_is_asked_or_of_whom_is_swept_there_are_none(key: str) -> None:
    job = _job(*MERGE)
    assert references_of(composed(job), ("method.scaling_factor", key), job) is None


def test_a_verb_that_evaluates_nothing_has_none() -> None:
    job = _job(*MERGE[:3], "output=x", verb="merge")
    assert references_of(composed(job), ("method",), job) is None


def test_a_base_alone_is_a_reference_too() -> None:
    job = _job(*MERGE[:2], "models=[x,y]", MERGE[3])
    found = references_of(composed(job), ("method",), job)
    assert found is not None and len(found.jobs) == 1 and told(found) == ""


def _result(columns: tuple[str, ...], *values: float) -> PointResult:
    cells = tuple(Cell(value) for value in values)
    report = Report("a report", tables=(ScoreTable("scores", columns, (TableRow("m", cells),)),))
    return PointResult(SweepPoint("p", (), ()), {}, report)


def test_the_rows_are_the_base_and_each_task_by_its_own_model() -> None:
    job = _job(*MERGE)
    found = references_of(composed(job), ("method",), job)
    assert found is not None
    columns = ("rte", "cola", AVERAGE)
    base, rte, cola = _result(columns, 0.1, 0.2, 0.15), _result(("rte",), 0.6), _result(("cola",), 0.8)
    values = [
        (row.label, [cell and round(cell.value, 6) for cell in row.cells])
        for row in reference_rows(found, [base, rte, cola], columns)
    ]
    assert values == [("Pre-trained", [0.1, 0.2, 0.15]), ("Fine-tuned (STL)", [0.6, 0.8, 0.7])]
    (_, tuned) = reference_rows(found, [base, None, cola], columns)
    assert [cell and cell.value for cell in tuned.cells] == [None, 0.8, None]
    assert reference_rows(found, [None, None, None], columns) == []


def test_references_are_asked_for_by_true_or_false(ramekin: Callable[..., tuple[int, str, str]]) -> None:
    words = ("sweep", "merge", *MERGE, "method.scaling_factor=0,1", "output=out", "--dry-run")
    assert "to be compared with:\n  base on mini/rte, mini/cola\n  runs/rte on mini/rte" in ramekin(*words)[1]
    told_points = json.loads(ramekin(*words, "--json")[1])
    assert len(told_points["points"]) == 2 and len(told_points["references"]) == 3
    assert "compared" not in ramekin(*words, "references=false")[1]
    code, _, err = ramekin(*words, "references=maybe")
    assert code == UsageError.exit_code and "references is true or false" in err
