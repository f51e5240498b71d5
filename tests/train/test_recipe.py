import math

import pytest

from ramekin.errors import UsageError
from ramekin.train.recipe import Recipe


def test_steps_follow_from_epochs_and_the_batch():
    recipe = Recipe(epochs=3, global_batch=8)
    assert (recipe.steps_per_epoch(17), recipe.total_steps(17)) == (3, 9)
    assert Recipe(max_steps=5).total_steps(17) == 5


def test_fp16_is_refused_with_the_reason():
    with pytest.raises(UsageError, match=r"fp16 is refused: T5's .* 65504.*expected auto, fp32 or bf16"):
        Recipe(max_steps=1, precision="fp16")


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("loss", "lowest"),
        ("mini/rte loss", "lowest"),
        ("mini/rte accuracy", "highest"),
        ("average", "highest"),
        ("weightloss", "highest"),
        (None, "highest"),
    ],
)
def test_the_best_loss_is_the_lowest_unless_the_recipe_says_otherwise(metric, best):
    assert Recipe(max_steps=1, eval_every=1, best_metric=metric).best_value == best
    for said in ("lowest", "highest"):
        assert Recipe(max_steps=1, eval_every=1, best_metric=metric, best_is=said).best_value == said
    with pytest.raises(UsageError, match="unknown best_is 'low'"):
        Recipe(max_steps=1, best_is="low")


def test_names_are_checked_with_the_nearest():
    with pytest.raises(UsageError, match="unknown optimizer 'adamv': did you mean 'adamw'"):
        Recipe(max_steps=1, optimizer="adamv")
    with pytest.raises(UsageError, match="unknown schedule 'linaer': did you mean 'linear'"):
        Recipe(max_steps=1, schedule="linaer")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_steps", 0),
        ("global_batch", 0),
        ("micro_batch_tokens", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("warmup_steps", -1),
        ("weight_decay", -0.1),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("epsilon", 0.0),
        ("decay_rate", 0.0),
        ("final_learning_rate", -1e-5),
        ("max_grad_norm", 0.0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("checkpoint_every", 0),
        ("eval_every", 0),
        ("log_every", 0),
        ("max_input_tokens", 1),
        ("max_target_tokens", 1),
    ],
)
def test_numbers_out_of_range_are_named(key, value):
    with pytest.raises(UsageError, match=f"{key}: expected >"):
        Recipe(**{"max_steps": 1, key: value})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "adafactor", "beta2": 0.99}, "beta2: the optimizer 'adafactor' has none, got 0.99"),
        ({"optimizer": "adafactor", "beta1": 0.0}, "beta1: the optimizer 'adafactor' has none, got 0.0"),
        ({"decay_rate": 0.8}, "decay_rate: the optimizer 'adamw' has none"),
        (
            {"schedule": "constant", "final_learning_rate": 1e-5},
            "final_learning_rate: the schedule 'constant' has none",
        ),
        ({"learning_rate": 1e-3, "final_learning_rate": 2e-3}, "expected <= learning_rate, got 0.002"),
        ({"patience": 3, "eval_every": 1}, "patience: expected a best_metric to wait for"),
        ({"best_metric": "loss"}, "best_metric: expected eval_every or eval_every_epochs"),
        ({"best_metric": "loss", "patience": 3}, "best_metric: expected eval_every or eval_every_epochs"),
    ],
)
def test_a_number_that_would_do_nothing_is_refused(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe(max_steps=1, **settings)


def test_all_problems_are_shown_at_once():
    with pytest.raises(UsageError) as caught:
        Recipe(learning_rate=-1, dropout=2, optimizer="sgd")
    for part in (
        "4 problems",
        "max_steps, epochs: expected one of them, got neither",
        "learning_rate",
        "dropout",
    ):
        assert part in str(caught.value)


def test_steps_and_epochs_exclude_each_other():
    with pytest.raises(UsageError, match="max_steps, epochs: expected one of them, got both"):
        Recipe(max_steps=1, epochs=1)
