"""`ramekin tasks check`: every task and template against its data and a vocabulary."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ramekin.catalog import Catalog
from ramekin.errors import RamekinError
from ramekin.recipes.data import template_names
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, places_of
from ramekin.recipes.rows import TaskRows
from ramekin.recipes.tasks_render import chosen_rows, prompt_style
from ramekin.recipes.tasks_schema import CheckTasksConfig
from ramekin.sources.records import Records, splits_at_hand
from ramekin.text.lint import Finding, Limits, Vocabulary, lint_task
from ramekin.text.task import Task

__all__ = ["check_tasks"]

ROWS = 50
"""So many rows of a task are looked at unless `limit=` says otherwise."""


def check_tasks(names: Sequence[str], config: CheckTasksConfig) -> tuple[Outcome, bool]:
    """Check tasks; rows come from the data where they are at hand, and from the task's own sample elsewhere.

    Args:
        names: the tasks; empty means all.
        config: rows, templates, vocabulary and limits.

    Returns:
        What was found, and whether it is free of errors.
    """
    catalog = Catalog(config.tasks_root)
    vocabulary = None if config.tokenizer is None else _vocabulary(config.tokenizer)
    places = places_of(config)
    findings: list[Finding] = []
    on_sample: list[str] = []
    listed = list(names) or list(catalog)
    templates = rows = 0
    for name in listed:
        try:
            found, num_templates, num_rows, is_sample = _check(name, catalog, config, places, vocabulary)
        except RamekinError as error:
            said = str(error).removesuffix(f"; fix: {error.fix}")
            findings.append(Finding("error", name, (), said, error.fix or "mend what it names"))
            continue
        findings += found
        templates += num_templates
        rows += num_rows
        if is_sample:
            on_sample.append(name)
    levels = Counter(finding.level for finding in findings)
    lines = [finding.line() for finding in findings]
    if vocabulary is None:
        lines.append("no vocabulary was given, so nothing was counted in tokens; give tokenizer=DIR")
    if on_sample:
        lines.append(
            f"{len(on_sample)} tasks were looked at on their own example row: their data are not at hand"
        )
    lines.append(
        f"{len(listed)} tasks, {templates} templates, {rows} rows: "
        f"{levels['error']} errors, {levels['warning']} warnings"
    )
    values = {
        "tasks": len(listed),
        "templates": templates,
        "rows": rows,
        "errors": levels["error"],
        "warnings": levels["warning"],
        "on_sample": on_sample,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    return Outcome(values, "\n".join(lines)), not levels["error"]


def _check(
    name: str, catalog: Catalog, config: CheckTasksConfig, places: Places, vocabulary: Vocabulary | None
) -> tuple[list[Finding], int, int, bool]:
    """Findings, how many templates and rows were looked at, and whether the row was the task's own sample."""
    task = catalog[name]
    chosen = template_names(task, config.templates, turned=True)
    split = None if config.sample else _split_at_hand(task, config.split, places)
    is_sample = split is None and task.sample is not None
    if split is None and not is_sample:
        rows = TaskRows(Records((), "", 0, None), (), 0)
    else:
        settings = config.model_copy(update={"sample": is_sample})
        rows = chosen_rows(task, split or "sample", settings, places, limit=config.limit or ROWS)
    findings = lint_task(
        task,
        list(zip(rows.positions, rows.records.rows, strict=True)),
        split=split or "sample",
        templates=chosen,
        style=prompt_style(config),
        vocabulary=vocabulary,
        limits=Limits(config.max_input_tokens, config.max_target_tokens),
    )
    return findings, len(chosen), len(rows.records.rows), is_sample


def _split_at_hand(task: Task, asked: str | None, places: Places) -> str | None:
    """A split whose rows can be read without the hub, `validation` first; None: there is none."""
    source = task.source
    if asked is not None:
        source = dataclasses.replace(source, splits={asked: source.splits.get(asked, asked)})
    found = splits_at_hand(source, places.data_root)
    return "validation" if "validation" in found else next(iter(found), None)


def _vocabulary(folder: Path) -> Vocabulary:
    from ramekin.tensors.tokenizer import UNK_ID, decode, load_tokenizer, token_ids

    tokenizer = load_tokenizer(folder)
    return Vocabulary(
        lambda texts: token_ids(tokenizer, list(texts)) if texts else [],
        lambda ids: decode(tokenizer, list(ids)),
        UNK_ID,
    )
