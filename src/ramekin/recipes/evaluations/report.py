"""The tables and pictures of suites that were put to models, and the facts beside them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ramekin.evaluate.suites import Average, EntryScore
from ramekin.recipes.diagnostics import confusion_of, reliability_of, spread_of
from ramekin.recipes.evaluations.found import SuiteResult
from ramekin.recipes.results import caption_of, counters_of, short_name
from ramekin.report.values import (
    AVERAGE,
    BoxPlot,
    Cell,
    Counter,
    HeatMap,
    Reliability,
    ScoreTable,
    TableRow,
)
from ramekin.text.score import LOWER_IS_BETTER, Score, have_a_mean, normalised_value
from ramekin.text.suite import UNNAMED, SuiteEntry

__all__ = ["counters", "entry_columns", "pictures", "score_tables"]

_NAMED = 8
"""So many tasks without a suite are all in the title."""
_MAX_PICTURES = 8
"""Confusion and calibration are drawn for so few tasks; of more they are in the files."""


def entry_columns(entries: Sequence[SuiteEntry]) -> tuple[str, ...]:
    """A heading for each entry, no two the same."""
    short = [short_name(entry.name) for entry in entries]
    names = [entry.name for entry in entries]
    found = []
    for entry, heading in zip(entries, short, strict=True):
        if short.count(heading) == 1:
            found.append(heading)
        elif names.count(entry.name) == 1:
            found.append(entry.name)
        else:
            found.append(f"{entry.name} ({', '.join(entry.path)})")
    return tuple(found)


def score_tables(results: Sequence[SuiteResult]) -> tuple[ScoreTable, ...]:
    """Models by tasks, then normalised where that counts, and by parts where there are several."""
    first = results[0]
    entries = tuple(first.entries)
    columns = entry_columns(entries)
    asked = first.suite.name if len(entries) > _NAMED or first.suite.name != UNNAMED else _names(entries)
    title = f"{', '.join(each.model for each in results)} on {asked}"
    caption = " ".join(filter(None, (caption_of(first.evaluation), _prompts(first), first.how_partial)))
    metrics = {found.score.metric for found in first.entries.values()}
    plain = not first.suite.normalised and have_a_mean(metrics)
    metric = metrics.pop() if metrics <= LOWER_IS_BETTER else ""
    several = len(columns) > 1
    rows = []
    for each in results:
        cells: list[Cell | None] = [_entry_cell(each.entries[entry]) for entry in entries]
        if several and plain:
            cells.append(_cell(each.headline, metric))
        rows.append(TableRow(each.model, tuple(cells)))
    headings = (*columns, AVERAGE) if several and plain else columns
    tables = [ScoreTable(title, headings, tuple(rows), caption=caption)]
    if first.suite.normalised:
        tables.append(_normalised(results, entries, columns))
    if len(first.parts) > 1:
        tables.append(_parts(results))
    return tuple(tables)


def _entry_cell(found: EntryScore) -> Cell:
    """A task's score beside what the best constant answer reaches, where such an answer is looked for."""
    return Cell.of(found.score, majority=found.majority or None)


def _names(entries: Sequence[SuiteEntry]) -> str:
    return ", ".join(entry.name for entry in entries)


def _normalised(
    results: Sequence[SuiteResult], entries: Sequence[SuiteEntry], columns: Sequence[str]
) -> ScoreTable:
    rows = []
    for each in results:
        cells = [_normalised_cell(each.entries[entry].score) for entry in entries]
        rows.append(TableRow(each.model, (*cells, _cell(each.headline))))
    return ScoreTable(
        "Normalised",
        (*columns, AVERAGE),
        tuple(rows),
        caption="100·(x - chance)/(100 - chance) of each task: 0 is what guessing reaches.",
    )


def _normalised_cell(score: Score) -> Cell:
    """On the scale where chance is 0; of a score that is better the lower it is, the ends change sides."""
    low, high = sorted(normalised_value(end, score.chance) for end in (score.low, score.high))
    return Cell(score.normalised, low, high, n=score.n, chance=0.0)


def _parts(results: Sequence[SuiteResult]) -> ScoreTable:
    first = results[0]
    rows = [
        TableRow(each.model, (*map(_cell, each.parts.values()), _cell(each.headline))) for each in results
    ]
    return ScoreTable(
        f"Parts of {first.suite.name}",
        (*first.parts, AVERAGE),
        tuple(rows),
        caption="Normalised: 0 is what guessing reaches." if first.suite.normalised else "",
    )


def _cell(average: Average, metric: str = "") -> Cell:
    return Cell(average.value, average.low, average.high, chance=average.chance, metric=metric)


def _prompts(result: SuiteResult) -> str:
    """What a score is over, where tasks have several templates."""
    several = {entry.over for entry in result.entries.values() if len(entry.parts) > 1}
    return f"A task's score is the {' or '.join(sorted(several))} over its prompts." if several else ""


def pictures(
    results: Sequence[SuiteResult],
) -> tuple[tuple[BoxPlot, ...], tuple[HeatMap, ...], tuple[Reliability, ...]]:
    """How far scores hang on templates, what was answered for what, and how sure ranking models are."""
    boxes, maps, curves = [], [], []
    for each in results:
        suffix = f": {each.model}" if len(results) > 1 else ""
        parts = each.evaluation.tasks
        groups = dict(
            zip(_box_names(tuple(each.entries)), (e.parts for e in each.entries.values()), strict=True)
        )
        box = spread_of(groups, title=f"Scores by template{suffix}")
        boxes += [box] if box is not None else []
        if len(each.entries) * len(results) <= _MAX_PICTURES:
            maps += [m for m in _confusions(each, suffix) if m is not None]
        plain = [part for part in parts if part.mode.ranks and part.mode.normalisation == "none"]
        curve = reliability_of(*plain, title=f"Calibration{suffix}") if plain else None
        curves += [curve] if curve is not None else []
    return tuple(boxes), tuple(maps), tuple(curves)


def _box_names(entries: Sequence[SuiteEntry]) -> tuple[str, ...]:
    """A name for each entry, no two the same."""
    names = [entry.name for entry in entries]
    return tuple(
        entry.name if names.count(entry.name) == 1 else f"{entry.name} ({', '.join(entry.path)})"
        for entry in entries
    )


def _confusions(result: SuiteResult, suffix: str) -> Iterator[HeatMap | None]:
    for entry, found in result.entries.items():
        for part in found.parts[:1] if found.parts[0].mode.direction != "perplexity" else ():
            told = f"{entry.name}#{part.template}" if len(found.parts) > 1 else entry.name
            yield confusion_of(part, title=f"Answers of {told}{suffix}")


def counters(results: Iterable[SuiteResult]) -> tuple[Counter, ...]:
    """What was lost or could not be read; of several models under the model's name."""
    listed = list(results)
    if len(listed) == 1:
        return counters_of(listed[0].evaluation)
    found: Mapping[str, tuple[Counter, ...]] = {each.model: counters_of(each.evaluation) for each in listed}
    return tuple(
        Counter(f"{model}: {counter.name}", counter.count, counter.of)
        for model, counted in found.items()
        for counter in counted
    )
