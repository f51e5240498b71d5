"""One model by itself: are its files whole, is it told rightly by its configuration, does an adapter fit?

Everything is known from headers and JSON files; no weight is read, unless a caller hashes the base of an
adapter. What is between models is `check`'s.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.errors import RamekinError, UsageError
from ramekin.merge.check import Shape
from ramekin.merge.findings import Finding, finding_of
from ramekin.merge.inputs import ModelInput, embedding_name
from ramekin.weights.adapter_header import (
    AdapterHeader,
    prompt_error,
    read_adapter_header,
    read_recorded_base,
)
from ramekin.weights.config import CONFIG, SUPPORTED, read_plain_config, says_tied
from ramekin.weights.dtypes import FILE_DTYPES
from ramekin.weights.layout import HEAD, Layout, open_layout
from ramekin.weights.reading import dtype_error
from ramekin.weights.sides import Misfit, misfit, misfit_error
from ramekin.weights.verify import verify_checkpoint

__all__ = [
    "HashOf",
    "Opened",
    "check_adapter",
    "check_adapter_base",
    "check_config",
    "check_dtypes",
    "check_folder",
    "check_ranks",
]

HashOf = Callable[[Path], str | None]
"""`weights_sha256` of a folder, or None where it is not to be computed."""

_MIXED = "nothing need be done: it is computed in fp32 and written as {}"


@final
@dataclass(frozen=True, slots=True)
class Opened:
    """A model whose headers have been read."""

    label: str
    """What findings call it."""
    folder: Path
    """Of its weights and its configuration; an adapter's are its base's."""
    layout: Layout
    names: tuple[str, ...]
    """Its unique tensors."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Of its unique tensors."""
        return {name: self.layout.info(name).shape for name in self.names}

    @property
    def dtypes(self) -> Mapping[str, str]:
        """Of its unique tensors."""
        return {name: self.layout.info(name).dtype for name in self.names}


def check_folder(folder: Path, labels: Sequence[str], *, is_base: bool) -> Iterator[Finding]:
    """Whether a folder is whole, as far as names, sizes and headers tell: its first damage.

    Args:
        folder: of a checkpoint or an adapter.
        labels: of the models that it is read for.
        is_base: whether a whole model is wanted.
    """
    try:
        verify_checkpoint(folder, hashes=False)
        if is_base:
            open_layout(folder)  # which an adapter's folder has none of
    except RamekinError as error:
        yield finding_of(error, models=labels, otherwise="damaged-file")


def check_dtypes(models: Sequence[Opened], *, written: str) -> Iterator[Finding]:
    """Dtypes that cannot be merged, and mixtures of those that can.

    Args:
        models: the models; the output has the dtypes of the first unless told otherwise.
        written: the dtype that the output is told to have, or `same`.
    """
    for model in models:
        reference = models[0]
        told = f"{reference.label} is, tensor by tensor" if written == "same" else written
        stored, dtypes = reference.dtypes, model.dtypes
        wrong = tuple(name for name, dtype in dtypes.items() if dtype not in FILE_DTYPES)
        if wrong:
            found = finding_of(dtype_error(model.layout, wrong[0]), models=(model.label,), otherwise="dtype")
            yield Finding(
                kind=found.kind,
                what=found.what,
                models=found.models,
                where=found.where,
                tensors=wrong,
                expected=found.expected,
                got=f"{found.got} in {model.label}",
                fix=found.fix,
            )
            continue
        counts = Counter(dtypes.values())
        usual = max(counts, key=lambda dtype: counts[dtype]) if counts else None
        odd = tuple(name for name, dtype in dtypes.items() if dtype != usual)
        if odd:
            yield Finding(
                kind="dtypes-within",
                severity="notice",
                what="a model stores its tensors in several dtypes",
                models=(model.label,),
                where=odd[0],
                tensors=odd,
                expected=f"{usual}, as {counts[str(usual)]} tensors of {model.label}",
                got=", ".join(f"{dtype} in {counts[dtype]}" for dtype in sorted(counts) if dtype != usual),
                fix=_MIXED.format(told),
            )
        if model is not reference and not odd and len(set(stored.values())) == 1:
            other = tuple(name for name in dtypes if stored.get(name, dtypes[name]) != dtypes[name])
            if other:
                yield Finding(
                    kind="dtypes-between",
                    severity="notice",
                    what="models are stored in different dtypes",
                    models=(reference.label, model.label),
                    where=other[0],
                    tensors=other,
                    expected=f"{stored[other[0]]} as in {reference.label}",
                    got=f"{dtypes[other[0]]} in {model.label}",
                    fix=_MIXED.format(told),
                )


def check_config(model: Opened, *, is_written: bool) -> Iterator[Finding]:
    """Whether a model's configuration is that of its tensors: head, tie, rows of the embedding.

    transformers 5 writes `tie_word_embeddings: true` beside a head of its own and the truth into
    `scale_decoder_outputs`; that is not a fault. Without the second key a T5 with a stored head is either
    Flan-T5's kind whose configuration lost the first, or one that stores its embedding again.

    Args:
        model: the model.
        is_written: whether the output gets this configuration.

    Raises:
        WeightsError: there is no configuration that can be read.
    """
    config = read_plain_config(model.folder)
    place, shapes = f"{model.folder / CONFIG}", model.shapes
    is_t5 = config.get("model_type") in SUPPORTED
    if is_t5 and not says_tied(config) and HEAD not in shapes:
        yield Finding(
            kind="head-missing",
            what="the configuration promises an output head of its own, and none is stored",
            models=(model.label,),
            where=f"{place}#tie_word_embeddings",
            tensors=(HEAD,),
            expected=f"{HEAD} in {model.label}",
            got="none",
            fix="copy or download it again; of a T5 1.0, whose head is the embedding, remove the key",
        )
    told = "scale_decoder_outputs" in config
    if is_written and config.get("model_type") == "t5" and says_tied(config) and HEAD in shapes and not told:
        yield Finding(
            kind="head-tied",
            severity="warning",
            what="the configuration ties the output head to the embedding, and a head is stored",
            models=(model.label,),
            where=f"{place}#tie_word_embeddings",
            tensors=(HEAD,),
            expected=f"false, or no {HEAD}",
            got=f"{config.get('tie_word_embeddings')} and {HEAD} in {model.label}",
            fix="of a Flan-T5 or T5 1.1, whose head is its own, set it to false: others lose the head; a "
            "copy of the embedding does no harm",
        )
    embedding, rows = embedding_name(shapes), config.get("vocab_size")
    if embedding is not None and isinstance(rows, int) and shapes[embedding][0] != rows:
        yield Finding(
            kind="vocabulary-config",
            severity="error" if is_written else "warning",
            what="the configuration has another vocabulary than the embedding",
            models=(model.label,),
            where=f"{place}#vocab_size",
            tensors=(embedding,),
            expected=f"{shapes[embedding][0]}, the rows of {embedding} in {model.label}",
            got=str(rows),
            fix=f"set it to {shapes[embedding][0]}, or resize the embedding and the head",
        )


def check_adapter_base(model: ModelInput, base: Path | None, *, hash_of: HashOf) -> Iterator[Finding]:
    """Whether an adapter is opened on the model it was trained on, as far as the two folders tell.

    The hash of the base's weights decides where the adapter recorded one. Else names do: a folder that is
    recognisably another model of the hub is refused; one whose name says nothing gives a warning.

    Args:
        model: the input; checkpoints pass.
        base: the merge's base.
        hash_of: the hash of a folder's weights; None from it leaves the decision to the names.
    """
    folder = model.base_folder or base
    if not model.is_adapter or folder is None:
        return
    if base is not None and folder.resolve() != base.resolve():
        yield Finding(
            kind="adapter-other-base",
            what="an adapter is opened on another base than the merge's",
            models=(f"the base ({base})", model.label),
            where=model.label,
            expected=f"the base ({base})",
            got=str(folder),
            fix="merge adapters of one base, or leave out the adapter's own base",
            error=UsageError,
        )
        return
    recorded = read_recorded_base(model.folder)
    found = hash_of(folder) if recorded.base_sha256 is not None else None
    if found is not None:
        fits: bool | None = found == recorded.base_sha256
    else:
        fits = recorded.base is None or _is_named(folder, recorded.base)
    models = (f"the base ({folder})", model.label)
    if fits is False:
        yield Finding(
            kind="adapter-base",
            what="an adapter was trained on another base",
            models=models,
            where=model.label,
            expected=f"'{recorded.base}'",
            got=str(folder),
            fix="give the adapter its own base",
        )
    elif recorded.base_sha256 is not None and found is None:
        yield Finding(
            kind="adapter-base-unhashed",
            severity="notice",
            what="an adapter records the hash of its base, and the base has no manifest to compare it with",
            models=models,
            where=model.label,
            expected=f"sha256 {recorded.base_sha256[:16]}… of '{recorded.base}'",
            got=f"{folder}, not hashed",
            fix="nothing need be done: a merge hashes the base and refuses another",
        )
    elif fits is None:
        yield Finding(
            kind="adapter-base-unknown",
            severity="warning",
            what="nothing tells whether an adapter was trained on this base",
            models=models,
            where=model.label,
            expected=f"'{recorded.base}', as it records",
            got=str(folder),
            fix="name the base that the adapter records",
        )


def check_adapter(model: ModelInput, base: Opened | None) -> tuple[AdapterHeader | None, tuple[Finding, ...]]:
    """What an adapter changes, and what stands in the way: its kind, its parts, tensors that do not fit.

    Args:
        model: an adapter.
        base: the base that it is opened on; None where that is not known or damaged.
    """
    try:
        header = read_adapter_header(model.folder)
    except RamekinError as error:
        return None, (finding_of(error, models=(model.label,), otherwise="adapter-parts"),)
    if header.kind == "prompt":
        return None, (finding_of(prompt_error(model.folder), models=(model.label,), otherwise="soft-prompt"),)
    if base is None:
        return header, ()
    shapes = {
        name: info.shape for each in base.layout.headers.values() for name, info in each.tensors.items()
    }
    wrong: dict[Misfit, list[str]] = {}
    for name, sides in header.sides.items():
        fault = misfit(name, sides, shapes)
        if fault is not None:
            wrong.setdefault(fault, []).append(name)
    return header, tuple(_misfit(model, base, header, shapes, names) for names in wrong.values())


def check_ranks(headers: Mapping[str, AdapterHeader]) -> Iterator[Finding]:
    """Adapters of different ranks, which is no fault.

    Args:
        headers: by the labels of the adapters.
    """
    ranks = {label: sorted(set(header.ranks.values())) for label, header in headers.items() if header.ranks}
    if len({tuple(each) for each in ranks.values()}) < 2:
        return

    def told(label: str) -> str:
        scales = sorted({f"{scale:g}" for scale in headers[label].scales.values()})
        return f"rank {', '.join(map(str, ranks[label]))} scaled by {', '.join(scales)} in {label}"

    first = next(iter(ranks))
    yield Finding(
        kind="adapter-ranks",
        severity="notice",
        what="adapters have different ranks",
        models=tuple(ranks),
        where="adapter_config.json#r",
        expected=told(first),
        got="; ".join(told(label) for label in ranks if ranks[label] != ranks[first]),
        fix="nothing need be done: each is merged as the change of its base's weights, by its own scale",
    )


def _misfit(
    model: ModelInput, base: Opened, header: AdapterHeader, shapes: Mapping[str, Shape], names: Sequence[str]
) -> Finding:
    error = misfit_error(names[0], header.sides[names[0]], shapes, folder=model.folder, base=str(base.folder))
    found = finding_of(error, models=(base.label, model.label), otherwise="adapter-shape")
    return Finding(
        kind=found.kind,
        what=found.what,
        models=found.models,
        where=found.where,
        tensors=tuple(names),
        expected=found.expected,
        got=f"{found.got}" + (f"; {len(names) - 1} others too" if len(names) > 1 else ""),
        fix=found.fix,
    )


def _is_named(folder: Path, recorded: str) -> bool | None:
    """Whether a folder is the model of a recorded name; None when the two names do not tell.

    A folder of the hub's cache says which model it is, and so does one beside which the recorded model
    would lie (`google/t5-v1_1-base` is not `google/flan-t5-base`).
    """
    if Path(recorded).is_dir() and Path(recorded).resolve() == folder.resolve():
        return True
    owner, _, name = recorded.rstrip("/").rpartition("/")
    cached = [part.split("--") for part in folder.resolve().parts if part.startswith("models--")]
    if cached:
        return cached[-1][-1] == name
    if folder.name == name:
        return True
    return False if owner and folder.parent.name == owner.rpartition("/")[2] else None
