import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.combine import summed
from ramekin.merge.methods.simple_average import simple_average
from ramekin.merge.methods.task_arithmetic import task_arithmetic

seeds = st.integers(0, 10_000)


def _random(seed: int, models: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    base, *tuned = (torch.randn(11, generator=rng) for _ in range(models + 1))
    return base, tuned


@given(seed=seeds, models=st.integers(1, 6), factor=st.floats(-2, 2))
def test_is_the_formula(seed: int, models: int, factor: float) -> None:
    base, tuned = _random(seed, models)
    expected = base.double() + factor * sum(t.double() - base.double() for t in tuned)
    torch.testing.assert_close(
        task_arithmetic(base, tuned, scaling_factor=factor).double(), expected, atol=1e-5, rtol=1e-5
    )


@given(seed=seeds, models=st.integers(1, 6))
def test_factor_zero_is_the_base(seed: int, models: int) -> None:
    base, tuned = _random(seed, models)
    assert torch.equal(task_arithmetic(base, tuned, scaling_factor=0.0), base)


@given(seed=seeds)
def test_factor_one_with_one_model_is_that_model(seed: int) -> None:
    base, tuned = _random(seed, 1)
    torch.testing.assert_close(task_arithmetic(base, tuned, scaling_factor=1.0), tuned[0])


@given(seed=seeds, models=st.integers(1, 6))
def test_factor_one_over_n_is_the_average(seed: int, models: int) -> None:
    base, tuned = _random(seed, models)
    merged = task_arithmetic(base, tuned, scaling_factor=1 / models)
    torch.testing.assert_close(merged, simple_average(tuned), atol=1e-5, rtol=1e-5)


@given(seed=seeds, order=st.permutations(range(4)))
def test_the_order_does_not_matter(seed: int, order: list[int]) -> None:
    base, tuned = _random(seed, 4)
    torch.testing.assert_close(
        task_arithmetic(base, [tuned[i] for i in order]), task_arithmetic(base, tuned), atol=1e-5, rtol=1e-5
    )


@given(seed=seeds, factor=st.floats(-1, 1))
def test_the_base_itself_adds_nothing(seed: int, factor: float) -> None:
    base, tuned = _random(seed, 3)
    with_base = task_arithmetic(base, [*tuned, base], scaling_factor=factor)
    assert torch.equal(with_base, task_arithmetic(base, tuned, scaling_factor=factor))


@given(seed=seeds, factor=st.floats(-2, 2))
def test_is_the_base_plus_the_scaled_direction_bit_for_bit(seed: int, factor: float) -> None:
    base, tuned = _random(seed, 3)
    merged = task_arithmetic(base, tuned, scaling_factor=factor)
    assert torch.equal(merged, base + summed([t - base for t in tuned]) * factor)


def test_inputs_are_left_alone() -> None:
    base, tuned = _random(0, 2)
    before = [base.clone(), *(tensor.clone() for tensor in tuned)]
    task_arithmetic(base, tuned)
    assert all(torch.equal(a, b) for a, b in zip([base, *tuned], before, strict=True))


def test_no_models() -> None:
    with pytest.raises(UsageError, match="there is nothing to add: expected at least one model"):
        task_arithmetic(torch.ones(1), [])
