"""Tokenised examples on disk, read without being loaded: a file a shard, memory-mapped.

A shard is a safetensors file of plain arrays, so that other tools can read it:

    ids        (tokens,)     inputs, targets and inputs under a wrong label of each example, end to end
    starts     (examples,)   where each example begins in `ids`
    lengths    (examples, 3) tokens of the three
    rows       (examples,)   positions in the split
    templates  (examples,)   places in the list of template names

Its header says what it holds. The module knows nothing of mixtures, nor of what makes two shards equal.
"""

import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, final

import numpy as np
from numpy.typing import NDArray

from ramekin import files
from ramekin.errors import DataError
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance

__all__ = ["Shard", "ShardFacts", "open_shard", "read_facts", "write_shard"]

_KEY = "ramekin"
_NAMES: dict[np.dtype[Any], str] = {
    np.dtype("uint16"): "U16",
    np.dtype("uint32"): "U32",
    np.dtype("uint64"): "U64",
}
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_OPEN = 1024  # shards held open at once: each takes an address range, not memory


@final
@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a shard holds; its header has it."""

    task: str
    split: str
    examples: int
    input_tokens: int
    target_tokens: int
    templates: tuple[str, ...]
    about: Mapping[str, Any]
    """Whatever its maker recorded, as JSON values."""


def write_shard(
    path: Path,
    examples: Iterable[Encoded],
    *,
    task: str,
    split: str,
    vocab_size: int,
    about: Mapping[str, Any],
) -> ShardFacts:
    """Write examples of one task and split, as they come; in memory each takes 26 bytes until the end.

    Args:
        path: of the file, which appears whole or not at all.
        examples: in the order in which they are to be found again.
        task: all of them are of.
        split: all of them are of.
        vocab_size: above 65,536 ids take four bytes each.
        about: JSON values to record; looked at after the last example, so that they may be counts.

    Raises:
        ResourceError: the disk is full; nothing is under the name.
    """
    kind = np.dtype("uint16" if vocab_size <= 1 << 16 else "uint32")
    starts, lengths, rows, places = array("Q"), array("I"), array("I"), array("H")
    names: dict[str, int] = {}
    tokens = 0
    with files.atomic_file(path) as out, tempfile.TemporaryFile(dir=path.parent) as ids:
        for item in examples:
            parts = (item.input_ids, item.target_ids, item.wrong_input_ids)
            ids.write(np.fromiter((i for part in parts for i in part), dtype=kind).tobytes())
            starts.append(tokens)
            lengths.extend(map(len, parts))
            rows.append(item.provenance.row)
            places.append(names.setdefault(item.provenance.template, len(names)))
            tokens += sum(map(len, parts))
        counts = np.asarray(lengths, dtype="uint32").reshape(-1, 3)
        facts = ShardFacts(
            task,
            split,
            len(starts),
            int(counts[:, 0].sum() + counts[:, 2].sum()),
            int(counts[:, 1].sum()),
            tuple(names),
            dict(about),
        )
        small = {
            "starts": np.asarray(starts, dtype="uint64"),
            "lengths": counts,
            "rows": np.asarray(rows, dtype="uint32"),
            "templates": np.asarray(places, dtype="uint16"),
        }
        ids.seek(0)
        _write(out, small, ids, tokens, kind, facts)
    return facts


@final
class Shard:
    """An open shard. Reading an example touches its own pages of the file and nothing else."""

    def __init__(self, path: Path) -> None:
        header, begin = _read_header(path)
        self.facts = _facts(header, path)
        whole = np.memmap(path, dtype=np.uint8, mode="r")
        arrays = {name: _view(whole, begin, header[name], path) for name in _ARRAYS}
        self._ids, self._starts = arrays["ids"], arrays["starts"]
        self._lengths, self._rows, self._templates = arrays["lengths"], arrays["rows"], arrays["templates"]

    def __len__(self) -> int:
        return self.facts.examples

    def example(self, place: int) -> Encoded:
        """The example at a place, from 0."""
        facts = self.facts
        inputs, targets, wrong = self._lengths[place].tolist()
        start = int(self._starts[place])
        ids = tuple(self._ids[start : start + inputs + targets + wrong].tolist())
        name = facts.templates[self._templates[place]]
        return Encoded(
            ids[:inputs],
            ids[inputs : inputs + targets],
            Provenance(facts.task, name, facts.split, int(self._rows[place])),
            ids[inputs + targets :],
        )

    def __iter__(self) -> Iterator[Encoded]:
        return (self.example(place) for place in range(len(self)))


@lru_cache(maxsize=_OPEN)
def open_shard(path: Path) -> Shard:
    """The shard of a file, opened once.

    Raises:
        DataError: the file is missing, cut short or no shard.
    """
    return Shard(path)


def read_facts(path: Path) -> ShardFacts:
    """What a shard holds, from its header alone.

    Raises:
        DataError: as `open_shard`.
    """
    return _facts(_read_header(path)[0], path)


_ARRAYS = ("starts", "lengths", "rows", "templates", "ids")


def _write(
    out: IO[bytes],
    small: Mapping[str, NDArray[Any]],
    ids: IO[bytes],
    tokens: int,
    kind: np.dtype[Any],
    facts: ShardFacts,
) -> None:
    header: dict[str, Any] = {"__metadata__": {_KEY: json.dumps(asdict(facts), sort_keys=True)}}
    end = 0
    shapes = [(name, values.dtype, list(values.shape), values.nbytes) for name, values in small.items()]
    for name, dtype, shape, size in [*shapes, ("ids", kind, [tokens], tokens * kind.itemsize)]:
        header[name] = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [end, end + size]}
        end += size
    data = json.dumps(header, separators=(",", ":")).encode()
    data += b" " * (-len(data) % 8)  # arrays of eight-byte numbers begin at a multiple of eight
    out.write(len(data).to_bytes(8, "little") + data)
    for values in small.values():
        out.write(values.tobytes())
    shutil.copyfileobj(ids, out, 1 << 20)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and where the arrays begin."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            whole = os.fstat(file.fileno()).st_size
            if size > whole:
                raise ValueError("cut short")
            header = json.loads(file.read(size))
            end = max(header[name]["data_offsets"][1] for name in _ARRAYS)
            if 8 + size + end != whole:
                raise ValueError(f"{whole} bytes instead of {8 + size + end}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "a shard of the cache cannot be read",
            where=str(path),
            got=str(error),
            fix="remove the file: it is made again",
        ) from error
    return header, 8 + size


def _facts(header: Mapping[str, Any], path: Path) -> ShardFacts:
    try:
        told = json.loads(header["__metadata__"][_KEY])
        return ShardFacts(**{**told, "templates": tuple(told["templates"])})
    except (KeyError, ValueError, TypeError) as error:
        raise DataError("the file is not a shard of the cache", where=str(path)) from error


def _view(whole: "NDArray[np.uint8]", begin: int, entry: Mapping[str, Any], path: Path) -> NDArray[Any]:
    try:
        start, _ = entry["data_offsets"]
        return np.ndarray(entry["shape"], _TYPES[entry["dtype"]], buffer=whole, offset=begin + start)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError("the file is not a shard of the cache", where=str(path), got=str(error)) from error
