"""The models of a merge as they are named and opened: checkpoints and adapters behind one kind of reader.

A tensor that T5 files may store under several names is merged once, under its first name: the embedding
copies of old files are dropped, and a tied head that is stored beside the embedding is written as a copy of
it. This module knows the layout of folders and nothing of methods.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.stream import NamedReader
from ramekin.weights.factors import FactoredAdapter, Factors, is_plain_lora, read_factors
from ramekin.weights.layout import (
    EMBEDDING_ALIASES,
    EMBEDDING_PREFIXES,
    HEAD,
    SHARED,
    UNUSED_KEYS,
    is_adapter,
)
from ramekin.weights.reading import AbstractTensorReader, AdapterReader, CheckpointReader

if TYPE_CHECKING:
    from ramekin.weights.adapter_folder import Adapter

__all__ = [
    "ModelInput",
    "ReaderOf",
    "base_of",
    "check_copies",
    "embedding_counts",
    "embedding_name",
    "head_is_stored_embedding",
    "open_model",
    "opened",
    "output_sources",
    "second_names",
    "unique_names",
]

ReaderOf = Callable[[Path], AbstractTensorReader]
"""How a checkpoint's folder is opened."""

_COMPARED = 1 << 18  # elements compared at a time


@final
@dataclass(frozen=True, slots=True)
class ModelInput:
    """A model to be merged."""

    name: str
    """What reports and errors call it."""
    folder: Path
    """A checkpoint folder, or an adapter's."""
    base_folder: Path | None = None
    """The checkpoint an adapter belongs on; None for a checkpoint, and for an adapter of the merge's base."""

    @property
    def label(self) -> str:
        """The name and the folder, for errors."""
        return f"'{self.name}' ({self.folder})"

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds an adapter rather than whole weights."""
        return self.base_folder is not None or is_adapter(self.folder)


@contextlib.contextmanager
def opened(
    base: Path | None, models: Sequence[ModelInput], *, reader_of: ReaderOf = CheckpointReader
) -> Iterator[tuple[NamedReader | None, tuple[NamedReader, ...]]]:
    """Open the base and the models; only headers and adapters are read. Closed when the block ends."""
    with contextlib.ExitStack() as stack:
        root = None
        if base is not None:
            root = NamedReader(f"the base ({base})", stack.enter_context(reader_of(base)))
        readers = [stack.enter_context(open_model(model, base=base, reader_of=reader_of)) for model in models]
        yield (
            root,
            tuple(
                NamedReader(model.label, reader, _factors_of(reader))
                for model, reader in zip(models, readers, strict=True)
            ),
        )


def open_model(
    model: ModelInput, *, base: Path | None, reader_of: ReaderOf = CheckpointReader
) -> AbstractTensorReader:
    """A reader of a checkpoint, or of an adapter on its base.

    Args:
        model: what to open.
        base: the merge's base, for adapters that name none.
        reader_of: how checkpoints are opened.

    Raises:
        UsageError: an adapter without a base.
        WeightsError: a folder without weights, a damaged file, an adapter that does not fit its base.
    """
    if not model.is_adapter:
        return reader_of(model.folder)
    folder = base_of(model, base)
    return AdapterReader(reader_of(folder), _adapter_of(model.folder), folder=model.folder)


def base_of(model: ModelInput, base: Path | None) -> Path:
    """The folder of the base that an adapter is opened on: its own, or the merge's.

    Raises:
        UsageError: there is none.
    """
    folder = model.base_folder or base
    if folder is None:
        raise UsageError(
            "an adapter cannot be merged without its base",
            where=model.label,
            fix="name the base checkpoint: base=…",
            kind="adapter-without-base",
        )
    return folder


def _adapter_of(folder: Path) -> "Adapter | FactoredAdapter":
    if is_plain_lora(folder):
        return read_factors(folder)
    from ramekin.weights.adapter_folder import read_adapter  # needs torch

    return read_adapter(folder)


def _factors_of(reader: AbstractTensorReader) -> Mapping[str, Factors] | None:
    adapter = reader.adapter if isinstance(reader, AdapterReader) else None
    return adapter.changes if isinstance(adapter, FactoredAdapter) else None


def embedding_name(names: Iterable[str]) -> str | None:
    """The tensor that is the embedding of both stacks, if there is one.

    >>> embedding_name(["model.shared.weight", "lm_head.weight"])
    'model.shared.weight'
    """
    known = set(names)
    return next((found for prefix in EMBEDDING_PREFIXES if (found := prefix + SHARED) in known), None)


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names under which tensors are merged: no second names of the embedding, nothing no model reads.

    >>> unique_names(["shared.weight", "encoder.embed_tokens.weight", "lm_head.weight"])
    ('lm_head.weight', 'shared.weight')
    """
    known = set(names)
    return tuple(sorted(known - UNUSED_KEYS - set(second_names(known))))


def embedding_counts(names: Iterable[str], *, head_is_embedding: bool) -> dict[str, int]:
    """How often FusionBench counts each tensor: as often as a T5 state_dict names it.

    Raises:
        UsageError: there is no T5 embedding among the names.

    >>> embedding_counts(["shared.weight", "lm_head.weight"], head_is_embedding=False)["shared.weight"]
    3
    """
    names = tuple(names)
    if SHARED not in names:
        raise UsageError(
            "counting=fusionbench is known for T5 models only",
            expected=f"a tensor {SHARED}",
            got="none of that name",
            fix="use counting=unique",
        )
    own_head = HEAD in names and not head_is_embedding
    return {name: (3 if own_head else 4) if name == SHARED else 1 for name in names}


def check_copies(model: NamedReader) -> None:
    """Refuse a file whose second names of the embedding hold something else than the embedding.

    Raises:
        WeightsError: they differ; merging one of them would change the model silently.
    """
    names = set(model.reader.names())
    embedding = embedding_name(names)
    for alias in second_names(names):
        assert embedding is not None  # it is what they are second names of
        if not _equal(model.reader, alias, embedding):
            raise WeightsError(
                "the embedding is stored twice with different values",
                where=f"{model.reader.where}#{alias}",
                expected=f"the values of {embedding}",
                got=f"others in {model.label}",
                fix="save the model again with one embedding",
            )


def head_is_stored_embedding(models: Iterable[NamedReader]) -> bool:
    """Whether every model stores a head that equals its embedding, that is, one tensor under two names.

    Reads until the first difference, which for a model with its own head is the first slice.
    """
    return all(_stores_its_embedding_as_head(model.reader) for model in models)


def output_sources(names: Sequence[str], *, head_is_embedding: bool) -> Mapping[str, str]:
    """Which merged tensor each tensor of the output is: itself, except for a head that is the embedding."""
    embedding = embedding_name(names) if head_is_embedding else None
    return {name: embedding if embedding and name == HEAD else name for name in names}


def second_names(names: AbstractSet[str]) -> list[str]:
    """The names in a file under which it stores its embedding again."""
    embedding = embedding_name(names)
    prefix = (embedding or "").removesuffix(SHARED)
    return [prefix + alias for alias in EMBEDDING_ALIASES if embedding and prefix + alias in names]


def _stores_its_embedding_as_head(reader: AbstractTensorReader) -> bool:
    names = reader.names()
    embedding = embedding_name(names)
    return HEAD in names and embedding is not None and _equal(reader, HEAD, embedding)


def _equal(reader: AbstractTensorReader, left: str, right: str) -> bool:
    info = reader.info(left)
    if info.shape != reader.info(right).shape:
        return False
    return all(
        np.array_equal(
            reader.read(left, start, min(info.numel, start + _COMPARED)),
            reader.read(right, start, min(info.numel, start + _COMPARED)),
        )
        for start in range(0, info.numel, _COMPARED)
    )
