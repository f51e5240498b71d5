import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods.fisher import fisher, inverse_norms

SHAPES = [(6,), (5, 4), (1, 5), (2, 3, 4)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def models(seed: int, count: int, shape: tuple[int, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    tuned = [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
    return tuned, [(10.0 ** rng.uniform(-9, 0, shape)).astype(np.float32) for _ in range(count)]


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, floor=st.sampled_from([1e-6, 1e-2]), kind=kinds)
def test_is_the_formula(as_kind, seed: int, count: int, shape, floor: float, kind: str) -> None:
    tuned, fishers = models(seed, count, shape)
    weights = [1.0 + place for place in range(count)]
    found = np.asarray(fisher(as_kind(tuned, kind), as_kind(fishers, kind), weights=weights, floor=floor))
    precisions = [w * np.maximum(f.astype(np.float64), floor) for w, f in zip(weights, fishers, strict=True)]
    expected = sum(p * t for p, t in zip(precisions, tuned, strict=True)) / sum(precisions)
    assert found.shape == shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(seed=seeds, count=st.integers(1, 4), floor=st.sampled_from([1e-6, 1e-2]), kind=kinds)
def test_the_floor_may_be_added(as_kind, seed: int, count: int, floor: float, kind: str) -> None:
    tuned, fishers = models(seed, count, (5, 4))
    found = fisher(as_kind(tuned, kind), as_kind(fishers, kind), floor=floor, small_values="added")
    precisions = [f.astype(np.float64) + floor for f in fishers]
    expected = sum(p * t for p, t in zip(precisions, tuned, strict=True)) / sum(precisions)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


@given(seed=seeds, order=st.permutations(range(3)), shape=shapes, kind=kinds)
def test_the_order_does_not_matter_and_lies_between_the_models(
    as_kind, seed: int, order, shape, kind: str
) -> None:
    tuned, fishers = (as_kind(each, kind) for each in models(seed, 3, shape))
    found = np.asarray(fisher(tuned, fishers))
    turned = fisher([tuned[i] for i in order], [fishers[i] for i in order])
    np.testing.assert_allclose(np.asarray(turned), found, atol=1e-6)
    stacked = np.stack([np.asarray(each) for each in tuned])
    assert (found <= stacked.max(0) + 1e-6).all() and (found >= stacked.min(0) - 1e-6).all()


@given(seed=seeds, count=st.integers(1, 4), shape=shapes, kind=kinds)
def test_equal_models_stay_and_no_information_gives_the_weighted_mean(
    as_kind, seed: int, count: int, shape, kind: str
) -> None:
    tuned, fishers = models(seed, count, shape)
    equal = fisher(as_kind([tuned[0]] * count, kind), as_kind(fishers, kind))
    np.testing.assert_allclose(np.asarray(equal), tuned[0], rtol=1e-5, atol=1e-6)
    weights = [1.0 + place for place in range(count)]
    nothing = fisher(as_kind(tuned, kind), as_kind([np.zeros(shape)] * count, kind), weights=weights)
    np.testing.assert_allclose(
        np.asarray(nothing), np.average(tuned, axis=0, weights=weights), rtol=1e-5, atol=1e-6
    )


@given(squares=st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_inverse_norms_are_shares_that_even_lengths_out(squares: list[float]) -> None:
    weights = inverse_norms(squares)
    assert sum(weights) == pytest.approx(1.0)
    lengths = [w * (s**0.5 + 1e-6) for w, s in zip(weights, squares, strict=True)]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9)


def test_each_is_asked_for_once_in_order(watched) -> None:
    tuned, fishers = (watched(each) for each in models(0, 3, (5, 4)))
    fisher(tuned.members, fishers.members)
    assert tuned.asked == fishers.asked == [0, 1, 2]


def test_refuses_what_cannot_be() -> None:
    tuned, fishers = models(0, 2, (3,))
    with pytest.raises(UsageError, match="Fisher tensors must be one for each model: expected 2, got 1"):
        fisher(tuned, fishers[:1])
    with pytest.raises(UsageError, match="weights must be one for each model: expected 2, got 3"):
        fisher(tuned, fishers, weights=[1, 1, 1])
    with pytest.raises(UsageError, match="the floor must be above 0"):
        fisher(tuned, fishers, floor=0.0)
    for weights in ([-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(UsageError, match="weights must not be negative or all zero"):
            fisher(tuned, fishers, weights=weights)
    with pytest.raises(UsageError, match="nothing to merge"):
        fisher([], [])


@given(seed=seeds, count=st.integers(1, 4), shape=shapes)
def test_equal_statistics_give_the_weighted_mean(seed: int, count: int, shape) -> None:
    tuned, (one, *_) = models(seed, count, shape)
    weights = [1.0 + place for place in range(count)]
    found = fisher(tuned, [one] * count, weights=weights)
    np.testing.assert_allclose(found, np.average(tuned, axis=0, weights=weights), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "floored"), [("none", np.maximum), ("fusionbench", np.add)], ids=["raised", "added"]
)
@given(seed=seeds, count=st.integers(1, 3), normalize=st.booleans(), floor=st.sampled_from([1e-6, 0.1]))
def test_models_are_merged_as_the_authors_code_and_fusionbench_do(
    make_models, preset: str, floored, seed: int, count: int, normalize: bool, floor: float
) -> None:
    base, tuned = make_models(seed, count)
    rng = np.random.default_rng(seed)
    fishers = [
        {name: rng.random(each.shape) * 10.0**place for name, each in base.items()} for place in range(count)
    ]
    weights = [1.0 + place for place in range(count)]
    settings = {"weights": weights, "normalize": normalize, "floor": floor, "preset": preset}
    merged = merge_arrays("fisher", base, tuned, statistics=fishers, **settings)
    lengths = [np.sqrt(sum((each**2).sum() for each in model.values())) for model in fishers]
    for name, found in merged.items():
        shares = [
            weight / (length if normalize else 1.0) * floored(model[name], floor)
            for weight, length, model in zip(weights, lengths, fishers, strict=True)
        ]
        total = sum(
            share * model[name].astype(np.float64) for share, model in zip(shares, tuned, strict=True)
        )
        np.testing.assert_allclose(found, total / sum(shares), rtol=1e-4, atol=1e-5, err_msg=name)
