"""What was collected of a model on data, in a folder: safetensors files and `statistics.json`.

    {"format": "ramekin.statistics/1",
     "model": {name, sha256, base, base_sha256}, "data": {tasks, split, templates, rows, …, origins},
     "kinds": {kind: {"files": [name], …}}, "versions": {…}, "files": {name: {"size": bytes, "sha256": hex}}}

Kinds: `fisher`, an array of the shape of every tensor of the model; `gram`, a matrix (in, in) for the weight
of every linear map, stored once where several read the same inputs; `propagated_gram`, the same for one
merge alone. The json is written last, so a folder without it is unfinished. This module knows files and
shapes; what the numbers are, and how they were found, is told by whoever collects them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np

from ramekin.errors import WeightsError
from ramekin.files import sha256_file, write_json
from ramekin.weights.dtypes import Floats
from ramekin.weights.header import TensorInfo, read_header
from ramekin.weights.layout import Layout, read_json
from ramekin.weights.lineage import FileRecord, current_versions
from ramekin.weights.reading import AbstractTensorReader, CheckpointReader
from ramekin.weights.writing import CheckpointWriter, PlannedTensor

__all__ = [
    "KINDS",
    "STATISTICS",
    "KindFacts",
    "StatisticsFacts",
    "StatisticsKind",
    "StatisticsReader",
    "check_statistics",
    "read_statistics",
    "statistics_sha256",
    "write_arrays",
    "write_statistics",
]

STATISTICS = "statistics.json"
StatisticsKind = Literal["fisher", "gram", "propagated_gram"]
KINDS: tuple[StatisticsKind, ...] = ("fisher", "gram", "propagated_gram")
"""What can be collected."""

_FORMAT = "ramekin.statistics/1"


@final
@dataclass(frozen=True, slots=True)
class KindFacts:
    """One kind of statistics in a folder."""

    files: tuple[str, ...]
    """The safetensors files that hold it."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """The name of the array in the files by the tensor it is for; of tensors not listed, their own."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """How it was collected; JSON values."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsFacts:
    """What `statistics.json` says."""

    model: str
    """The model as the user named it."""
    model_sha256: str
    """`weights_sha256` of it; of an adapter, the adapter's."""
    base: str | None = None
    """The base of an adapter, as the user named it."""
    base_sha256: str | None = None
    """`weights_sha256` of that base; None for a whole model."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The tasks, the split and the counts; JSON values."""
    kinds: Mapping[StatisticsKind, KindFacts]
    versions: Mapping[str, str] = field(default_factory=current_versions)
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """Every safetensors file of the folder; filled in by `write_statistics`."""


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as one safetensors file of fp32.

    Args:
        path: the file, in a folder that becomes visible only when it is whole.
        arrays: numpy arrays of any floating type, by name.

    Raises:
        WeightsError: a value is not finite.
    """
    plan = {name: PlannedTensor("F32", tuple(array.shape)) for name, array in arrays.items()}
    with CheckpointWriter(path, plan) as writer:
        for name in writer.order:
            writer.write(name, np.ascontiguousarray(arrays[name], dtype=np.float32).reshape(-1))


def write_statistics(folder: Path, facts: StatisticsFacts) -> None:
    """Write `statistics.json` beside the files, which are hashed."""
    names = sorted(name for kind in facts.kinds.values() for name in kind.files)
    files = {name: FileRecord((folder / name).stat().st_size, sha256_file(folder / name)) for name in names}
    write_json(
        folder / STATISTICS,
        {
            "format": _FORMAT,
            "model": {
                "name": facts.model,
                "sha256": facts.model_sha256,
                "base": facts.base,
                "base_sha256": facts.base_sha256,
            },
            "data": dict(facts.data),
            "kinds": {
                kind: {"files": list(each.files), "stored": dict(each.stored), **each.about}
                for kind, each in facts.kinds.items()
            },
            "versions": dict(facts.versions),
            "files": {name: asdict(record) for name, record in files.items()},
        },
    )


def read_statistics(folder: Path) -> StatisticsFacts:
    """What a folder of statistics says of itself; the sizes of its files are compared.

    Raises:
        WeightsError: it is no such folder, a file is missing or of another size, or the json is malformed.
    """
    path = Path(folder) / STATISTICS
    if not path.is_file():
        raise WeightsError(
            "the folder holds no statistics",
            where=str(folder),
            expected=f"a {STATISTICS}",
            fix="ramekin merge statistics model=… task=… output=…",
        )
    raw: Any = read_json(path)
    if raw.get("format") != _FORMAT:
        raise WeightsError(
            "statistics of another format", where=str(path), expected=_FORMAT, got=repr(raw.get("format"))
        )
    try:
        facts = _facts_of(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            "the statistics are not well described", where=str(path), got=str(error)
        ) from error
    for name, record in facts.files.items():
        file = Path(folder) / name
        size = file.stat().st_size if file.is_file() else None
        if size != record.size:
            raise WeightsError(
                "a file of the statistics is not what was collected",
                where=str(file),
                expected=f"{record.size} bytes",
                got="no file" if size is None else f"{size} bytes",
                fix="copy them again, or collect them anew",
            )
    return facts


def check_statistics(folder: Path, facts: StatisticsFacts) -> None:
    """Hash the files of a folder and compare.

    Raises:
        WeightsError: a file was changed or damaged.
    """
    for name, record in facts.files.items():
        if sha256_file(Path(folder) / name) != record.sha256:
            raise WeightsError(
                "a file of the statistics was changed or damaged",
                where=str(Path(folder) / name),
                expected=f"sha256 {record.sha256}",
                fix="copy them again, or collect them anew",
            )


def statistics_sha256(folder: Path) -> str:
    """One hash for all that a folder holds: that of its json, which lists the files' hashes."""
    return sha256_file(Path(folder) / STATISTICS)


@final
class StatisticsReader(AbstractTensorReader):
    """One kind of statistics, by the names of the tensors that they are for.

    Args:
        folder: of the statistics.
        facts: what it says of itself.
        kind: which.

    Raises:
        WeightsError: it holds none of that kind, or a file is damaged.
    """

    def __init__(self, folder: Path, facts: StatisticsFacts, kind: StatisticsKind) -> None:
        if kind not in facts.kinds:
            raise WeightsError(
                f"the statistics hold no '{kind}'",
                where=str(folder),
                got=" and ".join(facts.kinds) or "nothing",
                fix=f"ramekin merge statistics model={facts.model} kinds=[{kind}] …",
            )
        own = facts.kinds[kind]
        headers = {name: read_header(Path(folder) / name) for name in own.files}
        homes = {tensor: name for name, header in headers.items() for tensor in header.tensors}
        self._reader = CheckpointReader(
            Path(folder), layout=Layout(Path(folder), MappingProxyType(headers), MappingProxyType(homes))
        )
        lacking = sorted({name for name in own.stored.values() if name not in homes})
        if lacking:
            raise WeightsError("an array of the statistics is missing", where=f"{folder}#{lacking[0]}")
        self._stored = {**{name: name for name in homes}, **own.stored}

    @property
    def where(self) -> str:
        """The folder."""
        return self._reader.where

    def names(self) -> tuple[str, ...]:
        """The tensors there are statistics for, sorted."""
        return tuple(sorted(self._stored))

    def info(self, name: str) -> TensorInfo:
        """The shape of the array for a tensor."""
        if name not in self._stored:
            raise WeightsError("there are no statistics for a tensor", where=f"{self.where}#{name}")
        return self._reader.info(self._stored[name])

    def read(self, name: str, start: int, stop: int, *, out: Floats | None = None) -> Floats:
        """A slice of the flattened array for a tensor."""
        self.info(name)
        return self._reader.read(self._stored[name], start, stop, out=out)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()


def _facts_of(raw: Any) -> StatisticsFacts:
    model = raw["model"]
    files = {name: FileRecord(each["size"], each["sha256"]) for name, each in raw["files"].items()}
    kinds: dict[StatisticsKind, KindFacts] = {}
    for kind, each in raw["kinds"].items():
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}")
        rest = {key: value for key, value in each.items() if key not in ("files", "stored")}
        kinds[kind] = KindFacts(_plain(each["files"], files), dict(each["stored"]), rest)
    return StatisticsFacts(
        model=str(model["name"]),
        model_sha256=str(model["sha256"]),
        base=model["base"],
        base_sha256=model["base_sha256"],
        data=dict(raw["data"]),
        kinds=kinds,
        versions=dict(raw["versions"]),
        files=files,
    )


def _plain(names: Sequence[Any], files: Mapping[str, FileRecord]) -> tuple[str, ...]:
    """Names of files, each a plain name that the list of files has."""
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name not in files:
            raise ValueError(f"file name {name!r}")
    return tuple(names)
