"""What the answers of an evaluation say beyond its scores, as values of a report.

How far scores hang on the template, whether ranked answers are as sure as they are right, and what was
answered for what. Knows no files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from ramekin.evaluate.calibration import Calibration, Estimate, calibration, has_log_probabilities
from ramekin.evaluate.confusion import MAX_OPTIONS, confusion
from ramekin.evaluate.evaluation import TaskEvaluation
from ramekin.report.box_plots import box_plot
from ramekin.report.values import BoxPlot, Cell, HeatMap, Reliability, ReliabilityBin
from ramekin.text.score import LOWER_IS_BETTER, wilson_interval

__all__ = ["confusion_of", "reliability_of", "spread_of"]

_CONFIDENCE = (
    "Confidence is the softmax over what the options were ranked by: their log-probabilities, divided by "
    "their length where the mode says so."
)


def confusion_of(part: TaskEvaluation, *, title: str = "", max_options: int = MAX_OPTIONS) -> HeatMap | None:
    """Targets against answers, a colour for the share of the target's examples, with the counts.

    None where the task has no fixed options, or more than `max_options`. Answers that are none of the options
    have a column of their own, if there are any.
    """
    found = confusion(part, max_options=max_options)
    if found is None:
        return None
    counts, shares, columns = found.counts, found.shares, found.options
    if any(found.unread):
        columns = (*columns, "(unread)")
        both = list(zip(found.unread, found.totals, strict=True))
        counts = tuple((*row, unread) for row, (unread, _) in zip(counts, both, strict=True))
        shares = tuple(
            (*row, unread / total if total else None)
            for row, (unread, total) in zip(shares, both, strict=True)
        )
    return HeatMap(
        title or f"Answers of {part.task}#{part.template}",
        rows=found.options,
        columns=columns,
        values=shares,
        as_percent=True,
        caption="Rows: the right answer. Columns: the answer given. Counts, and per cent of the row.",
        counts=counts,
        stub="right answer",
    )


def spread_of(
    groups: Mapping[str, Sequence[TaskEvaluation]],
    *,
    title: str = "Scores by template",
    caption: str = "",
) -> BoxPlot | None:
    """The headline scores of each group by template; None where no group has two.

    Groups that are scored by a perplexity are left out: it is no share, and has another scale.

    Args:
        groups: by the names of their boxes; a template under several label words stands under each.
        title: of the picture.
        caption: what a reader must know.
    """
    several = {
        name: {point: part.headline for point, part in _points(parts)}
        for name, parts in groups.items()
        if len(parts) > 1 and parts[0].headline.metric not in LOWER_IS_BETTER
    }
    return box_plot(title, several, caption=caption) if several else None


def _points(parts: Sequence[TaskEvaluation]) -> list[tuple[str, TaskEvaluation]]:
    """Each part under its template's name, with its label where that is not the only one of the name."""
    names = Counter(part.template for part in parts)
    return [
        (part.template if names[part.template] == 1 else f"{part.template} ({part.label})", part)
        for part in parts
    ]


def reliability_of(
    *parts: TaskEvaluation, title: str = "", num_bins: int = 10, caption: str = _CONFIDENCE
) -> Reliability | None:
    """The reliability of ranked answers, several tasks' or templates' pooled.

    None where options were not ranked, or not by log-probabilities. A mode may divide these by length; the
    softmax is over what the model ranked by, and the caption says so. Intervals take answers for independent,
    which those of several templates to one example are not: pooled, they are too narrow.

    Args:
        parts: whose answers.
        title: by default the task and its template, or `Calibration` of several.
        num_bins: of equal width, from 0 to 1.
        caption: what a reader must know beside the measures.
    """
    predictions = [each for part in parts for each in part.predictions]
    if not has_log_probabilities(predictions):
        return None
    named = f"Calibration of {parts[0].task}#{parts[0].template}" if len(parts) == 1 else "Calibration"
    return _reliability(calibration(predictions, num_bins=num_bins), title or named, caption)


def _reliability(found: Calibration, title: str, caption: str) -> Reliability:
    bins = tuple(
        ReliabilityBin(
            each.low,
            each.high,
            each.count,
            each.confidence,
            Cell(each.accuracy, each.accuracy_low, each.accuracy_high, each.count),
        )
        for each in found.bins
    )
    low, high = wilson_interval(round(found.accuracy * found.n), found.n)
    return Reliability(
        title=title,
        bins=bins,
        accuracy=Cell(found.accuracy, low, high, found.n),
        confidence=found.confidence,
        calibration_error=found.calibration_error,
        calibration_noise=found.calibration_noise,
        brier=_cell(found.brier, found.even_brier),
        negative_log_likelihood=_cell(found.negative_log_likelihood, found.even_negative_log_likelihood),
        caption=caption,
    )


def _cell(estimate: Estimate, even: float) -> Cell:
    return Cell(estimate.value, estimate.low, estimate.high, chance=even)
