"""The recipe behind `ramekin evaluate diff`: two evaluations by their folders, where their models part."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ramekin.errors import UsageError
from ramekin.files import write_text
from ramekin.recipes.earlier import Earlier, read_earlier
from ramekin.recipes.evaluate_diff_schema import DiffConfig
from ramekin.recipes.evaluations.diff_report import diff_report, row_lines
from ramekin.recipes.evaluations.differing import DifferingRow, EvaluationDiff, difference_of, foremost
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.results import machine, report_text
from ramekin.recipes.runs import command_line, run_folder
from ramekin.report.values import RunFacts

__all__ = ["FORMAT", "diff"]

FORMAT = "ramekin.evaluation-diff/1"


def diff(config: DiffConfig) -> Outcome:
    """Compare, and write what was found where there is an output."""
    if config.output is None:
        return _compared(config, None)
    with run_folder(config.output, config) as folder:
        return _compared(config, folder)


def _compared(config: DiffConfig, folder: Path | None) -> Outcome:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    first, second = _read(config.first), _read(config.second)
    found = difference_of(first, second, task=config.task, prompts=config.prompts, seed=config.seed)
    rows = found.rows(config.only)
    shown = foremost(rows, config.show)
    facts = RunFacts()
    if folder is not None:
        facts = RunFacts(command=command_line(), seed=config.seed, started=started, machine=machine())
    report = diff_report(found, shown, names=_names(first, second), total=len(rows), facts=facts)
    lines = [report_text(replace(report, text_tables=report.text_tables[:1])), *_told(shown, rows, folder)]
    values = _values(config, first, second, found, rows, shown)
    if folder is None:
        return Outcome(values, "\n".join(lines))
    from ramekin.report.write import write_report

    told = (json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_text(folder / "diff.jsonl", "".join(told))
    write_report(report, folder)
    return Outcome({"output": str(folder), **values}, "\n".join([*lines, "", f"written to {folder}"]))


def _read(folder: Path) -> Earlier:
    """One model's evaluation.

    Raises:
        UsageError: the folder holds those of several models.
        DataError: it holds none, or a damaged one.
    """
    if not (folder / "evaluation.json").is_file():
        models = sorted(path.parent for path in folder.glob("*/evaluation.json"))
        if models:
            raise UsageError(
                "the folder holds the evaluations of several models",
                where=str(folder),
                expected="the folder of one",
                got=", ".join(path.name for path in models),
                fix=f"name one: {models[0]}",
            )
    return read_earlier(folder)


def _names(first: Earlier, second: Earlier) -> tuple[str, str]:
    """What the models are called; their folders, where that is the same."""
    names = (first.model or str(first.folder), second.model or str(second.folder))
    return names if names[0] != names[1] else (str(first.folder), str(second.folder))


def _told(shown: Sequence[DifferingRow], rows: Sequence[DifferingRow], folder: Path | None) -> list[str]:
    """The rows for people, and how many there are."""
    if not rows:
        return ["", "No rows are answered differently."]
    whole = "diff.jsonl has them all" if folder is not None else "output=DIR writes them all"
    more = f"{len(shown)} of {len(rows)} rows; {whole}:" if len(shown) < len(rows) else f"{len(rows)} rows:"
    return ["", more, *row_lines(shown)]


def _values(
    config: DiffConfig,
    first: Earlier,
    second: Earlier,
    found: EvaluationDiff,
    rows: Sequence[DifferingRow],
    shown: Sequence[DifferingRow],
) -> dict[str, object]:
    sides = {
        side: {"folder": str(each.folder), "model": each.model}
        for side, each in (("a", first), ("b", second))
    }
    return {
        "format": FORMAT,
        **sides,
        **found.to_json(),
        "only": config.only,
        "num_rows": len(rows),
        "rows": [row.to_json() for row in shown],
    }
