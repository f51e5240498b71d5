"""Where two models part: row by row, task by task, and in the headline of the suite that both were asked.

Plain values and their JSON. Knows nothing of files or of how anything is shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.evaluate.calibration import option_probabilities
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.statistics import Comparison, compare, compare_averages, holm
from ramekin.evaluate.suites import EntryScore, compare_suites, entry_score
from ramekin.recipes.earlier import Earlier, EarlierSuite, paired
from ramekin.text.score import have_a_mean
from ramekin.text.suite import UNNAMED

__all__ = [
    "DifferingRow",
    "EvaluationDiff",
    "Kind",
    "Prompts",
    "TaskDiff",
    "difference_of",
    "foremost",
    "right_probability",
]

Kind: TypeAlias = Literal["a_right", "b_right", "both_wrong"]
"""Only the first model is right, only the second is, or they are wrong in different ways."""
Prompts: TypeAlias = Literal["same", "any"]

_SHOWN_CHARACTERS = 120


@final
@dataclass(frozen=True, slots=True)
class DifferingRow:
    """One example that the two answered differently, one of them wrongly at least."""

    part: str
    """The task with its template and split."""
    kind: Kind
    first: Prediction
    second: Prediction
    swing: float | None
    """Where options are ranked: how much more probable the right one is by the second; else None."""

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values, its prompt whole."""
        asked = {"prompt": self.first.inputs}
        if self.second.inputs != self.first.inputs:
            asked["prompt_b"] = self.second.inputs
        references = {"references": list(self.first.references)} if self.first.references else {}
        swing = {} if self.swing is None else {"swing": self.swing}
        return {
            "id": self.first.id,
            "part": self.part,
            "kind": self.kind,
            **asked,
            "target": self.first.target,
            **references,
            "a": _answer(self.first),
            "b": _answer(self.second),
            **swing,
        }


@final
@dataclass(frozen=True)
class TaskDiff:
    """Two models on one task under one template."""

    first: TaskEvaluation
    second: TaskEvaluation
    comparison: Comparison
    """B minus A."""
    adjusted_p_value: float
    """By Holm, for all the tasks that are compared."""
    rows: tuple[DifferingRow, ...]
    """In the order of the examples."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many rows there are of each kind."""
        found = Counter(row.kind for row in self.rows)
        return {"a_right": found["a_right"], "b_right": found["b_right"], "both_wrong": found["both_wrong"]}

    def to_json(self) -> dict[str, Any]:
        """The task as JSON values, without its rows."""
        return {
            "task": self.first.task,
            "template": self.first.template,
            "split": self.first.split,
            "mode": self.first.mode.name,
            "a": self.first.headline.value,
            "b": self.second.headline.value,
            **asdict(self.comparison),
            "p_value_holm": self.adjusted_p_value,
            **dict(self.counts),
        }


@final
@dataclass(frozen=True)
class EvaluationDiff:
    """Two evaluations of the same rows."""

    tasks: tuple[TaskDiff, ...]
    whole: Comparison | None
    """The suite's headline, or else the plain mean of several tasks; None of one."""
    whole_name: str = ""
    """What it is: `headline of glue`, `normalised headline of flan2022`, or `average`."""
    note: str = ""
    """Why there is no headline, where both have one."""

    def rows(self, only: Kind | Literal["all"] = "all") -> tuple[DifferingRow, ...]:
        """The rows of that kind, task by task."""
        return tuple(row for task in self.tasks for row in task.rows if only in (row.kind, "all"))

    def to_json(self) -> dict[str, Any]:
        """The difference as JSON values, rows left out."""
        told = {"name": self.whole_name, **asdict(self.whole)} if self.whole is not None else None
        return {"tasks": [task.to_json() for task in self.tasks], "whole": told, "note": self.note}


def difference_of(
    first: Earlier, second: Earlier, *, task: str | None = None, prompts: Prompts = "same", seed: int = 0
) -> EvaluationDiff:
    """Compare two evaluations of the same rows by the same rules, paired.

    Args:
        first: A.
        second: B; differences are B minus A.
        task: one of them, `glue/rte` or `glue/rte#TEMPLATE`; None: all, and the headline.
        prompts: whether rows that were put in other words are refused.
        seed: of the bootstrap.

    Raises:
        DataError: tasks, rules, rows or prompts differ, or neither has the task.
    """
    pairs = _pairs(first, second, task)
    comparisons = [compare(*pair, seed=seed) for pair in pairs]
    if prompts == "same":
        for pair in pairs:
            _check_prompts(*pair)
    adjusted = holm([each.p_value for each in comparisons])
    tasks = tuple(
        TaskDiff(*pair, comparison, p_value, tuple(_rows(*pair)))
        for pair, comparison, p_value in zip(pairs, comparisons, adjusted, strict=True)
    )
    if task is not None or len(pairs) == 1 or not have_a_mean({each.metric for each in comparisons}):
        return EvaluationDiff(tasks, None)
    if first.suite is not None and first.suite == second.suite:
        found = _headline(first.suite, pairs, seed)
        return EvaluationDiff(tasks, found, _headline_name(first.suite))
    note = ""
    if first.suite is not None and second.suite is not None:
        note = (
            f"The headlines are of different suites, {first.suite.name} and {second.suite.name}, or of "
            "different parts of one: they are not compared, and the average is the plain mean of the tasks."
        )
    firsts, seconds = zip(*pairs, strict=True)
    return EvaluationDiff(tasks, compare_averages(firsts, seconds, seed=seed), "average", note)


def foremost(rows: Sequence[DifferingRow], count: int) -> tuple[DifferingRow, ...]:
    """The rows to look at first: by the swing of the right option's probability, then the others in order."""
    ranked = sorted((row for row in rows if row.swing is not None), key=lambda row: -abs(row.swing or 0.0))
    return (*ranked, *(row for row in rows if row.swing is None))[:count]


def right_probability(prediction: Prediction) -> float | None:
    """How probable the right options are together, by the softmax of what options were ranked by.

    None where options were not ranked, or the right one was not among them.

    >>> scores = {"yes": -2.0, "no": -2.0}
    >>> round(right_probability(Prediction("r", "?", "no", "yes", False, "yes", option_scores=scores)), 6)
    0.5
    """
    if not prediction.option_scores:
        return None
    probabilities = option_probabilities(prediction.option_scores)
    right = {prediction.target, *prediction.references} & probabilities.keys()
    return sum(probabilities[option] for option in sorted(right)) if right else None


def _pairs(
    first: Earlier, second: Earlier, task: str | None
) -> tuple[tuple[TaskEvaluation, TaskEvaluation], ...]:
    """The tasks of both, side by side; each has to have all of the other's."""
    mine, others = _named(first, task), _named(second, task)
    if not mine and not others:
        raise DataError(
            f"neither evaluation has the task '{task}'",
            where=str(first.folder),
            got=", ".join(part.name for part in first.tasks),
        )
    paired(second, mine)
    return paired(first, others)


def _named(earlier: Earlier, task: str | None) -> tuple[TaskEvaluation, ...]:
    return tuple(
        part for part in earlier.tasks if task in (None, part.task, f"{part.task}#{part.template}", part.name)
    )


def _check_prompts(first: TaskEvaluation, second: TaskEvaluation) -> None:
    for mine, other in zip(first.predictions, second.predictions, strict=True):
        if mine.inputs != other.inputs:
            place = next(
                (
                    i
                    for i, pair in enumerate(zip(mine.inputs, other.inputs, strict=False))
                    if len(set(pair)) > 1
                ),
                min(len(mine.inputs), len(other.inputs)),
            )
            raise DataError(
                "the two models were not asked in the same words",
                where=mine.id,
                expected=_from(mine.inputs, place),
                got=_from(other.inputs, place),
                fix="evaluate both with the same shots and settings, or say prompts=any",
            )


def _from(text: str, place: int) -> str:
    """The text from a little before a place on, which is where it differs from another."""
    start = max(0, place - 20)
    shown = text[start : start + _SHOWN_CHARACTERS]
    return repr(("…" if start else "") + shown + ("…" if start + len(shown) < len(text) else ""))


def _rows(first: TaskEvaluation, second: TaskEvaluation) -> Iterator[DifferingRow]:
    """The rows that the two part over; where targets are scored nothing is answered, and there are none."""
    if first.mode.direction == "perplexity":
        return
    for mine, other in zip(first.predictions, second.predictions, strict=True):
        if mine.prediction == other.prediction or (mine.correct and other.correct):
            continue
        kind: Kind = "a_right" if mine.correct else "b_right" if other.correct else "both_wrong"
        before, after = right_probability(mine), right_probability(other)
        swing = None if before is None or after is None else after - before
        yield DifferingRow(first.name, kind, mine, other, swing)


def _headline_name(suite: EarlierSuite) -> str:
    """The suite's, or that of tasks which no suite names."""
    if suite.name == UNNAMED:
        return "average"
    return f"{'normalised ' if suite.normalised else ''}headline of {suite.name}"


def _headline(
    suite: EarlierSuite, pairs: Sequence[tuple[TaskEvaluation, TaskEvaluation]], seed: int
) -> Comparison:
    """The difference of the headlines, drawn once for both."""
    first, second = ({pair[i].name: pair[i] for pair in pairs} for i in (0, 1))
    names = ["\n".join((*entry.path, entry.name)) for entry in suite.entries]

    def entries(parts: Mapping[str, TaskEvaluation]) -> dict[str, EntryScore]:
        scored = (
            entry_score([parts[prompt] for prompt in entry.prompts], over=entry.over, seed=seed)
            for entry in suite.entries
        )
        return dict(zip(names, scored, strict=True))

    shares = {name: entry.share for name, entry in zip(names, suite.entries, strict=True)}
    return compare_suites(entries(first), entries(second), shares, normalised=suite.normalised)


def _answer(prediction: Prediction) -> dict[str, Any]:
    """What one model answered; what is empty is left out."""
    told: dict[str, Any] = {"prediction": prediction.prediction, "correct": prediction.correct}
    rarer = {
        "written": prediction.written,
        "scores": dict(prediction.option_scores),
        "right_probability": right_probability(prediction),
        "votes": dict(prediction.votes),
    }
    return told | {key: value for key, value in rarer.items() if value not in ("", {}, None)}
