"""What a training reads: tasks, with their examples in memory, or a mixture, drawn from shards."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ramekin.recipes.data import TaskExamples, training_examples
from ramekin.recipes.mixtures.build import How
from ramekin.recipes.mixtures.index import LeafEntry, MixtureIndex
from ramekin.recipes.mixtures.leaf import Teaching
from ramekin.recipes.mixtures.prepare import prepare_mixture, resolved_mixture, shards_folder
from ramekin.recipes.mixtures.tokens import tokens_of
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.states import InputFile
from ramekin.report.values import Counter, DataOrigin
from ramekin.text.mixing.mixture import task_parts

if TYPE_CHECKING:
    from pathlib import Path

    from ramekin.tensors.encode import EncodedSet
    from ramekin.train.feed import Feed

__all__ = ["TrainingData", "data_lines", "lost_counters", "read_training_data", "task_examples"]

_NAMES = {
    "skipped": "{} rows skipped",
    "left_out": "{} rows left out",
    "not_flipped": "{} rows that cannot be flipped",
    "indistinct_labels": "{} rows of which two labels are the same to the model",
    "truncated_inputs": "{} inputs truncated",
    "truncated_targets": "{} targets truncated",
    "unknown_inputs": "{} inputs with unknown characters",
    "unknown_targets": "{} targets with unknown characters",
    "pruned_exemplars": "exemplars that did not fit",
    "lacking_exemplars": "exemplars that there was no other row for",
}


@final
@dataclass(frozen=True)
class TrainingData:
    """The examples of a training, and what is to be told of them."""

    feed: "Feed"
    title: str
    """Such as `glue/rte`, or `mixture flan_2021`."""
    origins: tuple[DataOrigin, ...]
    counters: tuple[Counter, ...]
    """What was lost on the way."""
    settings: Mapping[str, Any]
    """What the lineage keeps."""
    warnings: tuple[str, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    """The files that a mixture was made from."""


def read_training_data(
    config: TrainConfig, tokenizer_folder: "Path", places: Places, progress: AbstractProgress
) -> TrainingData:
    """The data of a training, read, rendered and tokenised.

    Raises:
        DataError: rows cannot be read or rendered; of a mixture all such tasks are named.
    """
    if config.mixture is not None:
        return _of_mixture(config, tokenizer_folder, places, progress)
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.feed import Listed

    examples = task_examples(config, places)
    encoded = encode(
        [example for each in examples for example in each.examples],
        load_tokenizer(tokenizer_folder),
        max_input_tokens=config.training.max_input_tokens,
        max_target_tokens=config.training.max_target_tokens,
        input_eos=config.input_eos,
    )
    return TrainingData(
        Listed(encoded.items),
        ", ".join(config.task_names),
        tuple(each.origin for each in examples),
        lost_counters(examples, encoded, "training"),
        {
            "tasks": list(config.task_names),
            "templates": config.templates,
            "data": [dataclasses.asdict(each.origin) for each in examples],
        },
    )


def task_examples(config: TrainConfig, places: Places) -> tuple[TaskExamples, ...]:
    """The rendered rows of the tasks that are named."""
    return training_examples(
        config.task_names,
        split=config.split,
        templates=config.templates,
        limit=config.limit,
        places=places,
        objective=config.objective,
        seed=config.seed,
    )


def data_lines(config: TrainConfig, places: Places) -> tuple[int | None, list[str]]:
    """What a dry run shows: how many examples one pass has, where that is known, and the first prompts.

    Raises:
        UsageError: a task of the mixture is not there, or it cannot be adjusted so.
        DataError: rows cannot be read or rendered.
    """
    if config.mixture is not None:
        mixture = resolved_mixture(config.mixture, places)
        tasks = len({part.task for _, part in task_parts(mixture)})
        what = f"mixture {config.mixture.name}, {tasks} tasks"
        return None, [f"  {what} (ramekin mix plan and preview show what it draws)"]
    examples = task_examples(config, places)
    lines = [line for each in examples for line in each.preview()]
    return sum(len(each.examples) for each in examples), lines


def _of_mixture(
    config: TrainConfig, tokenizer_folder: "Path", places: Places, progress: AbstractProgress
) -> TrainingData:
    from ramekin.train.mixture_feed import LeafShards, MixtureFeed

    assert config.mixture is not None
    recipe = config.training
    tokens = tokens_of(
        None,
        tokenizer_folder,
        places,
        progress,
        max_input_tokens=recipe.max_input_tokens,
        max_target_tokens=recipe.max_target_tokens,
        input_eos=config.input_eos,
    )
    leave_out = config.mixture.missing == "leave_out"
    how = How(tokens, places, config.mixture.prompt_seed, Teaching.of(config.objective), leave_out)
    index = prepare_mixture(
        config.mixture,
        how,
        draws=lambda examples: recipe.total_steps(examples) * recipe.global_batch,
        cache=config.cache,
        num_workers=config.workers,
        progress=progress,
    )
    leaves = [
        LeafShards(each.name, each.rate, each.shards, each.sizes, each.num_variants) for each in index.leaves
    ]
    feed = MixtureFeed(leaves, folder=shards_folder(config.cache), epoch_examples=index.epoch_examples)
    return TrainingData(
        feed,
        f"mixture {index.mixture}",
        _origins(index.leaves),
        _counters(_lost_of(index), sum(sum(leaf.sizes) for leaf in index.leaves)),
        {"mixture": config.mixture.model_dump(mode="json"), "mixture_sha256": index.sha256},
        tuple(f"left out {name}: {reason}" for name, reason in index.missing.items()),
        index.inputs,
    )


def _origins(leaves: Sequence[LeafEntry]) -> tuple[DataOrigin, ...]:
    """Where each task's rows are from, each task and split once."""
    found = {
        name: DataOrigin(name, leaf.origin, leaf.examples, leaf.lost.get("skipped", 0), leaf.data_sha256)
        for leaf in leaves
        for name in (f"{leaf.task} {leaf.split}",)
    }
    return tuple(found.values())


def lost_counters(examples: Sequence[TaskExamples], encoded: "EncodedSet", kind: str) -> tuple[Counter, ...]:
    """What was lost of rows in reading, turning and tokenising them; zeros are left out.

    Args:
        examples: the rows, rendered.
        encoded: all of them as tokens.
        kind: `training` or `validation`.
    """
    lost = {
        "skipped": sum(each.skipped for each in examples),
        "left_out": sum(each.left_out for each in examples),
        "not_flipped": sum(each.not_flipped for each in examples),
        **{name: getattr(encoded, name) for name in _NAMES if hasattr(encoded, name)},
    }
    return _counters(lost, len(encoded.items), kind)


def _lost_of(index: MixtureIndex) -> dict[str, int]:
    return {name: sum(leaf.lost.get(name, 0) for leaf in index.leaves) for name in _NAMES}


def _counters(lost: Mapping[str, int], total: int, kind: str = "training") -> tuple[Counter, ...]:
    """What was lost; of how many only where an example can be lost once: it may lack several exemplars."""
    return tuple(
        Counter(
            _NAMES[name].format(kind), count, total if name.startswith(("truncated", "unknown")) else None
        )
        for name, count in lost.items()
        if count
    )
