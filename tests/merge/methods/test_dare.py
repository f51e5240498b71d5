import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.array import TorchDevice
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

Arrays = dict[str, np.ndarray]
ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)
densities = st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0])


def masks(
    shapes: dict[str, tuple[int, ...]], density: float, *, seed: int = 0, model: int = 0, count: int = 1
) -> Arrays:
    """What is kept of a model: the merge of a delta of ones with models that learned nothing."""
    base = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    ones = {name: np.ones(shape, dtype=np.float32) for name, shape in shapes.items()}
    tuned = [ones if place == model else base for place in range(count)]
    return merge_arrays(
        "dare", base, tuned, walking=ALONE, density=density, seed=seed, rescale="none", scaling_factor=1
    )


@given(
    seed=seeds,
    count=st.integers(1, 3),
    density=densities,
    rescale=st.sampled_from(["inverse", "l1", "none"]),
    merge_func=st.sampled_from([None, "sum", "mean", "max"]),
    weights=st.sampled_from([None, [1, 0.5, 2]]),
    normalize=st.booleans(),
)
def test_is_the_book(
    make_models, deltas_of, election, agree,
    seed: int, count: int, density: float, rescale: str, merge_func, weights, normalize: bool,
) -> None:  # fmt: skip
    base, tuned = make_models(seed, count)
    own = weights and weights[:count]
    more = {} if merge_func is None else {"elect": True, "merge_func": merge_func}
    found = merge_arrays(
        "dare", base, tuned, walking=ALONE, density=density, rescale=rescale, weights=own, seed=seed,
        normalize=normalize, scaling_factor=0.5, **more,
    )  # fmt: skip
    factors = np.asarray(own or [1.0] * count)
    factors = factors / factors.sum() if normalize else factors
    shapes = {name: each.shape for name, each in base.items()}
    rows: list[Arrays] = []
    for model, delta in enumerate(deltas_of(base, tuned)):
        mask = masks(shapes, density, seed=seed, model=model, count=count)
        kept = {name: each * mask[name] for name, each in delta.items()}
        for name, each in kept.items():
            left = np.abs(each).sum()
            if rescale == "inverse":
                kept[name] = each / density
            elif rescale == "l1" and left:
                kept[name] = each * np.abs(delta[name]).sum() / left
        rows.append(kept)
    for name, merged in found.items():
        parts = [row[name] for row in rows]
        if merge_func is None:
            direction = sum(factor * part for factor, part in zip(factors, parts, strict=True))
        else:
            direction = election(parts, list(factors), merge_func)
        np.testing.assert_allclose(merged, base[name] + 0.5 * direction, rtol=2e-5, atol=2e-5, err_msg=name)


def test_on_average_over_seeds_it_is_task_arithmetic(make_models, deltas_of) -> None:
    base, tuned = make_models(1, 2, shapes={"a": (6, 5), "b": (11,)})
    runs, density = 600, 0.3
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    deltas = deltas_of(base, tuned)
    given_deltas = [{n: np.float32(each) for n, each in delta.items()} for delta in deltas]
    total = {name: np.zeros(each.shape) for name, each in base.items()}
    for seed in range(runs):
        found = merge_arrays(
            "dare", zero, given_deltas, walking=ALONE, density=density, seed=seed, scaling_factor=1
        )
        for name, each in found.items():
            total[name] += each
    for name, each in total.items():
        expected = sum(delta[name] for delta in deltas)
        # the variance of delta * mask / density, over as many runs
        variance = sum(delta[name] ** 2 for delta in deltas) * (1 - density) / density / runs
        assert (np.abs(each / runs - expected) < 5 * np.sqrt(variance)).all()


@pytest.mark.parametrize("density", [0.1, 0.5, 0.77])
def test_as_large_a_share_is_kept_as_it_says(density: float) -> None:
    size = 40_000
    kept = masks({"w": (size,)}, density)["w"]
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert abs(kept.mean() - density) < 5 * np.sqrt(density * (1 - density) / size)


def test_masks_of_other_seeds_models_and_tensors_have_nothing_in_common() -> None:
    shapes = {"a": (20_000,), "b": (20_000,)}
    one = masks(shapes, 0.5, count=2)
    others = [
        one["b"],
        masks(shapes, 0.5, seed=1, count=2)["a"],
        masks(shapes, 0.5, model=1, count=2)["a"],
        np.roll(one["a"], 1),
    ]
    for other in others:
        assert abs((one["a"] == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(20_000)


def test_a_mask_depends_on_seed_tensor_place_and_model_alone() -> None:
    alone = masks({"w": (30, 7)}, 0.4, seed=3)["w"].reshape(-1)
    beside = masks({"a": (999,), "w": (30, 7), "z": ()}, 0.4, seed=3, count=3)["w"]
    assert np.array_equal(beside.reshape(-1), alone)
    assert np.array_equal(masks({"w": (7, 30)}, 0.4, seed=3)["w"].reshape(-1), alone)
    assert np.array_equal(masks({"w": (500,)}, 0.4, seed=3)["w"][:210], alone)
    less = masks({"w": (210,)}, 0.3, seed=3)["w"]
    assert (less <= alone).all()  # a smaller density keeps fewer of the same


@pytest.mark.parametrize("rescale", ["inverse", "l1"])
def test_a_mask_does_not_depend_on_chunks_threads_or_device(
    make_models, agree, monkeypatch: pytest.MonkeyPatch, rescale: str
) -> None:
    monkeypatch.setattr("ramekin.merge.stream.BLOCK", 8)
    monkeypatch.setattr("ramekin.merge.sums.BLOCK", 8)
    base, tuned = make_models(5, 2, shapes={"a": (10, 13), "b": (100,), "c": (30, 1)})
    whole = merge_arrays("dare", base, tuned, walking=ALONE, rescale=rescale, seed=9)
    for length, threads in ((8, 1), (40, 3)):
        walking = Walking(chunk_length=length, threads=threads)
        cut = merge_arrays("dare", base, tuned, walking=walking, rescale=rescale, seed=9)
        assert all(np.array_equal(cut[name], whole[name]) for name in base)
    torch = merge_arrays(
        "dare", base, tuned, walking=Walking(device=TorchDevice("cpu")), rescale=rescale, seed=9
    )
    agree(torch, whole, 1e-6)


@given(seed=seeds, density=st.sampled_from([0.2, 0.5]))
def test_l1_restores_the_sum_of_the_magnitudes_of_every_tensor(
    make_models, deltas_of, seed: int, density: float
) -> None:
    base, tuned = make_models(seed, 1)
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    (delta,) = deltas_of(base, tuned)
    given_delta = {name: np.float32(each) for name, each in delta.items()}
    found = merge_arrays(
        "dare", zero, [given_delta], walking=ALONE, density=density, seed=seed, rescale="l1", scaling_factor=1
    )
    for name, each in found.items():
        if np.count_nonzero(each):  # all of a small tensor may have been dropped
            assert np.abs(np.float64(each)).sum() == pytest.approx(np.abs(delta[name]).sum(), rel=1e-5)


@given(seed=seeds, count=st.integers(1, 3), rescale=st.sampled_from(["inverse", "l1", "none"]))
def test_density_one_is_task_arithmetic(make_models, agree, seed: int, count: int, rescale: str) -> None:
    base, tuned = make_models(seed, count)
    found = merge_arrays("dare", base, tuned, walking=ALONE, density=1, rescale=rescale)
    agree(found, merge_arrays("task_arithmetic", base, tuned, walking=ALONE), 1e-6)


def test_densities_by_model_and_by_tensor() -> None:
    shapes = {"encoder.block.0.w": (400,), "decoder.block.0.w": (400,)}
    base = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    tuned = [{name: np.full(400, value, dtype=np.float32) for name in shapes} for value in (1, 1000)]
    density = [1, {"encoder": 1, "decoder": 0.25}]
    found = merge_arrays("dare", base, tuned, density=density, rescale="none", scaling_factor=1)
    assert set(found["encoder.block.0.w"]) == {1001}
    assert set(found["decoder.block.0.w"]) == {1, 1001}


@pytest.mark.parametrize("density", [0, [0.5, 0.0], {"w": 0, ".*": 0.5}, {"depth": [0.0, 1.0]}])
def test_a_density_of_zero_is_refused_wherever_it_stands(make_models, density) -> None:
    base, tuned = make_models(0, 2)
    with pytest.raises(UsageError, match="density: expected a share above 0"):
        merge_arrays("dare", base, tuned, density=density)
