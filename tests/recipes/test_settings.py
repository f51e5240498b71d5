"""What the configurations of all verbs share."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.schema import TrainConfig


def test_one_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"instruction": "Say it.", "input": "it", "output": "it"}\n')
    config = TrainConfig.model_validate(
        {
            "model": "m",
            "tasks": "mini/rte",
            "track": "tensorboard",
            "eval_with": "loss",
            "tasks_root": str(tmp_path),
        }
    )
    assert (config.tasks, config.track, config.eval_with) == (("mini/rte",), ("tensorboard",), ("loss",))
    assert config.tasks_root == (tmp_path,)
    assert MixtureConfig.model_validate({"name": "glue", "exclude": "glue/rte"}).exclude == ("glue/rte",)


def test_null_is_an_empty_list_only_where_none_need_be_given() -> None:
    assert TrainConfig.model_validate({"model": "m", "task": "mini/rte", "track": None}).track == ()
    with pytest.raises(ValidationError, match="models"):
        MergeConfig.model_validate({"method": {"name": "simple_average"}, "models": None})


def test_the_values_of_a_list_are_checked_each() -> None:
    with pytest.raises(ValidationError, match="'tensorboard', 'trackio' or 'wandb'"):
        TrainConfig.model_validate({"model": "m", "task": "mini/rte", "track": "tensorbord"})


def test_a_task_and_tasks_are_taken_together() -> None:
    config = EvaluateConfig.model_validate({"model": "m", "task": "mini/rte", "tasks": ["mini/qnli"]})
    assert config.task_names == ("mini/rte", "mini/qnli")


@pytest.mark.parametrize("values", [{"bad_rows": "quarantine"}, {"quarantine": "bad.jsonl"}])
def test_quarantine_has_its_file(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="go together"):
        EvaluateConfig.model_validate({"model": "m", "task": "mini/rte", **values})


@pytest.mark.parametrize("output", ["runs", "runs/rte", "runs/rte/../rte"])
def test_nothing_that_is_read_is_overwritten(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/rte").mkdir(parents=True)
    Path("runs/rte/config.json").write_text("{}")
    values = {"model": "runs/rte", "task": "mini/rte", "output": output}
    with pytest.raises(ValidationError, match=r"output: the output .* one of the inputs: .*got runs/rte"):
        EvaluateConfig.model_validate({**values, "overwrite": True})
    EvaluateConfig.model_validate(values)  # which the verb refuses as it exists
    EvaluateConfig.model_validate({**values, "output": "runs/other", "overwrite": True})
    merge = {"method": {"name": "simple_average"}, "models": ["a", "runs/rte"], "overwrite": True}
    with pytest.raises(ValidationError, match="one of the inputs"):
        MergeConfig.model_validate({**merge, "output": output})


def test_data_that_is_read_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    values = {"model": "m", "task": "mini/rte", "data_root": str(tmp_path / "data"), "overwrite": True}
    with pytest.raises(ValidationError, match="holds one of the inputs"):
        EvaluateConfig.model_validate({**values, "output": str(tmp_path)})
