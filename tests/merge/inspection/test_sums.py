import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.inspection import figures, sums
from ramekin.merge.inspection.sums import DeltaSums, Largest, delta_sums, together
from ramekin.merge.stream import ModelStream, NamedReader
from ramekin.weights.reading import ArrayReader

pytestmark = pytest.mark.usefixtures("short_runs")


@pytest.mark.parametrize("module", [sums, figures])
def test_examples(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def _sums(models: list[dict[str, np.ndarray]], cuts: list[float], length: int = 8) -> dict[str, DeltaSums]:
    """Of models whose base is zero."""
    zeros = {name: np.zeros_like(array) for name, array in models[0].items()}
    readers = [
        NamedReader(str(i), ArrayReader(each, where=str(i))) for i, each in enumerate([zeros, *models])
    ]
    return delta_sums(ModelStream(readers[0], readers[1:], zeros, chunk_length=length, threads=1), cuts)


def _models(seed: int, count: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shapes = {"a": (5, 7), "b": (20,), "none": (0,)}
    # Few values, so that zeros and ties are frequent.
    return [{k: rng.integers(-2, 3, s).astype(np.float32) for k, s in shapes.items()} for _ in range(count)]


@given(
    seed=st.integers(0, 1000),
    length=st.sampled_from([8, 16, 64]),
    cut=st.sampled_from([0.0, 1.0, 2.0, np.inf]),
)
def test_sums_of_a_model_are_those_of_one_tensor_of_all_elements(seed: int, length: int, cut: float) -> None:
    models = _models(seed)
    parts = _sums(models, [cut] * 3, length)
    joined = [{"all": np.concatenate([array.reshape(-1) for array in each.values()])} for each in models]
    one, all_of = together(parts.values()), _sums(joined, [cut] * 3)["all"]
    assert one.elements == all_of.elements == 55
    for mine, theirs in ((one.counts, all_of.counts), (one.weights, all_of.weights)):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)  # whole numbers: exact in any order
    assert [abs(each.value) for each in one.largest] == [abs(each.value) for each in all_of.largest]


@given(seed=st.integers(0, 1000))
def test_turning_a_model_round_turns_agreement_into_conflict(seed: int) -> None:
    one, other = _models(seed, 2)
    turned = {name: -array for name, array in other.items()}
    for name, found in _sums([one, other], [0.0, 0.0]).items():
        back = _sums([one, turned], [0.0, 0.0])[name]
        both = found.counts.changed[0, 1]
        assert found.counts.opposed[0, 1] + back.counts.opposed[0, 1] == both == back.counts.changed[0, 1]
        assert found.weights.products[1, 2] == -back.weights.products[1, 2]
        assert not np.diag(found.counts.opposed).any()


def test_the_largest_is_the_first_of_equals_with_its_sign_and_place() -> None:
    model = {"a": np.asarray([[1, -3], [3, 0]], dtype=np.float32), "b": np.asarray([-3, 2], dtype=np.float32)}
    found = _sums([model], [0.0])
    assert found["a"].largest == (Largest(-3.0, "a", 1),) and found["b"].largest == (Largest(-3.0, "b", 0),)
    assert together(found.values()).largest == (Largest(-3.0, "a", 1),)
    assert _sums([{"a": np.zeros(3, dtype=np.float32)}], [0.0])["a"].largest[0].value == 0


def test_a_cut_of_zero_keeps_zeros_and_one_of_infinity_nothing() -> None:
    model = {"a": np.asarray([0, 1, -2], dtype=np.float32)}
    assert [int(_sums([model], [cut])["a"].counts.kept[0]) for cut in (0.0, 1.0, 1.5, np.inf)] == [3, 2, 1, 0]
