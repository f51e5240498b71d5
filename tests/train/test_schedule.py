import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.train.recipe import Recipe
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


def test_linear_equals_transformers_after_the_warmup():
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = get_linear_schedule_with_warmup(optimizer, 3, 10)
    theirs = [0.3 * reference.lr_lambdas[0](step) for step in range(10)]
    ours = rates(Recipe(max_steps=10, learning_rate=0.3, warmup_steps=3), 10)
    assert ours[3:] == pytest.approx(theirs[3:])
    assert all(rate > 0 for rate in ours)


@given(st.integers(1, 50), st.integers(0, 60), st.sampled_from(["constant", "linear"]))
def test_rates_are_positive_and_at_most_the_given_one(total, warmup, schedule):
    recipe = Recipe(max_steps=total, learning_rate=0.5, schedule=schedule, warmup_steps=warmup)
    assert all(0 < rate <= 0.5 for rate in rates(recipe, total))
