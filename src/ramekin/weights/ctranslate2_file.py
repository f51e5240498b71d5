"""What a CTranslate2 `model.bin` holds, without reading it whole: names, shapes and types against its size.

The library allocates and reads what the file asks for; a damaged or hostile one is refused here first. No
tensor is read, and the library is not needed.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, final

from ramekin.errors import WeightsError

__all__ = ["ModelFile", "Variable", "read_model_file"]

_VERSION = 6
_SPEC = "TransformerSpec"
_SIZES = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a number by the type's name; the place in this order is the type's number in the file."""
_MAX_VARIABLES = 100_000
_MAX_NAME = 1024
_MAX_RANK = 8


@final
@dataclass(frozen=True, slots=True)
class Variable:
    """One tensor of the file."""

    shape: tuple[int, ...]
    dtype: str
    size: int
    """Bytes."""


@final
@dataclass(frozen=True, slots=True)
class ModelFile:
    """The head of a `model.bin`."""

    variables: Mapping[str, Variable]
    aliases: Mapping[str, str]
    """Further names of variables."""

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a variable, by any of its names."""
        found = self.variables.get(self.aliases.get(name, name))
        return None if found is None else found.shape


def read_model_file(path: Path) -> ModelFile:
    """Read the names, shapes and types, and check that the file holds just those tensors.

    Raises:
        WeightsError: the file is missing, damaged, of another format, or of a kind of model that is not an
            encoder-decoder.
    """
    try:
        with path.open("rb") as file:
            return _read(_Reader(path, file, path.stat().st_size))
    except OSError as error:
        raise WeightsError(
            "cannot read the model", where=str(path), got=error.strerror or str(error), kind="no-weights"
        ) from error


@final
class _Reader:
    """Numbers and strings of the file, one after the other, never past its end."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self._file, self._size = path, file, size

    @property
    def left(self) -> int:
        return self._size - self._file.tell()

    def number(self, form: str) -> int:
        (value,) = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))
        return int(value)

    def text(self) -> str:
        length = self.number("H")
        if not 1 <= length <= _MAX_NAME:
            raise self.damaged("a name", f"{length} bytes")
        raw = self.take(length)
        try:
            name = raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            name = "\0"
        if raw[-1] != 0 or "\0" in name:
            raise self.damaged("a name", repr(raw)[:60])
        return name

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise self.damaged(f"{count} more bytes", f"{self.left}")
        return self._file.read(count)

    def skip(self, count: int, name: str) -> None:
        if count > self.left:
            raise self.damaged(f"{count} bytes of '{name}'", f"{self.left}")
        self._file.seek(count, 1)

    def damaged(self, expected: str, got: str) -> WeightsError:
        return WeightsError(
            "the model file is damaged",
            where=str(self.path),
            expected=expected,
            got=got,
            fix="copy it again, or export the checkpoint again",
            kind="damaged-model-file",
        )


def _read(reader: _Reader) -> ModelFile:
    version = reader.number("I")
    if version != _VERSION:
        raise WeightsError(
            "the file is no CTranslate2 model of a version that is known",
            where=str(reader.path),
            expected=f"version {_VERSION}",
            got=str(version),
            fix="export the checkpoint again: ramekin export",
            kind="damaged-model-file",
        )
    spec = reader.text()
    if spec != _SPEC:
        raise WeightsError(
            "the model is no encoder-decoder of text",
            where=str(reader.path),
            expected=_SPEC,
            got=repr(spec)[:60],
            kind="damaged-model-file",
        )
    reader.number("I")  # the revision, which the library checks
    variables: dict[str, Variable] = {}
    for _ in range(_count(reader)):
        name = reader.text()
        if name in variables:
            raise reader.damaged("each name once", repr(name)[:60])
        variables[name] = _variable(reader, name)
    aliases: dict[str, str] = {}
    for _ in range(_count(reader)):
        name, original = reader.text(), reader.text()
        if original not in variables or name in variables or name in aliases:
            raise reader.damaged(f"a variable behind '{name[:60]}'", repr(original)[:60])
        aliases[name] = original
    if reader.left:
        raise reader.damaged("the end of the file", f"{reader.left} more bytes")
    return ModelFile(variables, aliases)


def _count(reader: _Reader) -> int:
    count = reader.number("I")
    if count > _MAX_VARIABLES:
        raise reader.damaged(f"at most {_MAX_VARIABLES} names", str(count))
    return count


def _variable(reader: _Reader, name: str) -> Variable:
    rank = reader.number("B")
    if rank > _MAX_RANK:
        raise reader.damaged(f"at most {_MAX_RANK} dimensions of '{name[:60]}'", str(rank))
    shape = tuple(reader.number("I") for _ in range(rank))
    kind, size = reader.number("B"), reader.number("I")
    if kind >= len(_SIZES):
        raise reader.damaged(f"a known type of '{name[:60]}'", str(kind))
    dtype = tuple(_SIZES)[kind]
    if size != math.prod(shape) * _SIZES[dtype]:
        raise reader.damaged(
            f"{math.prod(shape) * _SIZES[dtype]} bytes of '{name[:60]}', {list(shape)}", str(size)
        )
    reader.skip(size, name[:60])
    return Variable(shape, dtype, size)
