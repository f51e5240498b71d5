"""In which order the points of the unit cube are tried: a grid, Nelder and Mead's simplex, CMA-ES.

Each strategy is a function of its arguments alone, so that one that was stopped goes on when it is told the
same values again. Knows nothing of what a point stands for.
"""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError

__all__ = ["STRATEGIES", "Spent", "Strategy", "cma_es", "grid", "nelder_mead"]

Point = tuple[float, ...]
Value = Callable[[Point], float]
Strategy = Callable[[Value, Point, int, int], None]
"""Given what a point is worth (the more the better), a start, how many points there may be, and a seed."""

_STEP = 0.25  # of a range, from the start to the simplex's other corners and one deviation of the first draws
_CLOSE = 0.005  # of a range: corners that lie so near each other are one point


@final
class Spent(Exception):  # noqa: N818 -- no error: it ends a strategy that would go on
    """All points that there may be have been tried."""


def grid(value: Value, start: Point, budget: int, seed: int) -> None:
    """All points of a grid, as fine as the budget allows, the last dimension changing fastest.

    Raises:
        UsageError: the budget is too small for two values a dimension.
    """
    steps = next(n for n in itertools.count(1) if (n + 1) ** len(start) > budget)
    if steps < 2:
        raise UsageError(
            "the grid is too large",
            expected=f"at least 2 values in each of {len(start)} dimensions, {2 ** len(start)} points",
            got=f"{budget} points",
            fix="search by nelder_mead or cma_es, or over fewer keys, or raise points",
        )
    for point in itertools.product(np.linspace(0, 1, steps).tolist(), repeat=len(start)):
        value(point)


def nelder_mead(value: Value, start: Point, budget: int, seed: int) -> None:
    """The simplex of Nelder and Mead (1965, https://doi.org/10.1093/comjnl/7.4.308), by scipy.

    At a bound a simplex can fall in on itself far from any optimum; where it has, another of half its size
    begins at the best point, as long as points are left.
    """
    from scipy.optimize import minimize

    best, most = start, -np.inf

    def lost(point: npt.NDArray[np.float64]) -> float:
        nonlocal best, most
        here: Point = tuple(point.tolist())
        found = value(here)
        if found > most:
            best, most = here, found
        return -found

    step = _STEP
    while step > _CLOSE:
        minimize(
            lost,
            best,
            method="Nelder-Mead",
            bounds=[(0.0, 1.0)] * len(start),
            options={
                "initial_simplex": _corners(best, step),
                "xatol": _CLOSE,
                "fatol": 0.0,
                "maxfev": 10 * budget,
            },
        )
        step /= 2


def _corners(at: Point, step: float) -> list[list[float]]:
    """A simplex with a corner at a point, the others a step away along the axes, inside the cube."""
    along = [each + step if each + step <= 1 else each - step for each in at]
    return [list(at), *([*at[:place], moved, *at[place + 1 :]] for place, moved in enumerate(along))]


def cma_es(value: Value, start: Point, budget: int, seed: int) -> None:
    """Covariance matrix adaptation (Hansen 2016, https://arxiv.org/abs/1604.00772), by pycma.

    Raises:
        UsageError: there is one dimension only.
    """
    if len(start) < 2:
        raise UsageError("cma_es searches over two numbers or more", fix="use nelder_mead or grid")
    import cma

    generator = np.random.default_rng(seed)
    options = {
        "bounds": [0, 1],
        "seed": float("nan"),  # numpy's own state is neither used nor changed
        "randn": lambda *shape: generator.standard_normal(shape),
        "tolx": _CLOSE / 10,
        "verbose": -9,
    }
    strategy = cma.CMAEvolutionStrategy(list(start), _STEP, options)
    for _ in range(budget):  # each round tries several, and `Spent` ends it
        if strategy.stop():
            return
        points = [tuple(each.tolist()) for each in strategy.ask()]
        strategy.tell(points, [-value(point) for point in points])


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {"grid": grid, "nelder_mead": nelder_mead, "cma_es": cma_es}
)
