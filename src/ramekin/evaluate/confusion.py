"""What was answered for what: targets against answers, counted.

Only where all examples have the same options: those of multiple choice differ by the row. Knows nothing of
how answers were found, nor of how anything is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from ramekin.evaluate.evaluation import Prediction, TaskEvaluation

__all__ = ["MAX_OPTIONS", "Confusion", "confusion"]

MAX_OPTIONS: Final = 30
"""More than these make no picture."""


@final
@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of answers by target."""

    options: tuple[str, ...]
    """In the task's order; a row and a column each."""
    counts: tuple[tuple[int, ...], ...]
    """`counts[target][answer]`, a square."""
    unread: tuple[int, ...]
    """For each target, the answers that are none of the options."""

    @property
    def totals(self) -> tuple[int, ...]:
        """For each target, its examples."""
        return tuple(sum(row) + unread for row, unread in zip(self.counts, self.unread, strict=True))

    @property
    def shares(self) -> tuple[tuple[float | None, ...], ...]:
        """Each row's counts as fractions of its examples; None where it has none."""
        return tuple(
            tuple(count / total if total else None for count in row)
            for row, total in zip(self.counts, self.totals, strict=True)
        )


def confusion(part: TaskEvaluation, *, max_options: int = MAX_OPTIONS) -> Confusion | None:
    """Targets against answers; None where examples do not share their options, or there are too many.

    An answer that counts as right beside the target stands where it agrees with itself, so that the diagonal
    has all right answers and no others. None, too, where a target is none of the options, as when it was cut,
    and where nothing was answered but the targets' probability told.

    >>> from ramekin.evaluate.mode import MODES
    >>> from ramekin.text.score import Score
    >>> rows = (
    ...     Prediction("a", "?", "yes", "no", False, "no"),
    ...     Prediction("b", "?", "no", "no", True, "no"),
    ...     Prediction("c", "?", "no", "maybe", False, None),
    ... )
    >>> score = Score("accuracy", 1 / 3, 3, 0.0, 1.0, 0.5, 0.3)
    >>> rules, options = MODES["rank"], ("no", "yes")
    >>> found = confusion(TaskEvaluation("t", "x", "v", rules, "", options, (score,), {}, rows, 0.0))
    >>> found.counts, found.unread
    (((1, 0), (1, 0)), (1, 0))
    """
    options = part.options
    if not 2 <= len(options) <= max_options or not part.predictions or part.mode.direction == "perplexity":
        return None
    places = {option: place for place, option in enumerate(options)}
    counts = [[0] * len(options) for _ in options]
    unread = [0] * len(options)
    for each in part.predictions:
        target, answer = _pair(each, options)
        if target not in places or each.options:
            return None
        if answer in places:
            counts[places[target]][places[answer]] += 1
        else:
            unread[places[target]] += 1
    return Confusion(options, tuple(map(tuple, counts)), tuple(unread))


def _pair(prediction: Prediction, options: Sequence[str]) -> tuple[str, str]:
    """Target and answer; a right answer is its own target, or the target where it is no option itself."""
    if not prediction.correct:
        return prediction.target, prediction.prediction
    both = prediction.prediction if prediction.prediction in options else prediction.target
    return both, both
