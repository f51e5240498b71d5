"""The recipe behind `ramekin merge statistics`: what methods with data need of a model, in a folder."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ramekin.errors import UsageError
from ramekin.files import atomic_directory, refuse_existing
from ramekin.recipes.data import TaskExamples, training_examples
from ramekin.recipes.merge_statistics_schema import StatisticsConfig
from ramekin.recipes.models import open_named
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from ramekin.tensors.encode import Encoded, EncodedSet

__all__ = ["data_facts", "encoded_examples", "execute", "plan"]


def plan(config: StatisticsConfig) -> Outcome:
    """What would be collected, and of which rows; no weights are loaded."""
    refuse_existing(_output(config), overwrite=config.overwrite)
    sets = _sets(config)
    kinds = " and ".join(config.kinds)
    lines = [f"collect {kinds} of {config.model} into {config.output}:"]
    for each in sets:
        lines += each.preview()
    values = [
        {"task": each.task.name, "template": each.template, "rows": len(each.examples)} for each in sets
    ]
    return Outcome({"model": config.model, "kinds": list(config.kinds), "sets": values}, "\n".join(lines))


def execute(config: StatisticsConfig, progress: AbstractProgress) -> Outcome:
    """Collect, and write the folder; nothing is under its name before it is whole."""
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.statistics.collect import collect_fisher, collect_grams
    from ramekin.weights.layout import is_adapter
    from ramekin.weights.lineage import weights_sha256
    from ramekin.weights.statistics import KindFacts, StatisticsFacts, StatisticsKind, write_statistics

    refuse_existing(_output(config), overwrite=config.overwrite)
    places = places_of(config)
    set_threads(config.threads)
    sets = _sets(config)
    with progress.stage(f"open {config.model}"):
        opened = open_named(
            config.model, places, progress, base=config.base, device=pick_device(config.device)
        )
        tokenizer = load_tokenizer(opened.tokenizer_folder)
    encoded = encoded_examples(sets, tokenizer, config)
    items = encoded.items
    kinds: dict[StatisticsKind, KindFacts] = {}
    with atomic_directory(_output(config), overwrite=config.overwrite) as folder:
        if "gram" in config.kinds:
            with progress.stage("Gram matrices", len(items)) as stage:
                kinds["gram"] = collect_grams(
                    opened.model, items, folder, max_tokens=config.batch_tokens, on_examples=stage.advance
                )
        if "fisher" in config.kinds:
            with progress.stage(f"Fisher information ({config.fisher})", len(items)) as stage:
                kinds["fisher"] = collect_fisher(
                    opened.model,
                    items,
                    folder,
                    targets=config.fisher,
                    seed=config.seed,
                    max_target_tokens=config.max_target_tokens,
                    on_examples=stage.advance,
                )
        of_adapter = is_adapter(opened.folder)
        facts = StatisticsFacts(
            model=config.model,
            model_sha256=weights_sha256(opened.folder),
            base=str(opened.base_folder) if of_adapter else None,
            base_sha256=weights_sha256(opened.base_folder) if of_adapter and opened.base_folder else None,
            data=data_facts(sets, encoded, split=config.split, templates=config.templates),
            kinds=kinds,
        )
        write_statistics(folder, facts)
        size = sum(path.stat().st_size for path in folder.iterdir())
    values = {
        "output": str(config.output),
        "model": config.model,
        "model_sha256": facts.model_sha256,
        "kinds": list(config.kinds),
        "bytes": size,
        "data": dict(facts.data),
    }
    lines = [
        f"{config.output}: {' and '.join(config.kinds)} of {config.model}, {size / 1e6:,.1f} MB",
        f"  from {len(items)} rows of {', '.join(config.task_names)} {config.split}",
        *(f"  {count} {what}" for what, count in facts.data["lost"].items() if count),
    ]
    return Outcome(values, "\n".join(lines))


def encoded_examples(sets: Sequence[TaskExamples], tokenizer: Any, config: Any) -> "EncodedSet":
    """The rows of all tasks as tokens, one after the other."""
    from ramekin.tensors.encode import encode

    return encode(
        [example for each in sets for example in each.examples],
        tokenizer,
        max_input_tokens=config.max_input_tokens,
        max_target_tokens=config.max_target_tokens,
        input_eos=config.input_eos,
    )


def data_facts(
    sets: Sequence[TaskExamples], encoded: "EncodedSet", *, split: str, templates: str
) -> dict[str, Any]:
    """What statistics were collected on, as JSON values."""
    items: Sequence[Encoded] = encoded.items
    return {
        "tasks": [each.task.name for each in sets],
        "split": split,
        "templates": templates,
        "rows": len(items),
        "input_tokens": sum(len(item.input_ids) for item in items),
        "target_tokens": sum(len(item.target_ids) for item in items),
        "origins": [asdict(each.origin) for each in sets],
        "lost": {
            "rows skipped": sum(each.skipped for each in sets),
            "inputs truncated": encoded.truncated_inputs,
            "targets truncated": encoded.truncated_targets,
            "inputs with unknown characters": encoded.unknown_inputs,
        },
    }


def _output(config: StatisticsConfig) -> Path:
    if config.output is None:
        raise UsageError("statistics need a place", fix="add output=DIR")
    return config.output


def _sets(config: StatisticsConfig) -> tuple[TaskExamples, ...]:
    return training_examples(
        config.task_names,
        split=config.split,
        templates=config.templates,
        limit=config.limit,
        places=places_of(config),
    )
