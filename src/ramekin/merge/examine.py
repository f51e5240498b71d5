"""All checks of some models, from headers and configurations alone, and all that they find.

A model that cannot be opened is told of and left out of what follows, so that one fault does not hide others.
This module holds no rule of its own: they are `check`'s, `check_model`'s and `vocabulary`'s.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
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
    findings = list(check_list(base, models, needs_base=needs_base))
    sound: dict[Path, bool] = {}
    bases = {base, *(model.base_folder for model in models)}
    for folder, labels in _labelled(base, models).items():
        damage = list(check_folder(folder, labels, is_base=folder in bases))
        findings += damage
        sound[folder] = not damage
    headers_of = functools.cache(open_layout)

    def read(label: str, folder: Path) -> Opened:
        layout = headers_of(folder)
        return Opened(label, folder, layout, unique_names(layout.homes))

    opened: list[Opened] = []
    whole: list[Opened] = []
    headers: dict[str, AdapterHeader] = {}
    if base is not None and sound[base]:
        opened.append(read(base_label(base), base))
        whole.append(opened[0])
    for model in models:
        if not sound[model.folder]:
            continue
        if not model.is_adapter:
            whole.append(read(model.label, model.folder))
            opened.append(whole[-1])
            continue
        try:
            beneath: Path | None = base_of(model, base)
        except RamekinError as error:
            findings.append(finding_of(error, models=(model.label,), otherwise="adapter-without-base"))
            beneath = None
        on = read(base_label(beneath), beneath) if beneath is not None and sound[beneath] else None
        header, wrong = check_adapter(model, on)
        if header is not None:
            headers[model.label] = header
            findings += check_adapter_base(model, base, hash_of=hash_of)
        findings += wrong
        opened += [] if on is None else [dataclasses.replace(on, label=model.label)]
    if opened:
        first = opened[0]
        others = [each for each in whole if each.folder != first.folder]
        findings += check_dtypes(first, others, written=dtype)
    findings += _together(opened)
    findings += check_ranks(headers)
    kept = [model for model in models if sound[model.folder]]
    findings += check_weights_differ(
        base if base is not None and sound[base] else None, kept, needs_base=needs_base is not False
    )
    return Examined(tuple(findings), opened[0] if opened else None)


def _together(opened: Sequence[Opened]) -> Iterator[Finding]:
    """What is found of the models beside each other: configurations, tensors, tokenizers."""
    compared = []
    for place, model in enumerate(opened):
        is_first = all(model.folder != other.folder for other in opened[:place])
        try:
            said = meaning(model.folder)
            if is_first:
                yield from check_config(model, is_written=place == 0)
        except RamekinError as error:
            if is_first:
                yield finding_of(error, models=(model.label,), otherwise="configuration-value")
            said = None
        compared.append(Compared(model.label, model.shapes, said))
    for one, model in zip(compared[1:], opened[1:], strict=True):
        if model.folder != opened[0].folder:
            yield from compare(compared[0], one)
    yield from _tokenizers(opened)


def _tokenizers(opened: Sequence[Opened]) -> Iterator[Finding]:
    """The first tokenizer, which is the output's, against the embedding and against the others."""
    folders = list({model.folder: model for model in reversed(opened)}.values())[::-1]
    having = [model for model in folders if has_tokenizer(model.folder)]
    if not having:
        if opened:
            yield Finding(
                kind="no-tokenizer",
                severity="notice",
                what="no folder holds a tokenizer, so that the output will have none",
                models=tuple(model.label for model in folders),
                where=str(folders[0].folder),
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


def _labelled(base: Path | None, models: Sequence[ModelInput]) -> dict[Path, tuple[str, ...]]:
    """Every folder that is read, with the labels of the models it is read for."""
    found: dict[Path, tuple[str, ...]] = {} if base is None else {base: (base_label(base),)}
    for model in models:
        for folder in (model.folder, *(() if model.base_folder is None else (model.base_folder,))):
            found[folder] = (*found.get(folder, ()), model.label)
    return found
