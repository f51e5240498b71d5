import contextlib

import numpy as np
import pytest

from ramekin.errors import UsageError
from ramekin.recipes.searches.strategies import STRATEGIES, Spent


def _run(name: str, dimensions: int, budget: int, *, seed: int = 0, target: float = 0.3, start=None):
    """All points a strategy asked for until it was stopped, and what the best of them is worth."""
    asked: list[tuple[float, ...]] = []

    def value(point: tuple[float, ...]) -> float:
        if len(asked) == budget:
            raise Spent
        asked.append(point)
        return -float(sum((each - target) ** 2 for each in point))

    with contextlib.suppress(Spent):
        STRATEGIES[name](value, start or (0.5,) * dimensions, budget, seed)
    return asked, max(-sum((each - target) ** 2 for each in point) for point in asked)


@pytest.mark.parametrize(("name", "dimensions"), [("grid", 1), ("grid", 2), ("nelder_mead", 1), ("nelder_mead", 3), ("cma_es", 2), ("cma_es", 4)])  # fmt: skip
def test_it_stays_in_the_cube_comes_near_the_best_and_asks_the_same_again(name, dimensions) -> None:
    asked, best = _run(name, dimensions, 60)
    assert all(len(point) == dimensions and 0 <= min(point) <= max(point) <= 1 for point in asked)
    assert all(isinstance(each, float) for point in asked for each in point)
    assert best > -(0.1**2) * dimensions
    assert 0 < len(asked) <= 60
    assert _run(name, dimensions, 60)[0] == asked


@pytest.mark.parametrize(("dimensions", "budget", "steps"), [(1, 11, 11), (2, 11, 3), (2, 9, 3), (3, 8, 2)])
def test_a_grid_is_as_fine_as_the_budget_allows(dimensions, budget, steps) -> None:
    asked, _ = _run("grid", dimensions, budget)
    assert len(asked) == len(set(asked)) == steps**dimensions <= budget
    assert {each for point in asked for each in point} == set(np.linspace(0, 1, steps).tolist())


def test_a_grid_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="the grid is too large.*8 points.*got 7 points"):
        _run("grid", 3, 7)


def test_the_simplex_begins_at_the_start_and_stays_inside_at_a_corner() -> None:
    asked, _ = _run("nelder_mead", 2, 30, start=(1.0, 0.1), target=0.9)
    assert asked[0] == (1.0, 0.1) and set(asked[1:3]) == {(0.75, 0.1), (1.0, 0.35)}
    assert max(max(point) for point in asked) <= 1


def test_the_best_may_be_at_a_bound() -> None:
    for name in ("nelder_mead", "cma_es"):
        assert _run(name, 2, 80, target=1.0)[1] > -0.01


def test_a_plateau_far_below_is_walked_round() -> None:
    asked: list[tuple[float, ...]] = []

    def value(point: tuple[float, ...]) -> float:
        asked.append(point)
        return -2.0 if point[0] > 0.6 else -abs(point[0] - 0.4)

    STRATEGIES["nelder_mead"](value, (0.5,), 60, 0)
    assert min(abs(point[0] - 0.4) for point in asked) < 0.02


def test_cma_es_uses_its_own_randomness_and_needs_two_numbers() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    one, other = _run("cma_es", 2, 30, seed=1)[0], _run("cma_es", 2, 30, seed=2)[0]
    assert one != other and (np.random.get_state()[1] == before).all()
    with pytest.raises(UsageError, match="two numbers or more"):
        _run("cma_es", 1, 30)


def test_a_simplex_that_fell_in_on_itself_at_a_bound_begins_again() -> None:
    asked: list[float] = []

    def value(point: tuple[float, ...]) -> float:
        """A narrow hill at 0.06 beside a plain, and a chasm beyond 0.2."""
        if len(set(asked)) == 12:
            raise Spent
        asked.append(point[0])
        return (
            -1.0 if point[0] > 0.2 else max(0.0, 0.1 - abs(point[0] - 0.06)) + (0.05 if point[0] == 0 else 0)
        )

    with contextlib.suppress(Spent):
        STRATEGIES["nelder_mead"](value, (0.12,), 12, 0)
    assert asked[:2] == [0.12, 0.37] and 0.0 in asked
    assert min(abs(each - 0.06) for each in asked) < 0.03 and len(set(asked)) == 12
