"""A mixture that has been built: its leaves with their rates and shards, as one small file.

With it a run starts without opening a task, a row or a vocabulary: what the mixture was made from is only
looked at from outside (size and time of change), and if anything is different the mixture is built again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ramekin.files import write_bytes
from ramekin.recipes.states import InputFile, file_state

__all__ = ["LeafEntry", "MixtureIndex", "is_current", "read_index", "write_index"]


@final
@dataclass(frozen=True, slots=True)
class LeafEntry:
    """One leaf, built."""

    name: str
    task: str
    split: str
    """Of the task, from which its rows are."""
    rate: float
    weight: float
    examples: int
    """Rows that are used."""
    is_capped: bool
    is_floored: bool
    shards: tuple[str, ...]
    """One for each of its first epochs."""
    sizes: tuple[int, ...]
    """Examples in each."""
    num_variants: int
    """After so many epochs they recur."""
    input_tokens: int
    """In all of its shards."""
    target_tokens: int
    lost: Mapping[str, int]
    """What was truncated, unknown, skipped or left out, in all of its shards."""
    origin: str
    """Where the rows are from."""
    data_sha256: str | None

    def mean_tokens(self) -> tuple[float, float]:
        """Input and target tokens of an example, on average."""
        count = max(1, sum(self.sizes))
        return self.input_tokens / count, self.target_tokens / count


@final
@dataclass(frozen=True, slots=True)
class MixtureIndex:
    """A mixture, built for so many draws."""

    mixture: str
    leaves: tuple[LeafEntry, ...]
    epoch_examples: int
    draws: int
    """So many draws have their shards."""
    inputs: tuple[InputFile, ...]
    missing: Mapping[str, str]
    """Tasks that were left out because their data is not there, with the reason."""

    @property
    def sha256(self) -> str:
        """Of what training sees of it, however many further epochs are made."""
        told = [(leaf.name, leaf.rate, leaf.shards[0]) for leaf in self.leaves]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def is_current(index: MixtureIndex, folder: Path) -> bool:
    """Whether all it was made from is as it was, and all its shards are there."""
    if not folder.is_dir() or any(file_state(each.path) != each for each in index.inputs):
        return False
    present = {entry.name for entry in os.scandir(folder)}
    return all(shard in present for leaf in index.leaves for shard in leaf.shards)


def write_index(path: Path, index: MixtureIndex) -> None:
    """Write an index, atomically."""
    write_bytes(path, json.dumps(asdict(index), separators=(",", ":")).encode())


def read_index(path: Path) -> MixtureIndex | None:
    """The index of a file; None if there is none, or none that can be read: it is made again."""
    try:
        told = json.loads(path.read_bytes())
        return MixtureIndex(
            **{
                **told,
                "leaves": tuple(_entry(each) for each in told["leaves"]),
                "inputs": tuple(InputFile(**each) for each in told["inputs"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _entry(told: Mapping[str, Any]) -> LeafEntry:
    return LeafEntry(**{**told, "shards": tuple(told["shards"]), "sizes": tuple(told["sizes"])})
