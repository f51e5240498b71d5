import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.methods.simple_average import simple_average

seeds = st.integers(0, 10_000)


def _random(seed: int, models: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(7, 3, generator=rng) for _ in range(models)]


@given(seed=seeds, models=st.integers(1, 9))
def test_is_the_mean(seed: int, models: int) -> None:
    tensors = _random(seed, models)
    torch.testing.assert_close(simple_average(tensors), torch.stack(tensors).mean(0))


@given(seed=seeds, copies=st.integers(1, 9))
def test_copies_of_one_model_average_to_it(seed: int, copies: int) -> None:
    (tensor,) = _random(seed, 1)
    torch.testing.assert_close(simple_average([tensor] * copies), tensor)


@given(seed=seeds, order=st.permutations(range(5)))
def test_the_order_does_not_matter(seed: int, order: list[int]) -> None:
    tensors = _random(seed, 5)
    torch.testing.assert_close(simple_average([tensors[i] for i in order]), simple_average(tensors))


@given(seed=seeds, weights=st.lists(st.floats(0.1, 10), min_size=3, max_size=3), factor=st.floats(0.1, 10))
def test_weights_count_by_their_shares(seed: int, weights: list[float], factor: float) -> None:
    tensors = _random(seed, 3)
    merged = simple_average(tensors, weights=weights)
    expected = sum(w * t.double() for w, t in zip(weights, tensors, strict=True)) / sum(weights)
    torch.testing.assert_close(merged.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(simple_average(tensors, weights=[w * factor for w in weights]), merged)


def test_weights_as_they_are() -> None:
    tensors = [torch.ones(2), torch.ones(2)]
    assert simple_average(tensors, weights=[2, 3], normalize=False).tolist() == [5.0, 5.0]


def test_inputs_are_left_alone() -> None:
    tensors = _random(0, 3)
    before = [tensor.clone() for tensor in tensors]
    simple_average(tensors)
    simple_average(tensors, weights=[1, 2, 3])
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


@pytest.mark.parametrize(
    ("tensors", "weights", "message"),
    [
        ([], None, "there is nothing to add: expected at least one model"),
        ([torch.ones(1)], [1, 2], "expected 1 weights, got 2"),
        ([torch.ones(1), torch.ones(1)], [1, -1], "the weights add to zero: weights: got 1, -1"),
    ],
)
def test_refusals(tensors: list[torch.Tensor], weights: list[float] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        simple_average(tensors, weights=weights)
