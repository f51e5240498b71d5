"""Keys by their full names, and what is wrong with one, told from the schema alone."""

import pytest

from ramekin.recipes.keys import full_key, key_problem
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.schema import FuseConfig, RunConfig, TrainConfig


@pytest.mark.parametrize(
    ("schema", "key", "value", "full"),
    [
        (TrainConfig, "max_steps", 3, "training.max_steps"),
        (TrainConfig, "training.max_steps", 3, "training.max_steps"),
        (TrainConfig, "mixture", "glue", "mixture.name"),
        (TrainConfig, "mixture", {"name": "glue"}, "mixture"),
        (TrainConfig, "mixture.exclude", "a/b", "mixture.exclude"),
        (TrainConfig, "seed", 1, "seed"),
        (RunConfig, "train_rows", 5, "recipe.train_rows"),
        (TrainConfig, "nowhere", 1, "nowhere"),
    ],
)
def test_a_key_may_stand_without_its_group(schema: type, key: str, value: object, full: str) -> None:
    assert full_key(schema, key, value) == full


@pytest.mark.parametrize(
    ("schema", "path", "problem"),
    [
        (TrainConfig, "training.max_steps", None),
        (TrainConfig, "training.max_step", "unknown key 'training.max_step': did you mean 'training.max_steps'?"),
        (TrainConfig, "rank", "unknown key 'rank': did you mean 'adapter.rank'?"),
        (TrainConfig, "label_smoothing", "unknown key 'label_smoothing': did you mean 'objective.label_smoothing'?"),
        (TrainConfig, "warmup", "unknown key 'warmup': did you mean 'warmup_steps'?"),
        (TrainConfig, "seed.x", "the key 'seed' has no keys below it, yet 'seed.x' was given"),
        (FuseConfig, "method.anything.at.all", None),
        (FuseConfig, "modelpool.models.mine.peft_model_path", None),
        (MergeConfig, "mdels", "unknown key 'mdels': did you mean 'models'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_key_is_told_by_the_schema(schema: type, path: str, problem: str | None) -> None:
    assert key_problem(schema, path.split(".")) == problem
