"""Which files of a checkpoint folder hold which tensors, and how T5's tensor names relate.

One `model.safetensors`, or an index whose shards are plain siblings. Headers are read, tensor data is not.
This module knows T5's aliases (one embedding stored under up to four names) and nothing else of models.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import final

from ramekin.errors import WeightsError
from ramekin.weights.header import Header, TensorInfo, read_header

__all__ = [
    "ADAPTER_CONFIG",
    "ADAPTER_WEIGHTS",
    "EMBEDDING_ALIASES",
    "EMBEDDING_PREFIXES",
    "HEAD",
    "INDEX",
    "SHARED",
    "TRANSLATOR",
    "UNUSED_KEYS",
    "VOCABULARY",
    "WEIGHTS",
    "Layout",
    "adapter_weights",
    "is_adapter",
    "is_translator",
    "open_layout",
    "read_json",
]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TRANSLATOR = "model.bin"
"""The weights of a CTranslate2 model; no pickle."""
VOCABULARY = "shared_vocabulary.json"
"""The names of a CTranslate2 model's tokens."""

SHARED = "shared.weight"
"""The embedding of both stacks."""
HEAD = "lm_head.weight"
"""The output projection; absent from the file of a tied model."""
EMBEDDING_ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Names under which some files repeat `SHARED`."""
UNUSED_KEYS = frozenset({"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"})
"""Tensors that the first T5 files hold and no model reads."""

EMBEDDING_PREFIXES = ("", "model.")
"""What stands before `SHARED` and its aliases: nothing in the T5 family, `model.` in BART's."""

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_MAX_JSON_BYTES = 64_000_000


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """The weight files of a folder and where each tensor is."""

    folder: Path
    headers: Mapping[str, Header]
    """The header of each weight file, by file name."""
    homes: Mapping[str, str]
    """The file name each tensor is in, by tensor name."""

    def info(self, name: str) -> TensorInfo:
        """Shape, dtype and place of one tensor."""
        return self.headers[self.homes[name]].tensors[name]

    def where(self, name: str) -> str:
        """The tensor as errors show it: `folder/file#tensor`."""
        return f"{self.folder / self.homes[name]}#{name}"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter and no whole model."""
    folder = Path(folder)
    whole = _has(folder, WEIGHTS) or _has(folder, INDEX)
    return _has(folder, ADAPTER_CONFIG) and not whole


def is_translator(folder: Path) -> bool:
    """Whether a folder holds a CTranslate2 model, of one vocabulary, and no checkpoint."""
    folder = Path(folder)
    whole = _has(folder, WEIGHTS) or _has(folder, INDEX)
    return _has(folder, TRANSLATOR) and _has(folder, VOCABULARY) and not whole


def _has(folder: Path, name: str) -> bool:
    """Whether a folder has a file.

    Raises:
        WeightsError: the folder may not be looked into.
    """
    try:
        return (folder / name).is_file()
    except OSError as error:
        raise WeightsError(
            "cannot look into the folder of a model",
            where=str(folder),
            got=error.strerror or str(error),
            fix="allow this user to read it",
            kind="no-weights",
        ) from error


def adapter_weights(folder: Path) -> Path:
    """The weight file of an adapter folder.

    Raises:
        WeightsError: there is none, or a pickled one only.
    """
    path = Path(folder) / ADAPTER_WEIGHTS
    if not path.is_file():
        raise WeightsError(
            "the adapter has no safetensors weights",
            where=str(path),
            fix="pickled adapters are not opened: save it again as safetensors with the tool that made it",
            kind="no-weights",
        )
    return path


def open_layout(folder: Path) -> Layout:
    """Read the headers of a folder's weight files, single or sharded.

    Raises:
        WeightsError: the folder holds no safetensors (pickles are never opened), a header is wrong, the
            index names a file outside the folder or one that is missing, or index and headers disagree.
    """
    folder = Path(folder)
    if _has(folder, WEIGHTS):
        header = read_header(folder / WEIGHTS)
        return Layout(folder, MappingProxyType({WEIGHTS: header}), dict.fromkeys(header.tensors, WEIGHTS))
    if _has(folder, INDEX):
        return _open_shards(folder)
    raise _no_weights(folder)


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of a checkpoint folder.

    Raises:
        WeightsError: the file is missing, too long, not JSON, or not an object.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise WeightsError(
                "a JSON file is too long",
                where=str(path),
                got=f"{path.stat().st_size} bytes",
                kind="damaged-json",
                fix="copy, download or make the checkpoint again",
            )
        value = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise WeightsError(
            "cannot read a file of the checkpoint",
            where=str(path),
            got=error.strerror or str(error),
            kind="damaged-json",
            fix="allow this user to read it",
        ) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            "a file of the checkpoint is not JSON",
            where=str(path),
            got=str(error),
            fix="copy or download it again",
            kind="damaged-json",
        ) from error
    if not isinstance(value, dict):
        raise WeightsError(
            "a file of the checkpoint is not a JSON object",
            where=str(path),
            kind="damaged-json",
            fix="copy, download or make the checkpoint again",
        )
    return value


def _open_shards(folder: Path) -> Layout:
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(
            "the shard index has no weight_map",
            where=str(index),
            kind="shard-index",
            fix="copy, download or make the checkpoint again",
        )
    shards = sorted({_plain_sibling(index, name, shard) for name, shard in weight_map.items()})
    for shard in shards:
        if not (folder / shard).is_file():
            raise WeightsError(
                "a shard of the checkpoint is missing",
                where=str(folder / shard),
                expected=f"the file that {INDEX} names",
                fix="copy or download the checkpoint again",
                kind="missing-shard",
            )
    headers = {shard: read_header(folder / shard) for shard in shards}
    _check_index(index, weight_map, headers)
    return Layout(folder, MappingProxyType(headers), MappingProxyType(dict(weight_map)))


def _plain_sibling(index: Path, name: str, shard: object) -> str:
    """The shard's file name, refused unless it is a plain name beside the index."""
    if (
        not isinstance(shard, str)
        or not shard.endswith(".safetensors")
        or Path(shard).name != shard
        or "\\" in shard
    ):
        raise WeightsError(
            "the shard index names a file outside its folder, or not a safetensors file",
            where=f"{index}#{name}",
            expected="the plain name of a sibling",
            got=repr(shard)[:120],
            kind="shard-index",
            fix="copy, download or make the checkpoint again",
        )
    return shard


def _check_index(index: Path, weight_map: Mapping[str, str], headers: Mapping[str, Header]) -> None:
    for name, shard in weight_map.items():
        if name not in headers[shard].tensors:
            raise WeightsError(
                "a shard lacks a tensor",
                where=f"{index.parent / shard}#{name}",
                expected=f"as {INDEX} says",
                fix="copy or download the checkpoint again",
                kind="shard-index",
            )
    for shard, header in headers.items():
        for name in header.tensors:
            if weight_map.get(name) != shard:
                raise WeightsError(
                    "a shard holds a tensor that the index does not place there",
                    where=f"{index.parent / shard}#{name}",
                    fix="remove the shard or repair the index",
                    kind="shard-index",
                )


def _no_weights(folder: Path) -> WeightsError:
    if not folder.is_dir():
        return WeightsError(
            "there is no such checkpoint folder",
            where=str(folder),
            kind="no-folder",
            fix="name a folder that is there",
        )
    if is_translator(folder):
        return WeightsError(
            "this folder holds a CTranslate2 model, not a checkpoint",
            where=str(folder),
            fix="use it with backend=ctranslate2, or name the checkpoint that it was exported from",
            kind="translator",
        )
    pickles = _pickles(path.name for path in folder.iterdir())
    if pickles:
        return WeightsError(
            "the checkpoint holds pickled weights only, which can run foreign code when opened",
            where=str(folder / pickles[0]),
            expected=WEIGHTS,
            fix="convert it to safetensors where you trust it, or use a revision that has safetensors",
            kind="pickled-weights",
        )
    if is_adapter(folder):
        return WeightsError(
            "this folder holds an adapter, not a whole model",
            where=str(folder),
            fix="open it with its base",
            kind="adapter-as-base",
        )
    return WeightsError(
        "the folder holds no weights",
        where=str(folder),
        expected=f"{WEIGHTS} or {INDEX}, with config.json",
        fix="name the folder of a finished checkpoint",
        kind="no-weights",
    )


def _pickles(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.endswith(_PICKLES))
