"""The tokenizers beside some models: do they give an id to the same piece of text, and has each id a row?

Read are `spiece.model` (SentencePiece's protocol buffer, of which only the pieces are counted) and
`tokenizer.json`. This module knows nothing of tensors.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ramekin.merge.findings import Finding
from ramekin.weights.layout import read_json

__all__ = ["check_tokenizers", "tokenizer_size"]

_PIECES, _TOKENIZER = "spiece.model", "tokenizer.json"
_SETTINGS = "tokenizer_config.json"


def check_tokenizers(reference: tuple[str, Path], other: tuple[str, Path]) -> Iterator[Finding]:
    """Whether two folders hold the same vocabulary, where both hold one.

    Files that differ in settings only (padding, truncation, the writing version) are the same vocabulary.

    Args:
        reference: the label and the folder of the one.
        other: those of the other.

    Raises:
        WeightsError: a tokenizer.json is not JSON.
    """
    for file, content in _VOCABULARIES.items():
        mine, yours = reference[1] / file, other[1] / file
        if not (mine.is_file() and yours.is_file()):
            continue
        if mine.read_bytes() != yours.read_bytes() and content(mine) != content(yours):
            yield Finding(
                kind="tokenizer",
                what="the tokenizers differ: the same id is another piece of text",
                models=(reference[0], other[0]),
                where=file,
                expected=f"that of {reference[0]}",
                got=f"another in {other[0]}",
                fix="merge models that share a tokenizer",
            )
        return


def tokenizer_size(folder: Path) -> tuple[str, int] | None:
    """The file of a folder's vocabulary and how many ids it gives; None where that is not known.

    Raises:
        WeightsError: tokenizer.json is not JSON.
    """
    if (folder / _TOKENIZER).is_file():
        vocabulary, added = _pieces(folder / _TOKENIZER)
        ids = [each for each, _ in added if isinstance(each, int)]
        if isinstance(vocabulary, Mapping):
            ids += [each for each in vocabulary.values() if isinstance(each, int)]
        elif isinstance(vocabulary, list):
            ids += [len(vocabulary) - 1]
        return (_TOKENIZER, max(ids) + 1) if ids else None
    if (folder / _PIECES).is_file():
        count = _count_pieces((folder / _PIECES).read_bytes())
        settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
        extra = settings.get("extra_ids")
        return (_PIECES, count + (extra if isinstance(extra, int) else 0)) if count else None
    return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pieces(path: Path) -> tuple[object, list[tuple[object, object]]]:
    """The ids of a tokenizer.json: its model's vocabulary and the added tokens."""
    parsed = read_json(path)
    model, added = parsed.get("model"), parsed.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    tokens = [each for each in added if isinstance(each, Mapping)] if isinstance(added, list) else []
    return vocabulary, [(token.get("id"), token.get("content")) for token in tokens]


def _count_pieces(data: bytes) -> int:
    """The entries of field 1 of a protocol buffer; 0 where it is none."""
    place = count = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            _, place = _varint(data, place)
        elif tag & 7 == 1:
            place += 8
        elif tag & 7 == 2:
            length, place = _varint(data, place)
            place += length
            count += tag >> 3 == 1
        elif tag & 7 == 5:
            place += 4
        else:
            return 0
    return count if place == len(data) else 0


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and where the next begins."""
    value = shift = 0
    while place < len(data):
        value |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            break
        shift += 7
    return value, place


_VOCABULARIES: Mapping[str, Callable[[Path], object]] = {_PIECES: _sha256, _TOKENIZER: _pieces}
