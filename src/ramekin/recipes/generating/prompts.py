"""Prompts from arguments, standard input, text files and tables, with or without a template.

Knows nothing of models.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from ramekin.errors import DataError, UsageError
from ramekin.recipes.generate_schema import GenerateConfig
from ramekin.recipes.generating.papers import asks_for_pairs, asks_of_papers, papers_in, record_of
from ramekin.recipes.places import Places, places_of
from ramekin.registry import nearest
from ramekin.sources.local import EXTENSIONS, read_file
from ramekin.sources.papers import Paper
from ramekin.sources.plain import read_plain
from ramekin.text.asking import asking_task, template_of_text
from ramekin.text.example import Example, Provenance, Record
from ramekin.text.render import Style, render
from ramekin.text.task import Task

__all__ = ["STANDARD_INPUT", "Prompt", "Prompts", "lines_of", "read_prompts"]

STANDARD_INPUT = Path("-")
_USUAL_COLUMNS = ("inputs", "prompt", "text")


@final
@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt and where it came from."""

    example: Example
    """Its inputs, and which of their words are the record's own; the targets are none."""
    where: str
    record: Record | None = None
    """The row of a table."""


@final
@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts, in order."""

    items: tuple[Prompt, ...]
    origin: str
    notes: tuple[str, ...] = ()
    """What was left out, for people."""
    papers: tuple[Paper, ...] = ()
    """The papers whose outputs are pairs of question and answer; one a prompt."""


def read_prompts(config: GenerateConfig) -> Prompts:
    """The prompts that a configuration asks for.

    Raises:
        UsageError: there are none, or the file is of a kind that cannot be read.
        DataError: the file or a row cannot be read, or a prompt is empty.
    """
    places = places_of(config)
    if config.file is None:
        if not config.prompts:
            raise UsageError(
                "there is nothing to write for",
                expected="prompts: -p 'TEXT', file=FILE, or lines on standard input",
            )
        found = lines_of(config.prompts, "prompt")
    elif config.file == STANDARD_INPUT:
        found = lines_of(sys.stdin.read().splitlines(), "standard input")
    elif config.asks or config.file.suffix in EXTENSIONS:
        found = _of_records(config, config.file, places)
    else:
        plain = read_plain(config.file)
        left_out = (f"{plain.blank} blank lines were left out",) if plain.blank else ()
        prompts = [_prompt(text, f"{config.file}:{number}", number) for number, text in plain.lines]
        found = Prompts(tuple(prompts), str(config.file), left_out)
    items = found.items[: config.limit]
    if not items:
        raise DataError("there are no prompts", where=found.origin, expected="one at least")
    return replace(found, items=items, papers=found.papers[: config.limit])


def lines_of(texts: Sequence[str], origin: str) -> Prompts:
    """Texts as prompts; blank ones are left out and counted, but for one that stands alone.

    Raises:
        DataError: there is no text but blank ones.
    """
    prompts = [
        _prompt(text.strip(), f"{origin} {number}", number)
        for number, text in enumerate(texts, start=1)
        if text.strip()
    ]
    if not prompts:
        raise DataError("the prompt is empty", where=origin, expected="a text")
    blank = len(texts) - len(prompts)
    return Prompts(tuple(prompts), origin, (f"{blank} blank lines were left out",) if blank else ())


def _prompt(text: str, where: str, row: int, record: Record | None = None) -> Prompt:
    return Prompt(Example(text, "", (), Provenance("prompt", "none", "given", row)), where, record)


def _of_records(config: GenerateConfig, path: Path, places: Places) -> Prompts:
    """The prompts that the rows of a table, or papers, come to."""
    task = _task(config)
    style = Style(mark_fields=True, seed=config.seed)
    if task is not None and asks_of_papers(task, path):
        papers = papers_in(path)[: config.limit]
        items = tuple(
            Prompt(render(task, record, split=path.stem, row=row, style=style), paper.where, record)
            for row, (paper, record) in enumerate(zip(papers, map(record_of, papers), strict=True))
        )
        remarks = tuple(f"{paper.where}: {remark}" for paper in papers for remark in paper.remarks)
        return Prompts(items, str(path), remarks, papers if _wants_pairs(config) else ())
    if task is not None and path.suffix not in EXTENSIONS:
        raise DataError(
            "a template reads the columns of a table",
            where=str(path),
            expected=", ".join(EXTENSIONS),
            got=path.suffix or "no extension",
            fix="for a paper (.pdf, .txt, .md, .json) take a template that shows abstract and introduction",
        )
    columns = {} if task is None else task.columns
    records = read_file(path, columns, limit=config.limit, bad_rows=places.bad_rows)
    if task is None:
        items = tuple(_by_column(config.column, records.rows, path))
    else:
        items = tuple(
            Prompt(
                render(task, record, split=path.stem, row=row, style=style), f"{path}, row {row + 1}", record
            )
            for row, record in enumerate(records.rows)
        )
    skipped = records.skipped
    return Prompts(items, str(path), (f"{skipped} bad rows were left out",) if skipped else ())


def _wants_pairs(config: GenerateConfig) -> bool:
    """Whether outputs are pairs: where that is not said, as the task has it."""
    from ramekin.catalog import load_task

    if config.pairs is not None:
        return config.pairs
    return config.task is not None and asks_for_pairs(load_task(config.task, tasks_root=config.tasks_root))


def _task(config: GenerateConfig) -> Task | None:
    """The task that asks, if there is one."""
    from ramekin.catalog import load_task

    template = config.template
    if config.task is not None:
        return asking_task(load_task(config.task, tasks_root=config.tasks_root), template)
    if template is None:
        return None
    if "{{" not in template:
        raise UsageError(
            "a template of one's own shows columns",
            where=f"template={template}",
            expected="'{{ COLUMN }}' in it, or task=NAME with the name of one of its templates",
        )
    return template_of_text(template)


def _by_column(column: str | None, rows: Sequence[Record], path: Path) -> Iterator[Prompt]:
    """The prompts that stand in a column."""
    present = list(rows[0]) if rows else []
    name = column or next((each for each in _USUAL_COLUMNS if each in present), None)
    if rows and (name is None or name not in present):
        near = nearest(name, present) if name else None
        raise DataError(
            "the file has no such column" if name else "which column holds the prompts is not known",
            where=str(path),
            expected=f"column={near}" if near else f"one of {', '.join(_USUAL_COLUMNS)}, or column=NAME",
            got=f"columns {', '.join(present)}",
            fix="name the column, or give a template that reads the columns",
        )
    for row, record in enumerate(rows):
        text = record[name] if name is not None else None
        where = f"{path}, row {row + 1}"
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                "a prompt is no text", where=where, expected=f"a text in '{name}'", got=repr(text)
            )
        yield _prompt(text.strip(), where, row, record)
