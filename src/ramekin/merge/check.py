"""Do these models belong together? Every rule between models, from headers and configurations.

The rules go from the outside in: the list itself, weights that are the same, tensors (head, vocabulary,
names, shapes) and configurations. A difference in the configuration that explains tensors is told once, with
the tensors. What is found, a merge raises and `merge check` shows. Tokenizers are `vocabulary`'s, one model
by itself is `check_model`'s; this module knows nothing of methods beyond whether they need a base.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.findings import Finding
from ramekin.merge.inputs import ModelInput, embedding_name
from ramekin.registry import nearest
from ramekin.weights.config import CONFIG, SUPPORTED, read_config, read_plain_config, says_scaled
from ramekin.weights.layout import HEAD
from ramekin.weights.lineage import recorded_sha256, weight_files

__all__ = [
    "Compared",
    "Shape",
    "base_label",
    "check_list",
    "check_weights_differ",
    "compare",
    "meaning",
]

Shape = tuple[int, ...]

_FIRST = 3  # names that a message lists
_ONE_FAMILY = "merge models of one architecture"

_COMPARED_KEYS: Mapping[str, str] = {  # with the kind of finding that a difference is
    "model_type": "model-type",
    "d_model": "width",
    "d_kv": "key-width",
    "d_ff": "feed-forward-width",
    "num_layers": "layers",
    "num_decoder_layers": "layers",
    "num_heads": "heads",
    "feed_forward_proj": "feed-forward-kind",
    "relative_attention_num_buckets": "relative-attention",
    "relative_attention_max_distance": "relative-attention",
    "layer_norm_epsilon": "epsilon",
    "decoder_start_token_id": "start-token",
    "pad_token_id": "special-tokens",
    "eos_token_id": "special-tokens",
}
_SCALING = "scale_decoder_outputs"
_KINDS: Mapping[str, str] = {
    **_COMPARED_KEYS,
    _SCALING: "decoder-scaling",
    "encoder_layers": "layers",
    "decoder_layers": "layers",
    "encoder_ffn_dim": "feed-forward-width",
    "decoder_ffn_dim": "feed-forward-width",
    "encoder_attention_heads": "heads",
    "decoder_attention_heads": "heads",
    "activation_function": "feed-forward-kind",
}

_EXPLAINED: Mapping[str, str] = {  # by kind, the tensors whose names or shapes follow from it
    "model-type": "",
    "width": "",
    "key-width": r"attention|_attn",
    "heads": r"attention|_attn",
    "relative-attention": r"relative_attention_bias",
    "feed-forward-width": r"densereludense|\.fc[12]\.",
    "feed-forward-kind": r"densereludense",
    "layers": r"\.(block|layers)\.\d+\.",
}

_FREE_KEYS = frozenset(
    {
        "architectures",
        "dtype",
        "early_stopping",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "init_std",
        "initializer_range",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beams",
        "output_past",
        "prefix",
        "problem_type",
        "task_specific_params",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Keys of a configuration that say nothing of what a trained model computes."""


@final
@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared of a model."""

    label: str
    """What findings call it."""
    shapes: Mapping[str, Shape]
    """Of its unique tensors."""
    meaning: Mapping[str, object] | None = None
    """What its configuration says of the computation, see `meaning`; None where there is none."""


def base_label(base: Path) -> str:
    """What findings call the base."""
    return f"the base ({base})"


def check_list(
    base: Path | None, models: Sequence[ModelInput], *, needs_base: bool | None
) -> Iterator[Finding]:
    """The list of models as such: a name or a folder given twice, the base among the models.

    Args:
        base: the merge's base.
        models: the models.
        needs_base: whether the method takes deltas; None where no method is named.
    """
    names: dict[str, ModelInput] = {}
    folders: dict[tuple[Path, Path | None], ModelInput] = {}
    for model in models:
        place = (model.folder.resolve(), model.base_folder.resolve() if model.base_folder else None)
        for kind, twin in (
            ("duplicate-folder", folders.get(place)),
            ("duplicate-name", names.get(model.name)),
        ):
            if twin is not None:
                yield Finding(
                    kind=kind,
                    what="a model is listed twice",
                    models=(twin.label, model.label),
                    where=f"{twin.label} and {model.label}",
                    fix="list each model once; give it a weight if it should count more",
                    error=UsageError,
                )
                break
        names[model.name] = folders[place] = model
        if needs_base is not False and base is not None and place[0] == base.resolve():
            yield Finding(
                kind="base-among-models",
                severity="error" if needs_base else "warning",
                what="the base is among the models",
                models=(base_label(base), model.label),
                where=f"{base_label(base)} and {model.label}",
                fix="leave it out of models: its delta is zero",
                error=UsageError,
            )


def check_weights_differ(
    base: Path | None, models: Sequence[ModelInput], *, needs_base: bool
) -> Iterator[Finding]:
    """Folders that hold the same weights: the same file on the disk, or the same hash in both manifests.

    Copies without manifests are not recognised: no weight is read.
    """
    known: list[tuple[str, Path, Path | None]] = []
    if base is not None and needs_base:
        known.append((base_label(base), base, None))
    known += [
        (model.label, model.folder, (model.base_folder or base) if model.is_adapter else None)
        for model in models
    ]
    found = [(label, folder, on, _files(folder), recorded_sha256(folder)) for label, folder, on in known]
    for place, (label, folder, on, files, sha256) in enumerate(found):
        for first, other, beneath, its_files, its_sha256 in found[:place]:
            is_one = files == its_files or (sha256 is not None and sha256 == its_sha256)
            if not is_one or on != beneath or folder.resolve() == other.resolve():
                continue
            of_base = base is not None and first == base_label(base)
            same = "the same file" if files == its_files else f"sha256 {str(sha256)[:16]}… in both manifests"
            yield Finding(
                kind="model-equals-base" if of_base else "duplicate-weights",
                severity="warning",
                what="a model has the weights of the base: its delta is zero"
                if of_base
                else "two models have the same weights",
                models=(first, label),
                where=f"{first} and {label}",
                got=same,
                fix="leave it out"
                if of_base
                else "list each model once; give it a weight if it should count more",
            )
            break


def compare(reference: Compared, other: Compared) -> Iterator[Finding]:
    """Two models beside each other: head, vocabulary, configuration, names and shapes of tensors."""
    ours, theirs = reference.shapes, other.shapes
    left = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    said: set[str] = set()
    if (HEAD in ours) != (HEAD in theirs):
        left.remove(HEAD)
        said |= {_SCALING, "tie_word_embeddings"}
        yield _own_head(reference, other)
    rows = _of_vocabulary(ours, theirs, left)
    if rows:
        said.add("vocab_size")
        left = [name for name in left if name not in rows]
        yield _differs(
            "vocabulary-size",
            "the vocabularies differ in size",
            reference,
            other,
            rows,
            fix="resize the embedding and the head of one of them to the other's rows, then merge",
            counted=False,
        )
    for key, mine, yours in _differing_keys(reference, other):
        if key in said:
            continue
        kind = _KINDS.get(key, "configuration")
        pattern = _EXPLAINED.get(kind)
        follow = [] if pattern is None else [name for name in left if re.search(pattern, name.lower())]
        left = [name for name in left if name not in follow]
        yield _other_key(reference, other, key, mine, yours, follow)
    missing = [name for name in left if name not in theirs]
    extra = [name for name in left if name not in ours]
    if missing:
        yield _not_in_both("missing-tensors", reference, other, (reference, other), missing, extra)
    if extra:
        yield _not_in_both("extra-tensors", reference, other, (other, reference), extra, missing)
    shapes = [name for name in left if name in ours and name in theirs]
    if shapes:
        # The embedding first: it explains others.
        embedding = embedding_name(shapes)
        shapes.sort(key=lambda name: (name != embedding, name))
        yield _differs("shape", "a tensor differs in shape", reference, other, shapes, fix=_ONE_FAMILY)


def _own_head(reference: Compared, other: Compared) -> Finding:
    own, tied = (reference, other) if HEAD in reference.shapes else (other, reference)
    return Finding(
        kind="own-head",
        what="one model has an output head of its own, the other uses its embedding",
        models=(reference.label, other.label),
        where=HEAD,
        tensors=(HEAD,),
        expected=f"the same in both, but it is in {own.label}",
        got=f"not in {tied.label}",
        fix="merge models of one family: T5 1.0 ties the head, T5 1.1 and Flan-T5 do not",
    )


def _of_vocabulary(ours: Mapping[str, Shape], theirs: Mapping[str, Shape], names: Sequence[str]) -> list[str]:
    """The tensors that differ by the rows of the embedding alone, which is the first; none if it does not."""
    embedding = embedding_name(names)
    if embedding is None or embedding not in ours or embedding not in theirs:
        return []
    (mine, *width), (yours, *other_width) = ours[embedding], theirs[embedding]
    if width != other_width:
        return []

    def exchanged(shape: Shape) -> Shape:
        return tuple(yours if size == mine else size for size in shape)

    same = [name for name in names if name in ours and theirs.get(name) == exchanged(ours[name])]
    return [embedding, *(name for name in same if name != embedding)]


def _differing_keys(reference: Compared, other: Compared) -> Iterator[tuple[str, object, object]]:
    if reference.meaning is None or other.meaning is None:
        return
    for key, mine in reference.meaning.items():
        yours = other.meaning.get(key, mine)
        if mine != yours:
            yield key, mine, yours


def _other_key(
    reference: Compared, other: Compared, key: str, mine: object, yours: object, follow: Sequence[str]
) -> Finding:
    tensors = f", and so {len(follow)} tensors differ, {_listed(follow)}" if follow else ""
    lost = (
        "; a config.json that lost 'tie_word_embeddings: false' is to be repaired" if key == _SCALING else ""
    )
    kind = _KINDS.get(key, "configuration")
    if kind == "special-tokens":
        return Finding(
            kind=kind,
            severity="warning",
            what="models were trained with different tokens for padding or the end of a text",
            models=(reference.label, other.label),
            where=f"{CONFIG}#{key}",
            expected=f"{mine} as in {reference.label}",
            got=f"{yours} in {other.label}",
            fix=f"leave {other.label} out, unless only its config.json is wrong: the merge has the first's",
        )
    return Finding(
        kind=kind,
        what="the configurations differ",
        models=(reference.label, other.label),
        where=f"{CONFIG}#{key}",
        tensors=tuple(follow),
        expected=f"{mine} as in {reference.label}",
        got=f"{yours} in {other.label}{tensors}",
        fix=f"{_ONE_FAMILY}{lost}",
    )


def _not_in_both(
    kind: str,
    reference: Compared,
    other: Compared,
    have_and_lack: tuple[Compared, Compared],
    names: Sequence[str],
    opposite: Iterable[str],
) -> Finding:
    have, lack = have_and_lack
    near = nearest(names[0], opposite)
    return Finding(
        kind=kind,
        what=f"the models do not have the same tensors ({len(names)} differ)",
        models=(reference.label, other.label),
        where=names[0],
        tensors=tuple(names),
        expected=f"in both, but it is in {have.label}",
        got=f"not in {lack.label}" + _others(names),
        fix=_ONE_FAMILY + (f"; {lack.label} has '{near}' instead" if near else ""),
    )


def _differs(
    kind: str,
    what: str,
    reference: Compared,
    other: Compared,
    names: Sequence[str],
    *,
    fix: str,
    counted: bool = True,
) -> Finding:
    """A finding of shapes, told by the first tensor."""
    name = names[0]
    return Finding(
        kind=kind,
        what=what,
        models=(reference.label, other.label),
        where=name,
        tensors=tuple(names),
        expected=f"{list(reference.shapes[name])} as in {reference.label}",
        got=f"{list(other.shapes[name])} in {other.label}" + (_others(names) if counted else ""),
        fix=fix,
    )


def _others(names: Sequence[str]) -> str:
    return f"; {len(names) - 1} others too: {_listed(names[1:])}" if len(names) > 1 else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_FIRST]) + (", …" if len(names) > _FIRST else "")


def meaning(folder: Path) -> Mapping[str, object]:
    """What a configuration says of the computation, by key.

    Of the T5 family the keys are known, with their defaults; of other encoder-decoders every key counts that
    is not known to be of no effect on what a trained model computes.

    Raises:
        WeightsError: a config.json is missing or cannot be used, or is of no encoder-decoder.
    """
    plain = read_plain_config(folder)
    if plain.get("model_type") in SUPPORTED:
        known = read_config(folder)
        values = {key: known[key] for key in _COMPARED_KEYS if key in known}
        return {**values, _SCALING: says_scaled(known)}
    if plain.get("is_encoder_decoder") is not True:
        raise WeightsError(
            "this is not an encoder-decoder model",
            where=f"{folder / CONFIG}#model_type",
            expected=f"one of {', '.join(SUPPORTED)}, or a configuration that says is_encoder_decoder",
            got=repr(plain.get("model_type")),
            fix="merge it with a tool for models of its kind",
            kind="not-encoder-decoder",
        )
    return {
        key: value
        for key, value in sorted(plain.items())
        if key not in _FREE_KEYS and "dropout" not in key and not key.startswith("_") and value is not None
    }


def _files(folder: Path) -> frozenset[tuple[int, int]]:
    """The files that hold a folder's weights, as the disk knows them."""
    stats = [path.stat() for path in weight_files(folder)]
    return frozenset((each.st_dev, each.st_ino) for each in stats)
