"""The files of a checkpoint folder that stand beside its weights, copied byte for byte: the tokenizer's.

This module needs no torch and knows nothing of weights.
"""

from collections.abc import Iterable
from pathlib import Path

from ramekin.errors import WeightsError
from ramekin.files import write_bytes

__all__ = ["GENERATION_CONFIG", "TOKENIZER_FILES", "copy_tokenizer", "has_tokenizer", "read_beside"]

GENERATION_CONFIG = "generation_config.json"
TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""The files a tokenizer of the T5 family can consist of; copied byte for byte."""


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a tokenizer's files byte for byte.

    Raises:
        WeightsError: the source has none.
    """
    if not has_tokenizer(source):
        raise WeightsError(
            "the folder holds no tokenizer",
            where=str(source),
            expected="tokenizer.json or spiece.model",
            fix="name the folder of the base checkpoint",
        )
    for path in _present(source, TOKENIZER_FILES):
        write_bytes(folder / path.name, read_beside(path))


def read_beside(path: Path) -> bytes:
    """A small file of a checkpoint that is copied as it is.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            "cannot read a file of the checkpoint",
            where=str(path),
            got=error.strerror or str(error),
            fix="allow this user to read it",
        ) from error


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's files."""
    return any(True for _ in _present(folder, ("tokenizer.json", "spiece.model")))


def _present(folder: Path, names: Iterable[str]) -> Iterable[Path]:
    return (folder / name for name in names if (folder / name).is_file())
