"""All checks of some models, from headers and configurations alone, and all that they find.

A model that cannot be opened is told of and left out of what follows, so that one fault does not hide others.
This module holds no rule of its own: they are `check`'s, `check_model`'s and `vocabulary`'s.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.errors import RamekinError
from ramekin.merge.check import (
    Compared,
    base_label,
    check_list,
    check_weights_differ,
    compare,
    meaning,
)
from ramekin.merge.check_model import (
    HashOf,
    Opened,
    check_adapter,
    check_adapter_base,
    check_config,
    check_dtypes,
    check_folder,
    check_ranks,
)
from ramekin.merge.findings import Finding, finding_of
from ramekin.merge.inputs import ModelInput, base_of, embedding_name, unique_names
from ramekin.merge.vocabulary import check_tokenizers, tokenizer_size
from ramekin.weights.adapter_header import AdapterHeader
from ramekin.weights.beside import has_tokenizer
from ramekin.weights.layout import open_layout

__all__ = ["Examined", "examine"]


@final
@dataclass(frozen=True, slots=True)
class Examined:
    """What was found, and what the models are."""

    findings: tuple[Finding, ...]
    reference: Opened | None
    """The base, or the first model that could be opened; the others were compared with it."""


def examine(
    base: Path | None,
    models: Sequence[ModelInput],
    *,
    needs_base: bool | None,
    hash_of: HashOf,
    dtype: str = "same",
) -> Examined:
    """Everything that headers and configurations tell of some models.

    Args:
        base: the checkpoint the models were tuned from.
        models: checkpoints and adapters.
        needs_base: whether deltas are wanted, so that the base cannot be among the models; None where that
            is not known.
        hash_of: the hash of a base that an adapter recorded one of; None from it where it is not computed.
        dtype: what the output is to be written in.
    """
    damage = {
        folder: tuple(check_folder(folder, labels, is_base=is_base))
        for folder, (labels, is_base) in _folders(base, models).items()
    }
    sound = [model for model in models if not damage[model.folder]]
    root = base if base is not None and not damage[base] else None
    read = _reader()
    opened: dict[
        Path, Opened
    ] = {}  # what is read of one folder is compared once, an adapter being as its base
    found: list[Finding] = []
    headers: dict[str, AdapterHeader] = {}
    if root is not None:
        opened[root] = read(base_label(root), root)
    for model in sound:
        if not model.is_adapter:
            opened.setdefault(model.folder, read(model.label, model.folder))
            continue
        try:
            beneath = base_of(model, base)
        except RamekinError as error:
            found.append(finding_of(error, models=(model.label,), otherwise="adapter-without-base"))
            continue
        on = None if damage[beneath] else read(model.label, beneath)
        header, wrong = check_adapter(model, None if on is None else read(base_label(beneath), beneath))
        if header is not None:
            headers[model.label] = header
            found += check_adapter_base(model, base, hash_of=hash_of)
        found += wrong
        if on is not None:
            opened.setdefault(beneath, on)
    apart = tuple(opened.values())
    findings = (
        *check_list(base, models, needs_base=needs_base),
        *(finding for each in damage.values() for finding in each),
        *found,
        *check_dtypes(apart, written=dtype),
        *_together(apart),
        *check_ranks(headers),
        *check_weights_differ(root, sound, needs_base=needs_base is not False),
    )
    return Examined(findings, apart[0] if apart else None)


def _reader() -> Callable[[str, Path], Opened]:
    """Gives what the headers of a folder say, read once."""
    layout_of = functools.cache(open_layout)

    def read(label: str, folder: Path) -> Opened:
        layout = layout_of(folder)
        return Opened(label, folder, layout, unique_names(layout.homes))

    return read


def _together(opened: Sequence[Opened]) -> Iterator[Finding]:
    """What is found of the models beside each other: configurations, tensors, tokenizers."""
    compared = []
    for place, model in enumerate(opened):
        said = None
        try:
            said = meaning(model.folder)
            yield from check_config(model, is_written=place == 0)
        except RamekinError as error:
            yield finding_of(error, models=(model.label,), otherwise="configuration-value")
        compared.append(Compared(model.label, model.shapes, said))
    for other in compared[1:]:
        yield from compare(compared[0], other)
    yield from _tokenizers(opened)


def _tokenizers(opened: Sequence[Opened]) -> Iterator[Finding]:
    """The first tokenizer, which is the output's, against the embedding and against the others."""
    having = [model for model in opened if has_tokenizer(model.folder)]
    if not having:
        if opened:
            yield Finding(
                kind="no-tokenizer",
                severity="notice",
                what="no folder holds a tokenizer, so that the output will have none",
                models=tuple(model.label for model in opened),
                where=str(opened[0].folder),
                expected="tokenizer.json or spiece.model",
                got="none",
                fix="copy the base's tokenizer into its folder",
            )
        return
    first, reference = having[0], opened[0]
    embedding = embedding_name(reference.names)
    try:
        size = tokenizer_size(first.folder)
        if size is not None and embedding is not None and size[1] > reference.shapes[embedding][0]:
            yield Finding(
                kind="tokenizer-size",
                what="the tokenizer gives ids that the embedding has no rows for",
                models=tuple(dict.fromkeys((reference.label, first.label))),
                where=f"{first.folder / size[0]}",
                tensors=(embedding,),
                expected=f"at most {reference.shapes[embedding][0]} ids, the rows of {embedding} "
                f"in {reference.label}",
                got=f"{size[1]} in {first.label}",
                fix="resize the embedding and the head, or take the tokenizer it was trained with",
            )
        for other in having[1:]:
            yield from check_tokenizers((first.label, first.folder), (other.label, other.folder))
    except RamekinError as error:
        yield finding_of(error, models=(first.label,), otherwise="damaged-json")


def _folders(base: Path | None, models: Sequence[ModelInput]) -> dict[Path, tuple[tuple[str, ...], bool]]:
    """Every folder that is read, with the labels of the models it is read for, and whether it is a base."""
    found: dict[Path, tuple[tuple[str, ...], bool]] = (
        {} if base is None else {base: ((base_label(base),), True)}
    )
    for model in models:
        for folder, is_base in ((model.folder, False), (model.base_folder, True)):
            if folder is not None:
                labels, before = found.get(folder, ((), False))
                found[folder] = ((*labels, model.label), is_base or before)
    return found
