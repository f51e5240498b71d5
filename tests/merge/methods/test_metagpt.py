import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays, merge_direction
from ramekin.merge.methods.metagpt import coefficients
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
seeds = st.integers(0, 10_000)


@given(seed=seeds, count=st.integers(1, 5), grid=st.booleans(), factor=st.sampled_from([1.0, 0.5]))
def test_is_the_book(make_models, deltas_of, agree, seed: int, count: int, grid: bool, factor: float) -> None:
    base, tuned = make_models(seed, count, grid=grid)
    deltas = deltas_of(base, tuned)
    squares = [sum((each**2).sum() for each in delta.values()) for delta in deltas]  # of the whole model
    expected = {
        n: base[n] + factor * sum(s / sum(squares) * d[n] for s, d in zip(squares, deltas, strict=True))
        for n in base
    }
    agree(merge_arrays("metagpt", base, tuned, walking=ALONE, scaling_factor=factor), expected)


@given(seed=seeds, count=st.integers(1, 4))
def test_the_coefficients_minimise_the_loss_of_orthogonal_tasks(seed: int, count: int) -> None:
    """Of deltas at right angles, the squared distance to each model, counted by its delta's squared length."""
    squares = np.random.default_rng(seed).uniform(0.1, 3, count)
    found = np.asarray(coefficients(squares.tolist()))
    assert found.sum() == pytest.approx(1) and (found > 0).all()

    def loss(own: np.ndarray) -> float:
        away = [(own**2 @ squares) - 2 * own[t] * squares[t] + squares[t] for t in range(count)]
        return float(squares @ np.asarray(away))

    gradient = 2 * squares.sum() * found * squares - 2 * squares**2
    assert np.allclose(gradient, 0)
    rng = np.random.default_rng(seed + 1)
    assert all(loss(found) <= loss(found + 0.1 * rng.standard_normal(count)) for _ in range(5))


def test_deltas_of_one_length_give_the_average_and_a_model_that_learned_nothing_nothing() -> None:
    base = {"w": np.zeros(2, dtype=np.float32), "v": np.zeros(1, dtype=np.float32)}
    tuned = [
        {"w": np.float32([3, 0]), "v": np.float32([4])},
        {"w": np.float32([0, 5]), "v": np.float32([0])},
    ]
    found = merge_arrays("metagpt", base, tuned)
    assert found["w"].tolist() == [1.5, 2.5] and found["v"].tolist() == [2]
    assert merge_arrays("metagpt", base, [tuned[0], base])["w"].tolist() == [3, 0]
    assert merge_arrays("metagpt", base, [base, base])["w"].tolist() == [0, 0]


def test_the_report_has_the_coefficients(world, family) -> None:
    base, models = family
    direction = merge_direction("metagpt", base=base, models=models, settings={})
    start, own = world.load(base), [world.load(model.folder) for model in models]
    squares = [sum(float(((each[n] - start[n]).double() ** 2).sum()) for n in start) for each in own]
    found = direction.figures["coefficients"]
    assert list(found) == [model.label for model in models]  # type: ignore[call-overload]
    assert list(found.values()) == pytest.approx([s / sum(squares) for s in squares], rel=1e-6)  # type: ignore[attr-defined]


def test_no_models() -> None:
    with pytest.raises(UsageError, match="there is nothing to merge: expected at least one model"):
        coefficients([])
