"""Small bases made from nothing: a vocabulary, a T5, plain text by denoising and a light mixture of tasks."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from ramekin.catalog import load_task
from ramekin.files import atomic_directory
from ramekin.recipes.data import training_examples
from ramekin.recipes.fine_tuning import loss_row, stage_listener
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.schema import BaseConfig
from ramekin.report.values import LossRow
from ramekin.text.denoise import denoising_example
from ramekin.text.example import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["MadeBase", "make_base"]

_VOCABULARY_ROWS = 1000  # rows of each task whose prompts the vocabulary is trained on


@final
@dataclasses.dataclass(frozen=True)
class MadeBase:
    """A base and what its making told."""

    folder: Path
    losses: LossRow | None
    """None when it was there already."""
    seconds: float
    unknown_inputs: int = 0
    truncated_inputs: int = 0


def make_base(
    config: BaseConfig,
    tasks: Sequence[str],
    places: Places,
    output: Path,
    seed: int,
    progress: AbstractProgress,
) -> MadeBase:
    """Make a base and save it as a checkpoint folder.

    Args:
        config: vocabulary, architecture, data and training.
        tasks: whose training rows give the text and the light mixture.
        places: where their rows are.
        output: the folder to make.
        seed: of initial weights, order and dropout.
        progress: told of the stages.
    """
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import save_tokenizer
    from ramekin.train.loop import finetune
    from ramekin.train.team import Alone
    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.config import t5_config
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.mimetic import start_matching
    from ramekin.weights.seq2seq import build_model

    recipe = dataclasses.replace(config.training, seed=seed)
    texts = _texts(tasks, config.text_rows, places)
    mixture = _mixture(tasks, config, places)
    working = output.with_name(f"{output.name}.unfinished")
    with progress.stage(f"{config.name}: vocabulary"):
        tokenizer = _tokenizer(config, [*texts, *_vocabulary_texts(tasks, config, places)])
    examples = [*_denoising(texts, seed), *mixture]
    encoded = encode(
        examples,
        tokenizer,
        max_input_tokens=recipe.max_input_tokens,
        max_target_tokens=recipe.max_target_tokens,
    )
    architecture = t5_config(
        vocab_size=_rows(len(tokenizer)),
        d_model=config.d_model,
        d_kv=config.d_kv,
        d_ff=config.d_ff,
        num_layers=config.num_layers,
        num_decoder_layers=config.num_decoder_layers,
        num_heads=config.num_heads,
        feed_forward_proj=config.feed_forward,
        relative_attention_num_buckets=config.num_buckets,
        relative_attention_max_distance=config.max_distance,
    )
    model = build_model(architecture, seed=seed, tied=config.tied)
    if config.matching_start:
        start_matching(model, seed=seed)
    with progress.stage(f"{config.name}: pre-train", recipe.total_steps(len(encoded.items))) as stage:
        trained = finetune(
            model,
            encoded.items,
            recipe,
            run_dir=working,
            resume=True,
            progress=stage_listener(stage, progress),
            team=Alone(),  # of launched processes one makes the base while the others wait
        )
    lineage = Lineage(
        kind="dense", operation="pretrain", settings=json.loads(config.model_dump_json()), seed=seed
    )
    with atomic_directory(working / "tokenizer", is_own=True) as folder:
        save_tokenizer(tokenizer, folder)
    save_checkpoint(model, output, tokenizer_folder=working / "tokenizer", lineage=lineage)
    shutil.rmtree(working)
    return MadeBase(
        output,
        loss_row(config.name, trained),
        trained.seconds,
        encoded.unknown_inputs,
        encoded.truncated_inputs,
    )


def _rows(vocabulary: int) -> int:
    """Embedding rows: the vocabulary rounded up to 64, as T5's 32,128 for 32,100 pieces."""
    return -(-vocabulary // 64) * 64


def _texts(tasks: Sequence[str], count: int, places: Places) -> list[str]:
    """Plain text of the tasks' own world: sentences of the synthetic one, or the rows' own texts."""
    if not count:
        return []
    loaded = [load_task(name, tasks_root=places.tasks_root) for name in tasks]
    if all(task.source.world is not None for task in loaded):
        from ramekin.sources.world import corpus

        return corpus(count, seed=places.world_seed)
    found: list[str] = []
    for name, task in zip(tasks, loaded, strict=True):
        columns = [column for column, kind in task.columns.items() if kind == "string"]
        (each,) = training_examples([name], split="train", templates="first", limit=None, places=places)
        found += [str(record[column]) for record in each.records.rows for column in columns]
    return [text for text in dict.fromkeys(found) if len(text.split()) > 1][:count]


def _mixture(tasks: Sequence[str], config: BaseConfig, places: Places) -> list[Example]:
    if not config.task_rows:
        return []
    sets = training_examples(tasks, split="train", templates="first", limit=config.task_rows, places=places)
    return [example for each in sets for example in each.examples]


def _vocabulary_texts(tasks: Sequence[str], config: BaseConfig, places: Places) -> list[str]:
    """The prompts and answers of the tasks, and each of their words by itself.

    Without the last, a unigram model keeps a word with its quotation mark as one piece and splits the word
    elsewhere: prompts become half as long again.
    """
    which = config.vocabulary_templates
    sets = training_examples(tasks, split="train", templates=which, limit=_VOCABULARY_ROWS, places=places)
    texts = [text for each in sets for e in each.examples for text in (e.inputs, e.targets, *e.options)]
    words = sorted({word.strip("'\"?:,.;()") for text in texts for word in text.split()} - {""})
    return [*texts, *(f"{word}, {word}; '{word}'" for word in words)]


def _denoising(texts: Sequence[str], seed: int) -> list[Example]:
    return [denoising_example(text, name="text", row=row, seed=seed) for row, text in enumerate(texts)]


def _tokenizer(config: BaseConfig, texts: Sequence[str]) -> "PreTrainedTokenizerFast":
    from ramekin.tensors.tokenizer import load_tokenizer, train_tokenizer

    if config.tokenizer is not None:
        return load_tokenizer(config.tokenizer)
    return train_tokenizer(texts, vocab_size=config.vocab_size)
