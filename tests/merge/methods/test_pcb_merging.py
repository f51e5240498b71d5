import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge import cuts
from ramekin.merge.array import TorchDevice
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods.pcb_merging import pcb_merging
from ramekin.merge.run import Walking

Arrays = dict[str, np.ndarray]
ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)
densities = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.8, 1.0])


def by_the_book(rows: np.ndarray, density: float) -> np.ndarray:
    """The authors' form on flat models, `(N, d)`, with values against the sum at zero."""
    count, size = rows.shape
    magnitudes = np.abs(rows)
    ordered = np.sort(magnitudes, axis=1)
    smallest = ordered[:, int(size * 1e-4), None]
    largest = np.maximum(smallest, ordered[:, max(0, int(size * (1 - 1e-4) - 1)), None])
    clamped = np.clip(magnitudes, smallest, largest)
    spread = np.where(largest > smallest, largest - smallest, 1)
    intra = np.exp(count * ((clamped - smallest) / spread) ** 2)
    beta = np.maximum(0, intra * np.tanh(rows * rows.sum(axis=0)))
    if density == 0:
        return np.zeros(size)
    kept = size - int(size * (1 - density))  # as the authors' code rounds
    low = np.sort(beta, axis=1)[:, size - kept, None]
    high = beta.max(axis=1, keepdims=True)
    scale = np.where(high > low, (np.maximum(beta, low) - low) / np.where(high > low, high - low, 1), 0)
    return (scale * np.sign(rows) * clamped).sum(axis=0) / np.maximum(scale.sum(axis=0), 1e-12)


def reference(base: Arrays, deltas: list[Arrays], density: float, factor: float) -> Arrays:
    rows = np.stack([np.concatenate([delta[n].reshape(-1) for n in base]) for delta in deltas])
    merged, place, found = by_the_book(rows, density), 0, {}
    for name, each in base.items():
        found[name] = each + factor * merged[place : place + each.size].reshape(each.shape)
        place += each.size
    return found


@given(seed=seeds, count=st.integers(1, 4), grid=st.booleans(), density=densities)
def test_is_the_book(
    make_models, deltas_of, agree, seed: int, count: int, grid: bool, density: float
) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    found = merge_arrays("pcb_merging", base, tuned, walking=ALONE, density=density, scaling_factor=0.5)
    # a value just above the cut has a weight that is the difference of two nearly equal numbers
    agree(found, reference(base, deltas_of(base, tuned), density, 0.5), 1e-3)


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_large_models_are_clamped_at_both_ends(make_models, deltas_of, agree, density: float) -> None:
    base, tuned = make_models(7, 3, shapes={"a": (100, 200), "b": (10_000,), "c": (33, 7)})
    tuned[0]["b"][:3] += 50  # beyond what is clamped at the largest 0.01 %
    found = merge_arrays("pcb_merging", base, tuned, density=density)
    agree(found, reference(base, deltas_of(base, tuned), density, 1.0), 2e-3)
    assert np.abs(found["b"][:3] - base["b"][:3]).max() < 5


@pytest.mark.parametrize("device", [None, TorchDevice("cpu")], ids=["numpy", "torch"])
def test_zeros_of_one_model_are_no_trouble_when_ranks_are_counted(
    make_models, agree, monkeypatch: pytest.MonkeyPatch, device
) -> None:
    """A zero delta where the others' sum is below zero has a beta of minus zero."""
    base, tuned = make_models(2, 3, shapes={"a": (30, 40), "frozen": (20, 20)})
    tuned[0]["frozen"] = base["frozen"].copy()
    expected = merge_arrays("pcb_merging", base, tuned, walking=ALONE)
    monkeypatch.setattr(cuts, "_PARTITIONED", 0)
    found = merge_arrays("pcb_merging", base, tuned, walking=Walking(device=device, threads=1))
    agree(found, expected, 1e-5)


@given(seed=seeds, count=st.integers(1, 3), density=densities)
def test_the_function_is_the_method_on_one_tensor(
    make_models, deltas_of, seed: int, count: int, density: float
) -> None:
    base, tuned = make_models(seed, count, shapes={"w": (6, 9)})
    deltas = [np.float32(each["w"]) for each in deltas_of(base, tuned)]
    zero = {"w": np.zeros((6, 9), dtype=np.float32)}
    found = merge_arrays(
        "pcb_merging", zero, [{"w": each} for each in deltas], walking=ALONE, density=density
    )
    assert np.array_equal(found["w"], pcb_merging(deltas, density=density))


@given(seed=seeds, count=st.integers(1, 3))
def test_who_works_against_the_sum_has_no_say_and_no_more_than_density_have(
    make_models, deltas_of, seed: int, count: int
) -> None:
    base, tuned = make_models(seed, count, shapes={"a": (10, 8), "b": (20,)})
    zero = {name: np.zeros_like(each) for name, each in base.items()}
    deltas = [{n: np.float32(e) for n, e in each.items()} for each in deltas_of(base, tuned)]
    found = merge_arrays("pcb_merging", zero, deltas, walking=ALONE, density=0.2)
    for name, each in found.items():
        assert (each * sum(np.float64(delta[name]) for delta in deltas) >= 0).all()
    assert sum(np.count_nonzero(each) for each in found.values()) <= count * 0.2 * 100


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_delta_of_equal_values(value: float) -> None:
    base = {"w": np.zeros(6, dtype=np.float32)}
    found = merge_arrays("pcb_merging", base, [{"w": np.full(6, value, dtype=np.float32)}] * 2)
    assert found["w"].tolist() == [0] * 6  # nothing stands out
