"""The percentile bootstrap over examples (Efron 1979), in bounded memory."""

from typing import TYPE_CHECKING

from ramekin.text.metrics.metric import Resampler
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["RESAMPLES", "bootstrapped", "draws", "whole"]

RESAMPLES = 1000
_CHUNK_CELLS = 4_000_000


def draws(resampler: Resampler, n: int, *, seed: int, resamples: int = RESAMPLES) -> "Floats":
    """The metric on `resamples` draws of n examples with repeats: (resamples,).

    The draws are made in chunks. The same seed gives the same draws of n examples whatever is measured.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // n)
    parts = [
        resampler(rng.integers(0, n, size=(min(rows, resamples - done), n)))
        for done in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def whole(resampler: Resampler, n: int) -> float:
    """The metric on the examples as they are."""
    import numpy as np

    return float(resampler(np.arange(n)[None, :])[0])


def bootstrapped(
    name: str,
    answers: Answers,
    resampler: Resampler,
    seed: int,
    *,
    value: float | None = None,
    chance: float = 0.0,
    unparsable: int = 0,
    note: str = "",
) -> Score:
    """The score with its 95 % interval and, as its standard error, the standard deviation of the draws.

    `value` is the resampler's on the whole unless it is given.
    """
    import numpy as np

    n = len(answers.targets)
    value = whole(resampler, n) if value is None else value
    drawn = draws(resampler, n, seed=seed)
    low, high = map(float, np.percentile(drawn, [2.5, 97.5]))
    error = float(drawn.std(ddof=1))
    return Score(name, value, n, low, high, chance, error, unparsable=unparsable, note=note)
