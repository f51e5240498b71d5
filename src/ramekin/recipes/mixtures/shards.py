"""Shards of tokens, made once: a shard's name hashes everything that shaped it.

One shard holds one leaf's examples of one epoch. Whatever it depends on is in its key: the task's file, the
data (by place, size and time of change), the form, the templates, the vocabulary, the lengths, the objective,
the seed of what is drawn, ramekin's version. A mixture's rates, the order of its draws and the number of
steps are not, so that mixtures share shards, and so do runs of other seeds.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.recipes.mixtures.leaf import Counts, LeafReader, Teaching
from ramekin.recipes.places import Places
from ramekin.text.example import Example
from ramekin.text.mixing.mixture import Leaf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.tensors.cache import ShardFacts
    from ramekin.tensors.encode import Encoded, EncodedSet

__all__ = [
    "ShardWork",
    "TaskJob",
    "Tokens",
    "encoded_sets",
    "make_shards",
    "reader_of",
    "shard_name",
    "tokenizer_of",
]

_FORMAT = 4
_CHUNK = 512  # examples that are tokenised together


@final
@dataclass(frozen=True)
class Tokens:
    """How examples become tokens."""

    tokenizer: Path
    """The folder of the vocabulary."""
    sha256: str
    """Of the vocabulary's file."""
    max_input_tokens: int
    max_target_tokens: int
    input_eos: bool = True


@final
@dataclass(frozen=True)
class ShardWork:
    """One shard to be made."""

    leaf: Leaf
    epoch: int
    name: str


@final
@dataclass(frozen=True)
class TaskJob:
    """The shards of one task, whose rows are read once for all of them."""

    task: str
    split: str
    limit_examples: int | None
    shards: tuple[ShardWork, ...]
    folder: Path
    tokens: Tokens
    places: Places
    seed: int
    """Of what is drawn for each row."""
    teaching: Teaching


def shard_name(
    leaf: Leaf,
    epoch: int,
    *,
    task_sha256: str,
    data: Mapping[str, Any],
    tokens: Tokens,
    places: Places,
    seed: int,
    teaching: Teaching,
) -> str:
    """The file name of a leaf's shard: `glue-rte-0-4f0c….safetensors`."""
    import ramekin

    depends = {
        "format": _FORMAT,
        "ramekin": ramekin.__version__,
        "leaf": asdict(leaf),
        "epoch": epoch,
        "task": task_sha256,
        "data": data,
        "tokens": {**asdict(replace(tokens, tokenizer=Path())), "tokenizer": None},
        "bad_rows": places.bad_rows.action,
        "seed": seed,
        "teaching": asdict(teaching),
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return f"{leaf.task.replace('/', '-')}-{epoch}-{digest[:24]}.safetensors"


def make_shards(job: TaskJob) -> "dict[str, ShardFacts]":
    """Make a task's shards, those that are there aside; by name what each holds.

    Raises:
        DataError: the task's rows cannot be read or rendered.
    """
    kept = {work.name: _kept(job.folder / work.name) for work in job.shards}
    facts = {name: each for name, each in kept.items() if each is not None}
    missing = [work for work in job.shards if work.name not in facts]
    if not missing:
        return facts
    reader = reader_of(job)
    return {**facts, **{work.name: _made(work, reader, job) for work in missing}}


def _kept(path: Path) -> "ShardFacts | None":
    """What a shard holds that is there already; None if there is none, or a damaged one: it is made again."""
    from ramekin.tensors.cache import read_facts

    try:
        return read_facts(path) if path.is_file() else None
    except DataError:
        return None


def reader_of(job: TaskJob) -> LeafReader:
    """What reads a task's rows and makes examples of them.

    Raises:
        DataError: the rows cannot be read.
    """
    from ramekin.tensors.tokenizer import token_ids

    tokenizer = tokenizer_of(job.tokens.tokenizer)
    return LeafReader(
        Catalog(job.places.tasks_root)[job.task],
        split=job.split,
        limit=job.limit_examples,
        places=job.places,
        seed=job.seed,
        teaching=job.teaching,
        max_input_tokens=job.tokens.max_input_tokens,
        count_tokens=lambda text: len(token_ids(tokenizer, [text])[0]),
    )


def _made(work: ShardWork, reader: LeafReader, job: TaskJob) -> "ShardFacts":
    from ramekin.tensors.cache import write_shard

    tokenizer = tokenizer_of(job.tokens.tokenizer)
    about: dict[str, Any] = {
        "leaf": str(work.leaf),
        "epoch": work.epoch,
        "origin": reader.rows.records.origin,
        "data_sha256": reader.rows.records.sha256,
    }
    return write_shard(
        job.folder / work.name,
        _encoded(work, reader, job.tokens, about),
        task=job.task,
        split=reader.split,
        vocab_size=len(tokenizer),
        about=about,
    )


def _encoded(
    work: ShardWork,
    reader: LeafReader,
    tokens: Tokens,
    about: dict[str, Any],
) -> "Iterator[Encoded]":
    """The leaf's examples as tokens; what was lost on the way is entered into `about`."""
    counts = Counts()
    lost = {name: 0 for name in ("indistinct_labels", "truncated_inputs", "truncated_targets")}
    lost |= {"unknown_inputs": 0, "unknown_targets": 0}
    for encoded in encoded_sets(reader.examples(work.leaf, work.epoch, counts), tokens):
        for name in lost:
            lost[name] += getattr(encoded, name)
        yield from encoded.items
    about.update(lost, **asdict(counts))


def encoded_sets(examples: Iterator[Example], tokens: Tokens) -> "Iterator[EncodedSet]":
    """Examples as tokens, some hundreds at a time, but for flipped ones of which two labels are the same."""
    from ramekin.tensors.encode import encode

    for chunk in _chunks(examples):
        yield encode(
            chunk,
            tokenizer_of(tokens.tokenizer),
            max_input_tokens=tokens.max_input_tokens,
            max_target_tokens=tokens.max_target_tokens,
            input_eos=tokens.input_eos,
        )


def _chunks(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while chunk := list(islice(examples, _CHUNK)):
        yield chunk


@lru_cache(maxsize=2)
def tokenizer_of(folder: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of a folder, read once a process."""
    from ramekin.tensors.tokenizer import load_tokenizer

    return load_tokenizer(folder)
