"""The recipe behind `ramekin evaluate`: models by name, a suite or tasks by name, a report in a folder."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.catalog import Catalog
from ramekin.evaluate.evaluation import Evaluation
from ramekin.evaluate.mode import Mode
from ramekin.recipes.earlier import Differences, differences, read_earlier
from ramekin.recipes.evaluate_schema import EvaluateConfig, suite_of
from ramekin.recipes.evaluations.asking import AskedEntry, CountTokens, Missing
from ramekin.recipes.evaluations.cost import Cost, cost_of
from ramekin.recipes.evaluations.fan_out import fan_out, is_shared_out
from ramekin.recipes.evaluations.formats import check_formats
from ramekin.recipes.evaluations.found import SuiteResult, suite_result
from ramekin.recipes.evaluations.report import counters, pictures, score_tables
from ramekin.recipes.evaluations.suite import MAX_INPUT_TOKENS, asked_suite, token_counter
from ramekin.recipes.models import locate_config, locate_tokenizer, open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, cache_root, pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress, answering
from ramekin.recipes.results import columns_of, finish_evaluations, machine
from ramekin.recipes.runs import command_line, fresh_folder, run_folder
from ramekin.report.values import (
    Cell,
    CheckpointFact,
    DataOrigin,
    Report,
    RunFacts,
    ScoreTable,
    TableRow,
    Timing,
)
from ramekin.text.score import LOWER_IS_BETTER
from ramekin.text.suite import Suite

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.evaluate.sets import EncodedEvalSet
    from ramekin.weights.lineage import Lineage

__all__ = ["execute", "plan"]

_SHOWN_SETS = 6
"""Prompts that a dry run shows."""


def plan(config: EvaluateConfig) -> Outcome:
    """What would be asked: rows, prompts, tokens, cuts and cost; no weights are loaded."""
    places = places_of(config)
    suite = _suite(config)
    silent = SilentProgress()
    tokenizer = _load_tokenizer(locate_tokenizer(config.model_names[0], places, silent, base=config.base))
    folders = [locate_config(name, places, silent, base=config.base) for name in config.model_names]
    asked, missing = _asked(config, suite, places, token_counter(tokenizer))
    encoded = _encoded(config, asked, tokenizer)
    cost = cost_of(encoded, folders, threads=config.threads)
    values: dict[str, Any] = {
        "models": list(config.model_names),
        "suite": suite.name,
        "sets": [_set_values(each) for each in encoded],
        "missing": [str(each) for each in missing],
        "cost": cost.to_json(),
    }
    return Outcome(values, "\n".join(_plan_lines(config, suite, encoded, missing, cost)))


def execute(config: EvaluateConfig, progress: AbstractProgress) -> Outcome:
    """Evaluate and write the report; returns the scores."""
    suite = _suite(config)
    with run_folder(config.output or fresh_folder("evaluate"), config) as folder:
        return _evaluate_into(folder, suite, config, progress)


def _suite(config: EvaluateConfig) -> Suite:
    """What is asked, all the layouts that were asked for being able to hold it."""
    suite = suite_of(config)
    check_formats(config.formats, suite, Catalog(config.tasks_root), models=config.model_names)
    return suite


def _evaluate_into(folder: Path, suite: Suite, config: EvaluateConfig, progress: AbstractProgress) -> Outcome:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    places = places_of(config)
    set_threads(config.threads)
    earlier = read_earlier(config.against) if config.against is not None else None
    clock = time.perf_counter()
    results: list[SuiteResult] = []
    facts: list[CheckpointFact] = []
    warnings: list[str] = []
    origins: dict[str, DataOrigin] = {}
    shared = 0.0
    for names, tokenizer in _by_tokenizer(config, places, progress):
        with progress.stage("read and tokenise the rows"):
            asked, missing = _asked(config, suite, places, token_counter(tokenizer))
            encoded = _encoded(config, asked, tokenizer)
        origins |= {each.rows.origin.name: each.rows.origin for one in asked for each in one.sets}
        for each in missing:
            progress.say(f"missing: {each}")
        if is_shared_out(config):
            began = time.perf_counter()
            fan_out(config, names, asked, encoded, _journal(config), progress)
            shared += time.perf_counter() - began
        for name in names:
            found = _evaluated(config, name, places, tokenizer, encoded, progress)
            results.append(suite_result(name, suite, asked, missing, found.evaluation, seed=config.seed))
            facts.append(found.fact)
            warnings += found.warnings
    results.sort(key=lambda each: config.model_names.index(each.model))
    facts.sort(key=lambda each: config.model_names.index(each.name))
    differing = differences(earlier, results[0].evaluation, seed=config.seed) if earlier is not None else None
    tables = list(score_tables(results))
    if differing is not None:
        tables.append(_difference_table(differing, config, results[0].evaluation))
    boxes, maps, curves = pictures(results)
    seconds = sum(each.evaluation.seconds for each in results) + shared
    first = results[0].evaluation
    report = Report(
        title=f"Evaluation of {', '.join(config.model_names)}",
        summary=tuple(filter(None, (results[0].how_partial,))),
        tables=tuple(tables),
        timings=(
            Timing("open, read and tokenise", time.perf_counter() - clock - seconds),
            Timing("answer", seconds),
        ),
        facts=RunFacts(
            command=command_line(),
            seed=config.seed,
            started=started,
            machine=machine(),
            parameters=first.all_parameters,
            versions=first.versions,
            data=tuple(origins.values()),
            checkpoints=tuple(facts),
            counters=counters(results),
            warnings=tuple(warnings),
        ),
        box_plots=boxes,
        heat_maps=maps,
        reliabilities=curves,
    )
    beside = differing.to_json() if differing is not None else {}
    return finish_evaluations(folder, report, results, beside, formats=config.formats)


@final
@dataclass(frozen=True)
class _Evaluated:
    """One model's answers and what is to be said of it."""

    evaluation: Evaluation
    fact: CheckpointFact
    warnings: tuple[str, ...]


def _evaluated(
    config: EvaluateConfig,
    name: str,
    places: Places,
    tokenizer: "PreTrainedTokenizerFast",
    encoded: Sequence["EncodedEvalSet"],
    progress: AbstractProgress,
) -> _Evaluated:
    from ramekin.evaluate.runner import evaluate_encoded
    from ramekin.weights.lineage import weights_sha256

    with progress.stage(f"open {name}"):
        opened = open_named(name, places, progress, base=config.base, device=pick_device(config.device))
    parts = [(each.source.name, len(each.source.examples)) for each in encoded]
    with answering(progress, f"answer by {name}", parts) as on_progress:
        evaluation = evaluate_encoded(
            opened.model,
            tokenizer,
            encoded,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            max_input_tokens=config.max_input_tokens or MAX_INPUT_TOKENS,
            on_progress=on_progress,
            journal=_journal(config),
        )
    parents = tuple(parent.name for parent in opened.lineage.parents) if opened.lineage else ()
    fact = CheckpointFact(
        name,
        operation=opened.lineage.operation if opened.lineage else "",
        parents=parents,
        parameters=evaluation.all_parameters,
        sha256=weights_sha256(opened.folder),
    )
    return _Evaluated(evaluation, fact, _unfit(name, opened.lineage, evaluation.modes))


def _journal(config: EvaluateConfig) -> Path:
    return config.answers or cache_root() / "answers"


def _unfit(name: str, lineage: "Lineage | None", modes: Sequence[Mode]) -> tuple[str, ...]:
    """What is to be said where a model learned to answer the other way round than it is asked."""
    told = lineage.settings.get("objective") if lineage is not None else None
    learned = told.get("name") if isinstance(told, Mapping) else None
    if learned not in ("channel", "flipped") or all(mode.direction == learned for mode in modes):
        return ()
    return (f"{name} was trained by objective={learned}: mode={learned} asks it what it learned",)


def _by_tokenizer(
    config: EvaluateConfig, places: Places, progress: AbstractProgress
) -> Iterator[tuple[tuple[str, ...], "PreTrainedTokenizerFast"]]:
    """The models that share a tokenizer, with it: what they are asked is read and tokenised once."""
    from ramekin.files import sha256_file
    from ramekin.tensors.tokenizer import vocabulary_file

    found: dict[str, tuple[Path, list[str]]] = {}
    for name in config.model_names:
        folder = locate_tokenizer(name, places, progress, base=config.base)
        found.setdefault(sha256_file(vocabulary_file(folder)), (folder, []))[1].append(name)
    for folder, names in found.values():
        yield tuple(names), _load_tokenizer(folder)


def _load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    from ramekin.tensors.tokenizer import load_tokenizer

    return load_tokenizer(folder)


def _asked(
    config: EvaluateConfig, suite: Suite, places: Places, count_tokens: CountTokens
) -> tuple[tuple[AskedEntry, ...], tuple[Missing, ...]]:
    """Everything that is asked, and what is missing.

    Raises:
        DataError: all of it is.
    """
    return asked_suite(
        suite,
        places=places,
        rules=config.mode.rules,
        seed=config.seed,
        max_input_tokens=config.max_input_tokens or MAX_INPUT_TOKENS,
        count_tokens=count_tokens,
        strict=(config.missing or ("error" if config.suite is None else "report")) == "error",
    )


def _encoded(
    config: EvaluateConfig, asked: Sequence[AskedEntry], tokenizer: "PreTrainedTokenizerFast"
) -> "tuple[EncodedEvalSet, ...]":
    from ramekin.evaluate.sets import encode_sets

    return encode_sets(
        [each.eval_set for one in asked for each in one.sets],
        tokenizer,
        max_input_tokens=config.max_input_tokens or MAX_INPUT_TOKENS,
    )


def _difference_table(found: Differences, config: EvaluateConfig, evaluation: Evaluation) -> ScoreTable:
    """The differences as cells whose chance level is 0, so that those that include it are marked."""
    metrics = {each.metric for each in found.tasks.values()}
    scale = metrics.pop() if metrics <= LOWER_IS_BETTER else ""
    cells = tuple(
        Cell(
            each.difference,
            each.low,
            each.high,
            each.n,
            chance=0.0,
            metric=each.metric if each.metric in LOWER_IS_BETTER else scale,
        )
        for each in found.listed
    )
    return ScoreTable(
        f"{config.model_names[0]} minus {config.against}",
        columns_of(evaluation),
        (TableRow("difference", cells),),
        caption="The same rows, paired; a chance level of 0 stands for no difference.",
        stub="",
    )


def _plan_lines(
    config: EvaluateConfig,
    suite: Suite,
    encoded: Sequence["EncodedEvalSet"],
    missing: Sequence[Missing],
    cost: Cost,
) -> Iterator[str]:
    rules = ", ".join(f"'{name}'" for name in dict.fromkeys(each.mode.name for each in encoded))
    yield f"evaluate {', '.join(config.model_names)} on {suite.name} by the rules of {rules}:"
    for number, each in enumerate(encoded):
        yield from _set_lines(each, shown=number < _SHOWN_SETS)
    yield from (f"  missing: {each}" for each in missing)
    yield from (f"  {line}" for line in cost.lines())


def _set_lines(each: "EncodedEvalSet", *, shown: bool) -> Iterator[str]:
    source = each.source
    lengths = sorted(each.input_lengths)
    exemplars = f", {source.shots} exemplars" if source.shots else ""
    pruned = f" ({source.pruned_exemplars} pruned in all)" if source.pruned_exemplars else ""
    yield f"  {source.name}: {len(source.examples)} rows{exemplars}{pruned}"
    yield f"    from   {source.origin}"
    yield (
        f"    tokens {sum(lengths) / len(lengths):.0f} on average, {lengths[-1]} at most; "
        f"{each.encoded.truncated_inputs} of {len(source.examples)} prompts cut"
        + (f", {each.encoded.lost_tokens} tokens lost" if each.encoded.lost_tokens else "")
    )
    if not shown:
        return
    first = source.examples[0]
    if source.flipped:
        form = source.flipped[0]
        yield from (f"    inputs {text}" for text in form.under)
        yield f"    instruction {form.example.targets}"
    else:
        yield f"    inputs {first.inputs}"
        if each.mode.ranks:
            yield f"    options {' | '.join(first.options)}"
    yield f"    target {first.targets}"


def _set_values(each: "EncodedEvalSet") -> dict[str, Any]:
    """What a dry run says of a set, as JSON values."""
    source = each.source
    lengths = each.input_lengths
    values: dict[str, Any] = {
        "task": source.task.name,
        "template": source.template,
        "split": source.split,
        "mode": each.mode.name,
        "rows": len(source.examples),
        "shots": source.shots,
        "pruned_exemplars": source.pruned_exemplars,
        "mean_input_tokens": sum(lengths) / len(lengths),
        "max_input_tokens": max(lengths),
        "truncated_inputs": each.encoded.truncated_inputs,
        "lost_tokens": each.encoded.lost_tokens,
    }
    if each.mode.ranks:
        options = source.examples[0].options
        if source.flipped:
            form = source.flipped[0]
            values |= {
                "inputs_under": dict(zip(options, form.under, strict=True)),
                "instruction": form.example.targets,
            }
        else:
            values["options"] = list(options)
    return values
