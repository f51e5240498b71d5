"""An evaluation that was made before, read from its folder, and how a new one differs from it, row by row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.mode import Mode
from ramekin.evaluate.spread import Over
from ramekin.evaluate.statistics import Comparison, compare, compare_averages
from ramekin.recipes.results import columns_of, predictions_name
from ramekin.report.values import AVERAGE
from ramekin.text.score import Z_95, Score, have_a_mean

__all__ = [
    "Differences",
    "Earlier",
    "EarlierEntry",
    "EarlierSuite",
    "differences",
    "paired",
    "read_earlier",
]


@final
@dataclass(frozen=True, slots=True)
class EarlierEntry:
    """An entry of the suite that was evaluated."""

    path: tuple[str, ...]
    name: str
    share: float
    """In the headline."""
    over: Over
    prompts: tuple[str, ...]
    """The names of its parts."""


@final
@dataclass(frozen=True, slots=True)
class EarlierSuite:
    """The suite that was evaluated, as far as its data was there."""

    name: str
    normalised: bool
    entries: tuple[EarlierEntry, ...]


@final
@dataclass(frozen=True)
class Earlier:
    """What an earlier evaluation found."""

    folder: Path
    tasks: tuple[TaskEvaluation, ...]
    model: str = ""
    """Empty where the file does not say."""
    suite: EarlierSuite | None = None
    """None where the file does not say."""


@final
@dataclass(frozen=True)
class Differences:
    """A new evaluation against an earlier one, task by task and on average."""

    tasks: Mapping[str, Comparison]
    """By the headings of the new evaluation's columns."""
    average: Comparison | None
    """None where there is one task, or some are scored by a perplexity and some by a share."""

    @property
    def listed(self) -> tuple[Comparison, ...]:
        """In the order of the columns."""
        return (*self.tasks.values(), *(() if self.average is None else (self.average,)))

    def to_json(self) -> dict[str, Any]:
        """The differences as JSON values, under the names that an evaluation's columns have."""
        average = {} if self.average is None else {AVERAGE: self.average}
        return {"differences": {name: asdict(each) for name, each in {**self.tasks, **average}.items()}}


def read_earlier(folder: Path) -> Earlier:
    """Read what `ramekin evaluate` left in a folder.

    Raises:
        DataError: it is not such a folder, or a file of it is damaged.
    """
    path = folder / "evaluation.json"
    if not path.is_file():
        raise DataError(
            "there is no evaluation to compare with",
            where=str(path),
            fix="name the output folder of a finished `ramekin evaluate`",
        )
    try:
        told = json.loads(path.read_bytes())
        modes = {name: _mode(each) for name, each in _modes(told).items()}
        tasks = tuple(_task(each, modes, folder) for each in told["tasks"])
        return Earlier(folder, tasks, told.get("model", ""), _suite(told))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "the evaluation cannot be read", where=str(folder), got=f"{type(error).__name__}: {error}"
        ) from error


def _modes(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules by their names; an older file has those of all tasks alone."""
    return told["modes"] if "modes" in told else {told["mode"]["name"]: told["mode"]}


def _suite(told: Mapping[str, Any]) -> EarlierSuite | None:
    """The suite with its entries; an older file has none."""
    if "entries" not in told:
        return None
    entries = tuple(
        EarlierEntry(tuple(each["path"]), each["name"], each["share"], each["over"], tuple(each["prompts"]))
        for each in told["entries"]
    )
    return EarlierSuite(told["suite"], told["headline"]["normalised"], entries)


def _mode(told: Mapping[str, Any]) -> Mode:
    return Mode(**{**told, "also": tuple(told.get("also", ()))})


def _task(told: Mapping[str, Any], modes: Mapping[str, Mode], folder: Path) -> TaskEvaluation:
    scores = [_score(each) for each in told["scores"]]
    label = told.get("label", "")
    name = predictions_name(told["task"], told["template"], told["split"], label)
    path = folder / "predictions" / name
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return TaskEvaluation(
        task=told["task"],
        template=told["template"],
        split=told["split"],
        mode=modes[told["mode"]] if "mode" in told else next(iter(modes.values())),
        origin=told["origin"],
        options=tuple(told["options"]),
        scores=tuple(scores),
        majority={each["metric"]: each["majority"] for each in told["scores"]},
        predictions=tuple(_prediction(row) for row in rows),
        seconds=told["seconds"],
        words=told.get("words", {}),
        label=label,
        **{key: told[key] for key in _COUNTED if key in told},
    )


_COUNTED = (
    "truncated_inputs",
    "truncated_targets",
    "unknown_inputs",
    "changed_targets",
    "skipped",
    "ties",
    "unread_samples",
    "shots",
    "pruned_exemplars",
    "vocab_size",
    "max_input_tokens",
    "input_tokens",
    "lost_tokens",
    "lost_from_fields",
)


def _score(told: Mapping[str, Any]) -> Score:
    """A score; where an older file has no standard error, that of a normal interval of its width."""
    values = {key: told[key] for key in told if key not in _DERIVED}
    return Score(**{"standard_error": (told["high"] - told["low"]) / (2 * Z_95), **values})


_DERIVED = ("normalised", "majority", "above_chance")
"""What stands beside a score's own fields."""


def _prediction(row: Mapping[str, Any]) -> Prediction:
    lists = {key: tuple(row.get(key, ())) for key in ("references", "options", "samples")}
    unanswered = {"prediction": "", "correct": False, "parsed": None}
    return Prediction(**{**unanswered, **row, **lists})


def differences(earlier: Earlier, evaluation: Evaluation, *, seed: int = 0) -> Differences:
    """How an evaluation differs from an earlier one of the same rows: later minus earlier.

    Raises:
        DataError: the two were not made by the same rules, or not of the same tasks and rows.
    """
    pairs = paired(earlier, evaluation.tasks)
    named = zip(columns_of(evaluation), pairs, strict=False)
    found = {name: compare(*pair, seed=seed) for name, pair in named}
    firsts, seconds = zip(*pairs, strict=True)
    averages = len(pairs) > 1 and have_a_mean({each.metric for each in found.values()})
    return Differences(found, compare_averages(firsts, seconds, seed=seed) if averages else None)


def paired(
    earlier: Earlier, tasks: Sequence[TaskEvaluation]
) -> tuple[tuple[TaskEvaluation, TaskEvaluation], ...]:
    """Each task with what the earlier evaluation found on it, which stands first.

    Raises:
        DataError: the earlier one has not such a task, or scored it by other rules.
    """
    before = {part.name: part for part in earlier.tasks}
    pairs = []
    for part in tasks:
        if part.name not in before:
            raise DataError(
                "the other evaluation has not these rows",
                where=str(earlier.folder),
                expected=part.name,
                got=", ".join(before),
                fix="evaluate both on the same tasks, or name one that both have: task=…",
            )
        if before[part.name].mode != part.mode:
            raise DataError(
                "the two evaluations were scored by different rules",
                where=f"{earlier.folder}, {part.name}",
                expected=f"mode={part.mode.name}",
                got=f"mode={before[part.name].mode.name}",
                fix="evaluate both by one mode",
            )
        pairs.append((before[part.name], part))
    return tuple(pairs)
