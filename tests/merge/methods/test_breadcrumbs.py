import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge import cuts
from ramekin.merge.direction import merge_arrays
from ramekin.merge.methods.breadcrumbs import breadcrumbs, left_out
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)
ends = st.sampled_from(
    [(0.9, 0.01), (0.5, 0.1), (0.3, 0.3), (0.75, 0.25), (0.05, 0.0), (0.6, 0.4), (1.0, 0.2)]
)


def crumbs(delta: np.ndarray, density: float, gamma: float) -> np.ndarray:
    """One tensor's delta without both ends, by putting its elements in order; equal ones stay together."""
    if density == 1 or delta.size == 0:
        return delta
    flat = delta.reshape(-1)
    order = sorted(range(flat.size), key=lambda place: abs(flat[place]))
    top = min(int(gamma * flat.size), flat.size - 1)
    kept = order[max(0, flat.size - top - max(1, round(density * flat.size))) : flat.size - top]
    low, high = abs(flat[kept[0]]), abs(flat[kept[-1]])
    return np.asarray([x if low <= abs(x) <= high else 0.0 for x in flat]).reshape(delta.shape)


@given(
    seed=seeds,
    count=st.integers(1, 3),
    grid=st.booleans(),
    end=ends,
    weights=st.sampled_from([None, [1, 0.5, 2]]),
    merge_func=st.sampled_from([None, "sum", "mean", "max"]),
)
def test_is_the_book(
    make_models, deltas_of, election, agree, seed: int, count: int, grid: bool, end, weights, merge_func
) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    own = weights and weights[:count]
    more = {} if merge_func is None else {"elect": True, "merge_func": merge_func}
    found = merge_arrays(
        "breadcrumbs", base, tuned, walking=ALONE, density=end[0], gamma=end[1], weights=own,
        scaling_factor=0.5, **more,
    )  # fmt: skip
    rows = [{n: crumbs(each, *end) for n, each in delta.items()} for delta in deltas_of(base, tuned)]
    factors = own or [1.0] * count

    def direction(name: str) -> np.ndarray:
        parts = [row[name] for row in rows]
        if merge_func is not None:
            return election(parts, factors, merge_func)
        return sum(factor * part for factor, part in zip(factors, parts, strict=True))

    agree(found, {name: base[name] + 0.5 * direction(name) for name in base})


@given(seed=seeds, size=st.integers(1, 300), end=ends)
def test_as_many_are_left_out_at_either_end_as_it_says(seed: int, size: int, end) -> None:
    delta = np.random.default_rng(seed).permutation(np.arange(1, size + 1)).astype(np.float32)
    kept = np.sort(breadcrumbs([delta], density=end[0], gamma=end[1]))
    kept = kept[kept != 0]
    smallest, largest = left_out(size, *end)
    assert kept.tolist() == list(range(1 + smallest, size + 1 - largest))
    assert end[0] == 1 or len(kept) in (max(1, round(end[0] * size)), size - largest)


def test_a_small_tensor_keeps_its_largest_where_gamma_is_less_than_one_value() -> None:
    small = {"w": np.arange(1, 11, dtype=np.float32)}
    found = merge_arrays("breadcrumbs", {"w": np.zeros(10)}, [small], scaling_factor=1)
    assert found["w"].tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("end", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1e-9, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_something_is_kept_wherever_something_is_asked_for(end, size: int) -> None:
    smallest, largest = left_out(size, *end)
    assert smallest >= 0 and largest >= 0 and (smallest + largest < size) == (end[0] > 0)
    assert (smallest, largest) == (0, 0) or end[0] < 1
    found = merge_arrays(
        "breadcrumbs", {"w": np.zeros(size)}, [{"w": np.arange(1.0, size + 1)}], density=end[0], gamma=end[1]
    )
    assert np.count_nonzero(found["w"]) == size - smallest - largest
    function = breadcrumbs([np.arange(1.0, size + 1)], density=end[0], gamma=end[1])
    assert np.count_nonzero(function) == size - smallest - largest


@pytest.mark.parametrize("walking", [ALONE, Walking(threads=2, chunk_length=8)])
def test_by_counting_as_by_order(make_models, monkeypatch: pytest.MonkeyPatch, walking: Walking) -> None:
    base, tuned = make_models(3, 3)
    settings = {"density": [0.5, 0.7, {"depth": [0.2, 0.9]}], "gamma": 0.1}
    expected = merge_arrays("breadcrumbs", base, tuned, walking=walking, **settings)
    monkeypatch.setattr(cuts, "_PARTITIONED", 0)
    found = merge_arrays("breadcrumbs", base, tuned, walking=walking, **settings)
    assert all(np.array_equal(found[name], expected[name]) for name in base)


@pytest.mark.parametrize("density", [0.95, [0.5, 0.95], {"always": 0.95, ".*": 0.1}])
def test_more_than_all_is_refused(make_models, density) -> None:
    base, tuned = make_models(0, 2)
    with pytest.raises(
        UsageError,
        match=r"density and gamma are more than all .*at most 1, got 0.95 \+ 0.1; fix: density=0.9",
    ):
        merge_arrays("breadcrumbs", base, tuned, walking=ALONE, density=density, gamma=0.1)


def test_more_than_all_is_refused_whatever_the_pattern() -> None:
    with pytest.raises(UsageError, match="density and gamma are more than all values"):
        merge_arrays(
            "breadcrumbs", {"w": [0.0]}, [{"w": [1.0]}], density={"encoder": 0.5, ".*": 0.9}, gamma=0.2
        )


@pytest.mark.parametrize("method", ["breadcrumbs", "dare"])
def test_what_is_for_elected_values_needs_an_election(method: str) -> None:
    with pytest.raises(UsageError, match="merge_func=mean is for values of an elected sign.*add elect=true"):
        merge_arrays(method, {"w": [0.0]}, [{"w": [1.0]}], merge_func="mean")
    merge_arrays(method, {"w": [0.0]}, [{"w": [1.0]}], merge_func="mean", elect=True)
