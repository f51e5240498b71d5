"""Evaluations as the rows, facts and files of a report."""

import hashlib
import io
import os
import platform
import shutil
import sys
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ramekin.evaluate.evaluation import Evaluation, TaskEvaluation, to_json, write_predictions
from ramekin.evaluate.runner import EvalSet
from ramekin.files import write_json
from ramekin.recipes.data import TaskExamples
from ramekin.recipes.outcome import Outcome
from ramekin.report.values import AVERAGE, Cell, Counter, Report, TableRow, average_cell
from ramekin.report.wording import slug
from ramekin.report.write import write_report

if TYPE_CHECKING:
    from ramekin.recipes.evaluations.formats import Format
    from ramekin.recipes.evaluations.found import SuiteResult

__all__ = [
    "caption_of",
    "columns_of",
    "counters_of",
    "evaluation_sets_of",
    "finish",
    "finish_evaluations",
    "headings_of",
    "machine",
    "model_folders",
    "predictions_file",
    "predictions_name",
    "report_text",
    "rules_text",
    "score_row",
    "short_name",
    "write_predictions_of",
]


def short_name(task: str, template: str = "", *, several: bool = False) -> str:
    """A task's column heading: `rte` of `glue/rte`, with its template where a task has several."""
    name = task.rpartition("/")[2]
    return f"{name}#{template}" if several else name


def columns_of(evaluation: Evaluation) -> tuple[str, ...]:
    """The headings of an evaluation's columns, the average last when there are several."""
    names = headings_of(evaluation.tasks)
    return (*names, AVERAGE) if len(names) > 1 else names


def headings_of(parts: Sequence[TaskEvaluation]) -> tuple[str, ...]:
    """A heading for each task and template, as short as tells them apart."""
    tasks = [part.task for part in parts]
    names = [short_name(part.task, part.template, several=tasks.count(part.task) > 1) for part in parts]
    if len(set(names)) < len(names):
        names = [f"{part.task}#{part.template}" for part in parts]
    if len(set(names)) < len(names):
        names = [part.name for part in parts]
    return tuple(names)


def score_row(label: str, evaluation: Evaluation, *, group: str = "", own: str = "") -> TableRow:
    """One model's row: each task's headline, and their plain mean when there are several."""
    cells: list[Cell | None] = [
        # For correlations and overlaps of texts no best constant answer is looked for: 0.
        Cell.of(part.headline, majority=part.majority[part.headline.metric] or None)
        for part in evaluation.tasks
    ]
    if len(cells) > 1:
        cells.append(average_cell(cells))
    return TableRow(label, tuple(cells), group=group, own=own)


def counters_of(evaluation: Evaluation) -> tuple[Counter, ...]:
    """What was lost or could not be read, by kind; zeros are left out."""
    total = sum(part.n for part in evaluation.tasks)
    tokens = sum(part.input_tokens for part in evaluation.tasks)
    lost = sum(part.lost_tokens for part in evaluation.tasks)
    from_fields = sum(part.lost_from_fields for part in evaluation.tasks)
    sums = {
        "inputs truncated": sum(part.truncated_inputs for part in evaluation.tasks),
        "targets truncated": sum(part.truncated_targets for part in evaluation.tasks),
        "inputs with unknown characters": sum(part.unknown_inputs for part in evaluation.tasks),
        "targets the vocabulary cannot write": sum(part.changed_targets for part in evaluation.tasks),
        "rows skipped": sum(part.skipped for part in evaluation.tasks),
        "answers that could not be read": sum(part.headline.unparsable for part in evaluation.tasks),
        "ties between options, the first taken": sum(part.ties for part in evaluation.tasks),
    }
    others = (
        Counter("input tokens lost from the ends of the records' words", from_fields, tokens),
        Counter("input tokens lost at the end of the prompt", lost - from_fields, tokens),
        Counter(
            "exemplars left out: they did not fit, or were not there",
            sum(part.pruned_exemplars for part in evaluation.tasks),
            sum(part.shots * part.n for part in evaluation.tasks),
        ),
    )
    counted = (*(Counter(name, count, total) for name, count in sums.items()), *others)
    return tuple(each for each in counted if each.count)


def caption_of(evaluation: Evaluation) -> str:
    """What a reader of the scores must know: rules where options are ranked, exemplars, label words."""
    told = []
    ranked = ", ".join(f"'{mode.name}'" for mode in evaluation.modes if mode.ranks)
    if ranked:
        told.append(f"Options are ranked by the rules of {ranked}.")
    shots = sorted({part.shots for part in evaluation.tasks} - {0})
    if shots:
        told.append(f"Exemplars before each question: {', '.join(map(str, shots))}.")
    words = {option: word for part in evaluation.tasks for option, word in part.words.items()}
    if words:
        listed = ", ".join(f"'{option}' is '{word}'" for option, word in words.items())
        told.append(f"Label words: {listed}.")
    return " ".join(told)


def rules_text(evaluation: Evaluation) -> str:
    """The names of the modes by which an evaluation was scored."""
    return ", ".join(f"'{mode.name}'" for mode in evaluation.modes)


def evaluation_sets_of(examples: Sequence[TaskExamples]) -> tuple[EvalSet, ...]:
    """Rendered splits as what `evaluate` takes."""
    return tuple(
        EvalSet(e.task, e.template, e.split, e.examples, e.records.origin, e.skipped, e.flipped, e.words)
        for e in examples
    )


def write_predictions_of(folder: Path, evaluation: Evaluation) -> None:
    """Write one JSONL of predictions a task."""
    for part in evaluation.tasks:
        write_predictions(folder / predictions_file(part), part.predictions)


def predictions_file(part: TaskEvaluation) -> str:
    """The name of the file of a task's predictions."""
    return predictions_name(part.task, part.template, part.split, part.label)


def predictions_name(task: str, template: str, split: str, label: str = "") -> str:
    """The name of the file of the predictions on a task under one template."""
    own = f"-{_hashed(label)}" if label else ""
    return f"{task.replace('/', '_')}-{template}-{split}{own}.jsonl"


def model_folders(models: Sequence[str]) -> dict[str, str]:
    """The folder of each of several models: its name, with a hash of it where that would be another's too.

    >>> model_folders(["runs/rte", "runs/cola", "runs-cola"])["runs/rte"]
    'runs-rte'
    >>> sorted(model_folders(["runs/cola", "runs-cola"]).values())
    ['runs-cola-be9c0f92', 'runs-cola-f2f833ac']
    """
    names = Counts(slug(model, "model") for model in models)
    return {
        model: slug(model, "model") if names[slug(model, "model")] == 1 else _hashed(model)
        for model in models
    }


def _hashed(text: str) -> str:
    """A file name that is no other text's: the readable part alone may be cut, or of other letters."""
    return f"{slug(text, 'x')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def finish_evaluations(
    folder: Path,
    report: Report,
    results: "Sequence[SuiteResult]",
    beside: Mapping[str, Any],
    *,
    formats: "Sequence[Format]" = (),
) -> Outcome:
    """Write everything that a suite's evaluations leave, the report last.

    Each model's is in the folder itself, or of several models in a folder of the model's name.

    Args:
        folder: of the run.
        report: of all models.
        results: one a model.
        beside: what else the JSON says.
        formats: of other tools, in which the results are written too.
    """
    told: dict[str, Any] = {}
    folders = model_folders([each.model for each in results])
    for each in results:
        place = folder if len(results) == 1 else folder / folders[each.model]
        found = {**to_json(each.evaluation), **each.to_json(), **beside}
        write_predictions_of(place / "predictions", each.evaluation)
        write_json(place / "evaluation.json", {"model": each.model, **found})
        if formats:
            from ramekin.recipes.evaluations.formats import write_formats

            started = datetime.fromisoformat(report.facts.started)
            write_formats(formats, folder, place, each, started=started)
        told[each.model] = found
    write_report(report, folder)
    values = told[results[0].model] if len(results) == 1 else {"models": told}
    return Outcome({"output": str(folder), **values}, f"{report_text(report)}\nwritten to {folder}")


def finish(
    folder: Path, report: Report, evaluation: Evaluation, beside: Mapping[str, Any] = MappingProxyType({})
) -> Outcome:
    """Write everything an evaluation leaves, the report last; hand back its scores and what is `beside`."""
    write_predictions_of(folder / "predictions", evaluation)
    found = {**to_json(evaluation), **beside}
    write_json(folder / "evaluation.json", found)
    write_report(report, folder)
    values = {"output": str(folder), **found}
    return Outcome(values, f"{report_text(report)}\nwritten to {folder}")


def report_text(report: Report) -> str:
    """The report as the terminal shows it, plain where stdout is no terminal."""
    from rich.console import Console

    from ramekin.report.terminal import to_terminal

    width = shutil.get_terminal_size((100, 24)).columns
    shown = io.StringIO()
    console = Console(file=shown, width=width, force_terminal=sys.stdout.isatty(), highlight=False)
    to_terminal(report, console)
    return shown.getvalue().rstrip()


def machine() -> str:
    """A sentence on the processor, for reports."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"
