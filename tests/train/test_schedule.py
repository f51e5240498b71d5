import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.train.recipe import Recipe, ScheduleName
from ramekin.train.schedule import learning_rate_at


def rates(recipe, total):
    return [learning_rate_at(recipe, step, total) for step in range(total)]


def test_constant_with_warmup():
    recipe = Recipe(max_steps=6, learning_rate=1.0, schedule="constant", warmup_steps=4)
    assert rates(recipe, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_falls_to_zero_after_the_last_step():
    recipe = Recipe(max_steps=4, learning_rate=1.0, schedule="linear")
    assert rates(recipe, 4) == [1.0, 0.75, 0.5, 0.25]
    assert learning_rate_at(recipe, 4, 4) == 0.0


def test_cosine_falls_by_half_a_wave():
    recipe = Recipe(max_steps=4, learning_rate=1.0, schedule="cosine")
    half = math.cos(math.pi / 4)
    assert rates(recipe, 4) == pytest.approx([1.0, (1 + half) / 2, 0.5, (1 - half) / 2])
    assert learning_rate_at(recipe, 4, 4) == 0.0


def test_inverse_square_root_halves_when_the_steps_are_four_times_as_many():
    recipe = Recipe(max_steps=9, learning_rate=1.0, schedule="inverse_square_root", warmup_steps=4)
    assert learning_rate_at(recipe, 16, 100) == pytest.approx(0.5)
    assert rates(recipe, 9)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    bare = Recipe(max_steps=9, learning_rate=1.0, schedule="inverse_square_root")
    assert rates(bare, 9)[::3] == pytest.approx([1.0, 1 / 2, 7**-0.5])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_final_rate_is_reached_after_the_last_step_and_kept(schedule):
    recipe = Recipe(
        max_steps=10, learning_rate=1.0, schedule=schedule, warmup_steps=2, final_learning_rate=0.1
    )
    found = rates(recipe, 10)
    assert found == sorted(found[:2]) + sorted(found[2:], reverse=True)
    assert 0.1 < found[-1] < 0.25
    assert learning_rate_at(recipe, 10, 10) == learning_rate_at(recipe, 99, 10) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup", [0, 1, 3])
@pytest.mark.parametrize(
    ("schedule", "library", "final"),
    [
        ("constant", "constant_with_warmup", 0.0),
        ("linear", "linear", 0.0),
        ("cosine", "cosine", 0.0),
        ("cosine", "cosine_with_min_lr", 0.03),
        ("inverse_square_root", "inverse_sqrt", 0.0),
    ],
)
def test_after_the_warmup_all_equal_transformers(schedule, library, final, warmup):
    """And in it they are one step ahead, at any number of steps."""
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    more = {"min_lr": final} if library == "cosine_with_min_lr" else {}
    if library == "inverse_sqrt" and not warmup:
        more = {"timescale": 1}  # its own, without a warm-up, is 10,000
    reference = get_scheduler(
        library, optimizer, num_warmup_steps=warmup, num_training_steps=10, scheduler_specific_kwargs=more
    )
    theirs = [0.3 * reference.lr_lambdas[0](step) for step in range(11)]
    recipe = Recipe(
        max_steps=10, learning_rate=0.3, schedule=schedule, warmup_steps=warmup, final_learning_rate=final
    )
    ours = [learning_rate_at(recipe, step, 10) for step in range(11)]
    assert ours[warmup:10] == pytest.approx(theirs[warmup:10], rel=1e-12)
    assert ours[:warmup] == pytest.approx(theirs[1 : warmup + 1], rel=1e-12)
    assert ours[10] == pytest.approx(theirs[10], rel=1e-12, abs=1e-15)


@given(st.integers(1, 50), st.integers(0, 60), st.sampled_from(get_args(ScheduleName)))
def test_rates_are_positive_and_at_most_the_given_one(total, warmup, schedule):
    recipe = Recipe(max_steps=total, learning_rate=0.5, schedule=schedule, warmup_steps=warmup)
    found = rates(recipe, total)
    assert all(0 < rate <= 0.5 for rate in found)
    assert found[:warmup] == sorted(found[:warmup]) and found[warmup:] == sorted(found[warmup:], reverse=True)
