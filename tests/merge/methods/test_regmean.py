import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods.regmean import regmean

SHAPES = [(6, 6), (9, 4), (4, 9), (5, 1), (1, 5)]

kinds = st.sampled_from(["numpy", "torch"])
seeds = st.integers(0, 10_000)
shapes = st.sampled_from(SHAPES)


def layers(seed: int, count: int, shape: tuple[int, int], samples: int = 30) -> tuple[list, list, list]:
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(shape).astype(np.float32).astype(np.float64) for _ in range(count)]
    inputs = [rng.standard_normal((samples, shape[1])) for _ in range(count)]
    return weights, inputs, [(each.T @ each / samples).astype(np.float32) for each in inputs]


@given(
    seed=seeds, count=st.integers(1, 4), shape=shapes, alpha=st.sampled_from([0.0, 0.1, 0.9, 1.0]), kind=kinds
)
def test_is_the_formula(as_kind, seed: int, count: int, shape, alpha: float, kind: str) -> None:
    weights, _, grams = layers(seed, count, shape)
    found = np.asarray(regmean(as_kind(weights, kind), as_kind(grams, kind), off_diagonal=alpha))
    # The paper's form: weights as (in, out), and an inverse.
    shrunk = [alpha * g + (1 - alpha) * np.diag(np.diag(g)) for g in np.asarray(grams, dtype=np.float64)]
    products = sum(g @ w.T for g, w in zip(shrunk, weights, strict=True))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (np.linalg.inv(sum(shrunk)) @ products).T, atol=1e-4)


@given(seed=seeds, kind=kinds)
def test_the_full_gram_gives_the_least_error_on_the_inputs(as_kind, seed: int, kind: str) -> None:
    weights, inputs, grams = layers(seed, 3, (5, 4))

    def error(merged: np.ndarray) -> float:
        return sum(float(((x @ (merged - w).T) ** 2).sum()) for x, w in zip(inputs, weights, strict=True))

    found = np.asarray(regmean(as_kind(weights, kind), as_kind(grams, kind), off_diagonal=1.0))
    least = error(found.astype(np.float64))
    rng = np.random.default_rng(seed)
    assert least < error(np.mean(weights, axis=0))
    for _ in range(5):
        assert least < error(found + 0.01 * rng.standard_normal(found.shape)) + 1e-6


@given(seed=seeds, count=st.integers(1, 3), samples=st.integers(1, 8), kind=kinds)
def test_equal_models_stay_and_inputs_never_active_get_the_mean(
    as_kind, seed: int, count: int, samples: int, kind: str
) -> None:
    weights, inputs, _ = layers(seed, count, (4, 6), samples)
    for each in inputs:
        each[:, 2] = 0.0
    grams = as_kind([each.T @ each / samples for each in inputs], kind)
    equal = regmean(as_kind([weights[0]] * count, kind), grams)
    np.testing.assert_allclose(np.asarray(equal), weights[0], atol=1e-4)
    found = np.asarray(regmean(as_kind(weights, kind), grams))
    np.testing.assert_allclose(found[:, 2], np.mean(weights, axis=0)[:, 2], atol=1e-5)


@given(seed=seeds, order=st.permutations(range(3)), kind=kinds)
def test_the_order_does_not_matter_and_a_huge_ridge_gives_the_mean(
    as_kind, seed: int, order, kind: str
) -> None:
    weights, _, grams = layers(seed, 3, (5, 4))
    weights, grams = as_kind(weights, kind), as_kind(grams, kind)
    found = np.asarray(regmean(weights, grams))
    turned = regmean([weights[i] for i in order], [grams[i] for i in order])
    np.testing.assert_allclose(np.asarray(turned), found, atol=1e-5)
    mean = np.mean([np.asarray(each) for each in weights], axis=0)
    np.testing.assert_allclose(np.asarray(regmean(weights, grams, ridge=1e9)), mean, atol=1e-6)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_few_inputs_of_large_norm_stored_in_fp32_are_solved(as_kind, kind: str) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((8, 64)) for _ in range(2)]
    inputs = [1000 * rng.standard_normal((3, 64)) + 1e4 for _ in range(2)]
    grams = as_kind([each.T @ each for each in inputs], kind)
    found = np.asarray(regmean(as_kind(weights, kind), grams, off_diagonal=1.0))
    assert np.isfinite(found).all() and np.abs(found).max() < 100


def test_each_is_asked_for_once_in_order(watched) -> None:
    weights, _, grams = layers(0, 3, (5, 4))
    models, statistics = watched(weights), watched(grams)
    regmean(models.members, statistics.members)
    assert models.asked == statistics.asked == [0, 1, 2]


def test_refuses_what_cannot_be() -> None:
    weights, _, grams = layers(0, 2, (3, 3))
    with pytest.raises(UsageError, match="every model needs its statistics: expected 2 Gram matrices, got 1"):
        regmean(weights, grams[:1])
    with pytest.raises(UsageError, match="off_diagonal must be from 0 to 1"):
        regmean(weights, grams, off_diagonal=10)
    with pytest.raises(UsageError, match="nothing to merge"):
        regmean([], [])


@given(seed=seeds, count=st.integers(1, 4))
def test_is_the_least_squares_solution_of_the_stacked_data(seed: int, count: int) -> None:
    weights, inputs, _ = layers(seed, count, (5, 4))
    grams = [each.T @ each / len(each) for each in inputs]
    found = regmean(weights, grams, off_diagonal=1.0, ridge=1e-9)
    outputs = np.concatenate([x @ w.T for x, w in zip(inputs, weights, strict=True)])
    expected = np.linalg.lstsq(np.concatenate(inputs), outputs, rcond=None)[0].T
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(seed=seeds, count=st.integers(1, 4), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_inputs_alike_in_all_directions_give_the_mean(seed: int, count: int, scale: float) -> None:
    weights, _, _ = layers(seed, count, (5, 4))
    for alpha in (0.0, 0.1, 1.0):
        found = regmean(weights, [scale * np.eye(4)] * count, off_diagonal=alpha)
        np.testing.assert_allclose(found, np.mean(weights, axis=0), atol=1e-6)


@pytest.mark.parametrize("head", [False, True])
def test_takes_linear_maps_that_have_a_gram_and_the_mean_of_all_else(make_models, head: bool) -> None:
    query, other = (f"encoder.block.{place}.layer.0.SelfAttention.q.weight" for place in (0, 1))
    shapes = {query: (5, 4), other: (6, 4), "shared.weight": (9, 4), "lm_head.weight": (9, 4), "norm": (4,)}
    base, tuned = make_models(3, 2, shapes=shapes)
    rng = np.random.default_rng(0)
    inputs = [{n: rng.standard_normal((30, 4)) for n in (query, "lm_head.weight")} for _ in tuned]
    grams = [{n: x.T @ x / 30 for n, x in each.items()} for each in inputs]
    merged = merge_arrays("regmean", base, tuned, statistics=grams, head=head, scaling_factor=0.5)
    for name, each in merged.items():
        deltas = [model[name] - base[name] for model in tuned]
        direction = np.mean(deltas, axis=0)
        if name == query or (name == "lm_head.weight" and head):
            direction = regmean(deltas, [model[name] for model in grams])
        np.testing.assert_allclose(each, base[name] + 0.5 * direction, atol=1e-5, err_msg=name)
