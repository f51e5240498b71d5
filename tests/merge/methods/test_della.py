import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.array import TorchDevice
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods.della import della
from ramekin.merge.run import Walking

Arrays = dict[str, np.ndarray]
ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)
densities = st.sampled_from([0.1, 0.25, 0.5, 0.8, 1.0])
epsilons = st.sampled_from([0.0, 0.1, 0.15, 0.5])


def chances(delta: np.ndarray, density: float, epsilon: float) -> np.ndarray:
    """How likely each value is kept, row by row, from the order of the magnitudes."""
    within = min(epsilon, density, 1 - density)
    found = np.full(delta.shape, density, dtype=np.float64)
    rows = [found] if delta.ndim == 1 else list(found.reshape(-1, *delta.shape[-1:]))
    values = [delta] if delta.ndim == 1 else list(delta.reshape(-1, *delta.shape[-1:]))
    for row, own in zip(rows, values, strict=True):
        if delta.ndim == 0 or len(own) < 2:
            continue
        for rank, place in enumerate(sorted(range(len(own)), key=lambda each: abs(own[each]))):
            row[place] = density - within + 2 * within * rank / (len(own) - 1)
    return found


def kept_of(base: Arrays, tuned: list[Arrays], model: int, **settings) -> Arrays:
    """What DELLA makes of one model's delta: the merge with models that learned nothing."""
    others = [each if place == model else base for place, each in enumerate(tuned)]
    found = merge_arrays("della", base, others, walking=ALONE, elect=False, scaling_factor=1, **settings)
    return {name: np.float64(found[name]) - base[name] for name in base}


@given(seed=seeds, count=st.integers(1, 3), density=densities, epsilon=epsilons)
def test_a_value_is_dropped_or_divided_by_its_probability(
    make_models, deltas_of, seed: int, count: int, density: float, epsilon: float
) -> None:
    base, tuned = make_models(seed, count)
    settings = {"density": density, "epsilon": epsilon, "seed": seed}
    for model, delta in enumerate(deltas_of(base, tuned)):
        found = kept_of(base, tuned, model, **settings)
        for name, each in delta.items():
            likely = chances(each, density, epsilon)
            scaled = each / np.where(likely > 0, likely, 1)
            # from the base and back again, so that a dropped value is a rounding away from zero
            kept = np.abs(found[name]) > 1e-5
            np.testing.assert_allclose(found[name], np.where(kept, scaled, 0), rtol=1e-4, atol=2e-5)
            assert kept[(likely >= 1) & (np.abs(each) > 1e-4)].all() and not kept[likely <= 0].any()


@given(
    seed=seeds,
    count=st.integers(1, 3),
    merge_func=st.sampled_from([None, "sum", "mean", "max"]),
    weights=st.sampled_from([None, [1, 0.5, 2]]),
    rescale=st.sampled_from(["inverse", "l1", "none"]),
)
def test_what_is_kept_of_each_is_added_or_elected(
    make_models, election, agree, seed: int, count: int, merge_func, weights, rescale: str
) -> None:
    base, tuned = make_models(seed, count, grid=True)
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    deltas = [{name: each[name] - base[name] for name in base} for each in tuned]
    own = weights and weights[:count]
    settings = {"seed": seed, "rescale": rescale}
    rows = [kept_of(zero, deltas, model, **settings) for model in range(count)]
    found = merge_arrays(
        "della", zero, deltas, walking=ALONE, elect=merge_func is not None, merge_func=merge_func or "sum",
        weights=own, scaling_factor=0.5, **settings,
    )  # fmt: skip
    factors = own or [1.0] * count
    expected = {}
    for name in base:
        parts = [row[name] for row in rows]
        expected[name] = 0.5 * (
            sum(factor * part for factor, part in zip(factors, parts, strict=True))
            if merge_func is None
            else election(parts, factors, merge_func)
        )
    cancelled = {
        name: np.abs(sum(f * r[name] for f, r in zip(factors, rows, strict=True))) < 1e-6 for name in base
    }
    for name in base:  # which sign a sum of zero has is a matter of rounding
        expected[name] = np.where(cancelled[name], found[name], expected[name])
    agree(found, expected)


@pytest.mark.parametrize(("density", "epsilon"), [(0.5, 0.15), (0.3, 0.1), (0.1, 0.15), (0.9, 0.3)])
def test_values_are_kept_as_often_as_their_rank_has_it(density: float, epsilon: float) -> None:
    rows, row = 4000, np.float32([0.5, -3, 1, 2, -0.25])
    base, tuned = {"w": np.zeros((rows, 5), dtype=np.float32)}, {"w": np.tile(row, (rows, 1))}
    kept = kept_of(base, [tuned], 0, density=density, epsilon=epsilon, seed=4)["w"] != 0
    likely = chances(row, density, epsilon)
    assert likely.mean() == pytest.approx(density)
    assert (np.abs(kept.mean(axis=0) - likely) <= 5 * np.sqrt(likely * (1 - likely) / rows) + 1e-7).all()
    assert abs(np.corrcoef(kept[:, 2], kept[:, 3])[0, 1]) < 5 / np.sqrt(rows)  # each for itself


def test_on_average_over_seeds_it_is_the_delta() -> None:
    base = {"w": np.zeros((3, 4), dtype=np.float32)}
    delta = {"w": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    runs, total = 600, np.zeros((3, 4))
    for seed in range(runs):
        total += kept_of(base, [delta], 0, seed=seed)["w"]
    likely = chances(delta["w"], 0.5, 0.15)
    deviation = np.abs(delta["w"]) * np.sqrt((1 - likely) / likely / runs)
    assert (np.abs(total / runs - delta["w"]) < 5 * deviation).all()


@given(seed=seeds, count=st.integers(1, 3), rescale=st.sampled_from(["inverse", "l1", "none"]))
def test_density_one_keeps_everything(make_models, agree, seed: int, count: int, rescale: str) -> None:
    base, tuned = make_models(seed, count)
    found = merge_arrays(
        "della", base, tuned, walking=ALONE, density=1, rescale=rescale, elect=False, scaling_factor=0.3
    )
    agree(found, merge_arrays("task_arithmetic", base, tuned, walking=ALONE), 1e-6)
    elected = merge_arrays("della", base, tuned, walking=ALONE, density=1, rescale=rescale)
    ties = merge_arrays(
        "ties_merging", base, tuned, walking=ALONE, density=1, merge_func="mean", scaling_factor=1
    )
    agree(elected, ties, 1e-6)


@given(seed=seeds, count=st.integers(1, 3), density=st.sampled_from([0.25, 0.5]))
def test_without_epsilon_it_is_dare(make_models, seed: int, count: int, density: float) -> None:
    base, tuned = make_models(seed, count)
    settings = {"density": density, "seed": seed, "scaling_factor": 0.5, "elect": False}
    found = merge_arrays("della", base, tuned, walking=ALONE, epsilon=0, **settings)
    dare = merge_arrays("dare", base, tuned, walking=ALONE, **settings)
    assert all(np.array_equal(found[name], dare[name]) for name in base)


@given(seed=seeds)
def test_density_zero_keeps_nothing(make_models, seed: int) -> None:
    base, tuned = make_models(seed, 2)
    found = merge_arrays("della", base, tuned, walking=ALONE, density=0)
    assert all(np.array_equal(found[name], base[name]) for name in base)


@given(seed=seeds)
def test_l1_restores_the_sum_of_the_magnitudes(make_models, seed: int) -> None:
    base, tuned = make_models(seed, 1)
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    delta = {name: tuned[0][name] - base[name] for name in base}
    found = kept_of(zero, [delta], 0, seed=seed, rescale="l1")
    for name, each in found.items():
        if np.count_nonzero(each):
            assert np.abs(each).sum() == pytest.approx(np.abs(np.float64(delta[name])).sum(), rel=1e-5)


@pytest.mark.parametrize("rescale", ["inverse", "l1"])
@pytest.mark.parametrize("length", [8, 24])
def test_columns_and_long_vectors_do_not_depend_on_chunks(
    make_models, agree, monkeypatch: pytest.MonkeyPatch, rescale: str, length: int
) -> None:
    monkeypatch.setattr("ramekin.merge.stream.BLOCK", 8)
    monkeypatch.setattr("ramekin.merge.sums.BLOCK", 8)
    shapes = {"column": (40, 1), "vector": (50,), "matrix": (9, 7), "scale": ()}
    base, tuned = make_models(2, 2, shapes=shapes)
    whole = merge_arrays("della", base, tuned, walking=ALONE, rescale=rescale)
    cut = merge_arrays("della", base, tuned, walking=Walking(chunk_length=length, threads=2), rescale=rescale)
    assert all(np.array_equal(cut[name], whole[name]) for name in base)
    torch = merge_arrays("della", base, tuned, walking=Walking(device=TorchDevice("cpu")), rescale=rescale)
    agree(torch, whole, 1e-5)


@pytest.mark.parametrize("shape", [(), (4,), (2, 6)])
def test_the_function_is_the_method(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    deltas = [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]
    base = {"w": np.zeros(shape, dtype=np.float32)}
    found = merge_arrays("della", base, [{"w": delta} for delta in deltas], density=0.1, seed=3)
    np.testing.assert_allclose(found["w"], della(deltas, density=0.1, seed=3, name="w"), rtol=1e-6)
