"""How large a mixture's leaves are, and how long their examples, without tokenising all of them.

What is found is kept beside the shards under the name that the shard would have, so that a second plan of
the same mixture reads no row.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import final

from ramekin.files import write_json
from ramekin.recipes.mixtures.leaf import Counts, LeafReader
from ramekin.recipes.mixtures.shards import TaskJob, encoded_sets, reader_of
from ramekin.text.mixing.mixture import Leaf

__all__ = ["SAMPLE", "LeafSize", "measure_task"]

SAMPLE = 200
"""Examples that are tokenised for their lengths, and to see whether labels can be told apart."""


@final
@dataclass(frozen=True, slots=True)
class LeafSize:
    """What is known of a leaf before it is built."""

    examples: int
    left_out: int
    """Rows that cannot be asked about."""
    mean_input_tokens: float
    """Of a sample, or of all once its shard is made."""
    mean_target_tokens: float
    origin: str


def measure_task(job: TaskJob) -> Mapping[str, LeafSize]:
    """The sizes of a task's leaves, by the names of their shards.

    Raises:
        DataError: the task's rows cannot be read or rendered.
    """
    found = {work.name: _known(job.folder / work.name) for work in job.shards}
    sizes = {name: size for name, size in found.items() if size is not None}
    if len(sizes) < len(job.shards):
        reader = reader_of(job)
        for work in job.shards:
            if work.name not in sizes:
                sizes[work.name] = _measured(reader, work.leaf, job)
                write_json(_beside(job.folder / work.name), asdict(sizes[work.name]))
    return sizes


def _beside(shard: Path) -> Path:
    return shard.with_suffix(".size.json")


def _known(shard: Path) -> LeafSize | None:
    """From the shard itself, or from an earlier look."""
    from ramekin.tensors.cache import read_facts

    if shard.is_file():
        facts = read_facts(shard)
        count = max(1, facts.examples)
        return LeafSize(
            facts.examples,
            facts.about["left_out"],
            facts.input_tokens / count,
            facts.target_tokens / count,
            facts.about["origin"],
        )
    try:
        return LeafSize(**json.loads(_beside(shard).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _measured(reader: LeafReader, leaf: Leaf, job: TaskJob) -> LeafSize:
    counts = Counts()
    examples = reader.examples(leaf, 0, counts)
    taken = list(islice(examples, SAMPLE))
    sample = [item for each in encoded_sets(iter(taken), job.tokens) for item in each.items]
    if len(sample) < len(taken):  # labels are the same to the model: their tokens alone tell in which rows
        others = sum(len(each.items) for each in encoded_sets(examples, job.tokens))
    else:
        others = sum(1 for _ in examples)
    number = max(1, len(sample))
    return LeafSize(
        len(sample) + others,
        counts.left_out,
        sum(len(item.input_ids) + len(item.wrong_input_ids) for item in sample) / number,
        sum(len(item.target_ids) for item in sample) / number,
        reader.rows.records.origin,
    )
