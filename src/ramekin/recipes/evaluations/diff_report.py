"""Where two models part, as a report and as the lines of the terminal.

Knows no files and nothing of how differences are found.
"""

from collections.abc import Iterator, Sequence

from ramekin.evaluate.evaluation import Prediction
from ramekin.evaluate.statistics import Comparison
from ramekin.recipes.evaluations.differing import DifferingRow, EvaluationDiff, TaskDiff
from ramekin.recipes.results import headings_of
from ramekin.report.values import Cell, Report, RunFacts, TextTable
from ramekin.report.wording import clean, figure, interval_text
from ramekin.text.score import LOWER_IS_BETTER

__all__ = ["diff_report", "row_lines", "shortened"]

_TOLD = {
    "a_right": "only A is right",
    "b_right": "only B is right",
    "both_wrong": "both are wrong, differently",
}
_PROMPT, _ANSWER = 240, 120
"""Characters of a prompt and of an answer that are shown."""


def diff_report(
    found: EvaluationDiff,
    rows: Sequence[DifferingRow],
    *,
    names: tuple[str, str],
    total: int,
    facts: RunFacts,
) -> Report:
    """The report.

    Args:
        found: the difference.
        rows: those to show.
        names: of A and B.
        total: how many rows there are to show some of.
        facts: of the run.
    """
    tables = (_tasks(found), *((_rows(rows, total),) if rows else ()))
    return Report(
        title=f"{names[1]} (B) minus {names[0]} (A)",
        summary=tuple(filter(None, (_summary(found), found.note))),
        text_tables=tables,
        facts=facts,
    )


def row_lines(rows: Sequence[DifferingRow]) -> Iterator[str]:
    """The rows for the terminal, each a block with a line before it."""
    for row in rows:
        swing = "" if row.swing is None else f", the right option's probability {_signed(row.swing)}"
        yield ""
        yield f"{row.first.id}: {_TOLD[row.kind]}{swing}"
        yield f"  prompt  {shortened(row.first.inputs, _PROMPT)}"
        if row.second.inputs != row.first.inputs:
            yield f"  B's     {shortened(row.second.inputs, _PROMPT)}"
        yield f"  target  {shortened(_right(row.first), _ANSWER)}"
        yield f"  A       {_answer(row.first)}"
        yield f"  B       {_answer(row.second)}"


def shortened(text: str, length: int) -> str:
    """One line of at most so many characters: the beginning, and the end where a question often stands.

    >>> shortened("Does this text, which is long, mean yes?", 20)
    'Does this … ean yes?'
    """
    line = clean(text)
    if len(line) <= length:
        return line
    end = (length - 3) // 2
    return f"{line[: length - 3 - end].rstrip()} … {line[-end:].lstrip()}"


def _summary(found: EvaluationDiff) -> str:
    """The one number, with how sure it is."""
    each = found.whole if found.whole is not None else found.tasks[0].comparison
    if found.whole is None and len(found.tasks) > 1:
        return ""
    what = found.whole_name if found.whole is not None else headings_of([found.tasks[0].first])[0]
    metric = _whole_metric(found)
    told = f"{_difference(each, metric)} ({_interval(each, metric)})"
    return f"B minus A, {what}: {told}, p {_p_value(each.p_value, '= ')} ({_test(each)})."


def _whole_metric(found: EvaluationDiff) -> str:
    """The metric that all tasks share, or none."""
    metrics = {task.comparison.metric for task in found.tasks}
    return metrics.pop() if len(metrics) == 1 else ""


def _tasks(found: EvaluationDiff) -> TextTable:
    """A row a task, and one for all of them."""
    several = len(found.tasks) > 1
    names = headings_of([task.first for task in found.tasks])
    rows = [_task_row(name, task, several) for name, task in zip(names, found.tasks, strict=True)]
    if found.whole is not None:
        rows.append(_whole_row(found, found.whole))
    caption = (
        "B minus A on the same rows, paired. p: of no difference, two-sided"
        + (
            "; by Holm: adjusted for so many tasks, so that one below 0.05 is no accident of their number. "
            if several
            else ". "
        )
        + "Then the rows that only one has right, and those on which both are wrong, but not alike."
    )
    columns = (
        *("task", "metric", "n", "A", "B", "difference", "95 % interval", "p"),
        *(("p by Holm",) if several else ()),
        *("test", "only A right", "only B right", "both wrong"),
    )
    return TextTable("Tasks", columns, tuple(rows), caption=caption)


def _task_row(name: str, task: TaskDiff, several: bool) -> tuple[str, ...]:
    each = task.comparison
    return (
        *(name, each.metric, str(each.n)),
        *(figure(part.headline.value, each.metric) for part in (task.first, task.second)),
        *(_difference(each, each.metric), _interval(each, each.metric), _p_value(each.p_value)),
        *((_p_value(task.adjusted_p_value),) if several else ()),
        _test(each),
        *(_count(task, count) for count in task.counts.values()),
    )


def _count(task: TaskDiff, count: int) -> str:
    """Nothing where nothing is answered."""
    return "" if task.first.mode.direction == "perplexity" else str(count)


def _whole_row(found: EvaluationDiff, whole: Comparison) -> tuple[str, ...]:
    metric = _whole_metric(found)
    told = (_difference(whole, metric), _interval(whole, metric), _p_value(whole.p_value), "", _test(whole))
    return (found.whole_name, "", str(whole.n), "", "", *told, "", "", "")


def _rows(rows: Sequence[DifferingRow], total: int) -> TextTable:
    shown = "" if len(rows) == total else f"{len(rows)} of {total}. "
    with_swing = any(row.swing is not None for row in rows)
    columns = ("row", "", *(("swing",) if with_swing else ()), "prompt", "target", "A", "B")
    return TextTable(
        "Rows",
        columns,
        tuple(tuple(_row(row, with_swing)) for row in rows),
        caption=shown
        + "All of them, with their whole prompts, are in diff.jsonl."
        + (" Swing: how much more probable the right option is by B." if with_swing else ""),
    )


def _row(row: DifferingRow, with_swing: bool) -> Iterator[str]:
    yield row.first.id
    yield _TOLD[row.kind]
    if with_swing:
        yield "" if row.swing is None else _signed(row.swing)
    yield shortened(row.first.inputs, _PROMPT)
    yield shortened(_right(row.first), _ANSWER)
    yield _answer(row.first)
    yield _answer(row.second)


def _right(prediction: Prediction) -> str:
    others = [each for each in prediction.references if each != prediction.target]
    return " | ".join((prediction.target, *others))


def _answer(prediction: Prediction) -> str:
    """What was answered, with the options' scores or what it was read out of."""
    told = shortened(prediction.prediction, _ANSWER) or "(nothing)"
    if prediction.option_scores:
        scores = ", ".join(
            f"{shortened(option, 30)} {score:.2f}" for option, score in prediction.option_scores.items()
        )
        return f"{told} ({scores})"
    if prediction.votes:
        votes = ", ".join(
            f"{shortened(text, 30) or 'unread'} {count}" for text, count in prediction.votes.items()
        )
        return f"{told} (votes: {votes})"
    return f"{told} (read out of: {shortened(prediction.written, _ANSWER)})" if prediction.written else told


def _difference(each: Comparison, metric: str) -> str:
    return _with_sign(figure(each.difference, metric))


def _interval(each: Comparison, metric: str) -> str:
    # An interval of draws need not hold what was found on the rows themselves.
    low, high = min(each.low, each.difference), max(each.high, each.difference)
    if metric in LOWER_IS_BETTER:
        return f"{figure(each.low, metric)} to {figure(each.high, metric)}"
    return interval_text(Cell(each.difference, low, high)) if low < high else figure(low)


def _signed(value: float) -> str:
    return _with_sign(f"{value:.2f}").replace("-", "−")


def _with_sign(text: str) -> str:
    return text if text.startswith(("−", "-")) or not text.strip("0.,") else f"+{text}"


def _p_value(value: float, sign: str = "") -> str:
    return "< 0.001" if value < 0.001 else f"{sign}{value:.3f}"


def _test(each: Comparison) -> str:
    return each.test.replace("_", " ")
