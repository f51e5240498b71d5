"""Other tools' layouts of a suite's result: which names its tasks and groups have there, and the files.

That a layout cannot hold a suite is known from the suite alone, before anything is computed.
"""

import json
import math
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias, final

from ramekin.catalog import Catalog
from ramekin.evaluate.fusionbench import fusionbench_report, report_keys
from ramekin.evaluate.lm_eval import (
    LmEvalGroup,
    PartName,
    date_id,
    lm_eval_key,
    lm_eval_names,
    lm_eval_results,
    lm_eval_samples,
    model_folder,
    plain_name,
    refuse_twice,
)
from ramekin.evaluate.suites import EntryScore
from ramekin.files import write_json, write_text
from ramekin.recipes.data import template_names
from ramekin.recipes.evaluations.found import SuiteResult
from ramekin.text.score import have_a_mean, normalised_value
from ramekin.text.suite import UNNAMED, Suite, SuiteEntry, suite_entries, suite_shares

__all__ = ["Format", "Layout", "check_formats", "layout_of", "lm_eval_groups", "write_formats"]

Format: TypeAlias = Literal["fusionbench", "lm_eval"]


@final
@dataclass(frozen=True)
class Layout:
    """The names that a suite has in lm-eval's layout."""

    names: tuple[str, ...]
    """Of the parts of all entries, in order."""
    groups: tuple[tuple[LmEvalGroup, tuple[SuiteEntry, ...]], ...]
    """Without their values, each with the entries that it is over; what is within a group comes before it."""


def check_formats(
    formats: Collection[Format], suite: Suite, catalog: Catalog, *, models: Sequence[str] = ()
) -> None:
    """Refuse a suite, or models, that a layout cannot hold.

    Raises:
        UsageError: two of its tasks, templates or groups, or two models, would have one name.
    """
    if not formats:
        return
    planned = {entry: tuple(_planned(entry, catalog)) for entry in suite_entries(suite)}
    if "fusionbench" in formats:
        report_keys([task for parts in planned.values() for task, _, _ in parts])
    if "lm_eval" in formats:
        layout_of(suite, planned)
        refuse_twice(map(model_folder, models))


def _planned(entry: SuiteEntry, catalog: Catalog) -> Iterator[PartName]:
    """What will be asked for an entry, as far as tells its parts apart."""
    settings = entry.settings
    if settings.shots and settings.exemplars == "published":
        yield entry.task, "published", entry.title
        return
    for place, _ in enumerate(settings.words or ((),)):
        for template in template_names(catalog[entry.task], settings.templates):
            words = str(place) if len(settings.words) > 1 else ""
            yield entry.task, template, ", ".join(filter(None, (entry.title, words)))


def layout_of(suite: Suite, parts: Mapping[SuiteEntry, Sequence[PartName]]) -> Layout:
    """The names of everything in a suite.

    Args:
        suite: whose.
        parts: of each entry that is there.

    Raises:
        UsageError: two have one name.
    """
    parts = _told_apart(parts)
    names = lm_eval_names([part for each in parts.values() for part in each])
    titles = _titles(parts)
    groups: list[tuple[LmEvalGroup, tuple[SuiteEntry, ...]]] = []
    called: dict[SuiteEntry, str] = {}
    start = 0
    for entry, each in parts.items():
        own, start = names[start : start + len(each)], start + len(each)
        called[entry] = own[0]
        if len(own) > 1:
            called[entry] = plain_name(entry.task, titles[entry])
            alias = " ".join(filter(None, (entry.task, titles[entry])))
            groups.append((LmEvalGroup(called[entry], alias, own), (entry,)))
    if suite.name != UNNAMED or len(suite.parts) > 1:
        _gather(suite, (), plain_name(suite.name), suite.name, called, groups)
    refuse_twice((*names, *(group.name for group, _ in groups)))
    return Layout(names, tuple(groups))


def _told_apart(
    parts: Mapping[SuiteEntry, Sequence[PartName]],
) -> dict[SuiteEntry, tuple[PartName, ...]]:
    """The same, no two alike: a task that several parts of a suite ask in one way has their titles."""
    counts = Counter(part for each in parts.values() for part in each)

    def own(entry: SuiteEntry, part: PartName) -> PartName:
        task, template, label = part
        return part if counts[part] == 1 else (task, template, ", ".join(filter(None, (*entry.path, label))))

    return {entry: tuple(own(entry, part) for part in each) for entry, each in parts.items()}


def _titles(entries: Collection[SuiteEntry]) -> dict[SuiteEntry, str]:
    """What tells the entries of one task apart: nothing, their titles, or where in the suite they are too."""
    found = {}
    for entry in entries:
        others = [each for each in entries if each.task == entry.task]
        own = {each.title for each in others}
        if len(others) == 1:
            found[entry] = ""
        elif len(own) == len(others) and "" not in own:
            found[entry] = entry.title
        else:
            found[entry] = ", ".join(filter(None, (*entry.path, entry.title)))
    return found


def _gather(
    suite: Suite,
    above: tuple[str, ...],
    name: str,
    alias: str,
    called: Mapping[SuiteEntry, str],
    groups: list[tuple[LmEvalGroup, tuple[SuiteEntry, ...]]],
) -> str | None:
    """Add the groups of a suite, its parts' first; its own name, or None where nothing of it is there."""
    members: list[str] = []
    for part in suite.parts:
        path = (*above, part.title)
        own = plain_name(name, part.title)
        if part.suite is not None:
            within = _gather(part.suite, path, own, part.title, called, groups)
            members += [within] if within is not None else []
            continue
        entries = tuple(entry for entry in called if entry.path == path)
        inner = [called[entry] for entry in entries]
        if len(suite.parts) > 1 and inner:
            groups.append((LmEvalGroup(own, part.title, tuple(inner)), entries))
            inner = [own]
        members += inner
    below = tuple(entry for entry in called if entry.path[: len(above)] == above)
    if members:
        groups.append((LmEvalGroup(name, alias, tuple(members)), below))
    return name if members else None


def lm_eval_groups(result: SuiteResult, layout: Layout) -> tuple[LmEvalGroup, ...]:
    """The groups with what they come to: the shares of the suite's headline, within each group."""
    shares = suite_shares(result.suite, result.entries)
    return tuple(
        _valued(group, {entry: result.entries[entry] for entry in entries}, shares, result.suite.normalised)
        for group, entries in layout.groups
    )


def _valued(
    group: LmEvalGroup,
    entries: Mapping[SuiteEntry, EntryScore],
    shares: Mapping[SuiteEntry, float],
    normalised: bool,
) -> LmEvalGroup:
    """A group with its mean, and the standard error of that, the entries being independent."""
    if not have_a_mean({each.score.metric for each in entries.values()}):
        return group
    is_task = len(entries) == 1 and all(
        len(each.parts) == len(group.members) > 1 for each in entries.values()
    )
    normalised = normalised and not is_task
    keys = {
        ",".join(lm_eval_key(part, each.score.metric)) for each in entries.values() for part in each.parts
    }
    key = "normalised_average,none" if normalised else keys.pop() if len(keys) == 1 else "average,none"
    whole = sum(shares[entry] for entry in entries)
    value, variance = 0.0, 0.0
    for entry, found in entries.items():
        share, score = shares[entry] / whole, found.score
        scaled = normalised and score.chance != 1
        value += share * (normalised_value(score.value, score.chance) if normalised else score.value)
        variance += (share * score.standard_error / ((1 - score.chance) if scaled else 1)) ** 2
    return LmEvalGroup(group.name, group.alias, group.members, key, value, math.sqrt(variance))


def write_formats(
    formats: Collection[Format], folder: Path, place: Path, result: SuiteResult, *, started: datetime
) -> None:
    """Write one model's result in the layouts of other tools.

    Args:
        formats: which.
        folder: of the run; lm-eval's files are below `lm_eval`, by the model's name.
        place: the folder of the model's own files.
        result: of the model.
        started: when the run began.
    """
    if "fusionbench" in formats:
        write_json(place / "fusionbench.json", fusionbench_report(result.evaluation))
    if "lm_eval" not in formats:
        return
    parts = {
        entry: [(part.task, part.template, part.label) for part in found.parts]
        for entry, found in result.entries.items()
    }
    layout = layout_of(result.suite, parts)
    limits = {entry.settings.limit for entry in result.entries}
    values = lm_eval_results(
        result.evaluation,
        layout.names,
        lm_eval_groups(result, layout),
        model=result.model,
        started=started,
        limit=limits.pop() if len(limits) == 1 else None,
    )
    target, date = folder / "lm_eval" / model_folder(result.model), date_id(started)
    shutil.rmtree(target, ignore_errors=True)  # of a run that was stopped here before: of another date
    for name, part in zip(layout.names, result.evaluation.tasks, strict=True):
        rows = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in lm_eval_samples(part))
        write_text(target / f"samples_{name}_{date}.jsonl", "".join(f"{row}\n" for row in rows))
    write_json(target / f"results_{date}.json", values)
