"""Do these models belong together? Answered from headers and configurations, before a weight is read.

Every refusal names both models, the tensor or key, and what to do. The checks go from the outside in: the
list itself, each adapter and its base, tensors (head, vocabulary, names, shapes), configurations,
tokenizers. This module knows nothing of methods beyond whether they need a base.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.inputs import ModelInput, embedding_name, unique_names
from ramekin.merge.stream import NamedReader
from ramekin.weights.config import CONFIG, SUPPORTED, read_config, read_plain_config, says_scaled
from ramekin.weights.layout import HEAD, read_json

__all__ = ["check_adapter_base", "check_configs", "check_list", "check_tensors", "check_tokenizers"]

_COMPARED_KEYS = (
    "model_type",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "feed_forward_proj",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "layer_norm_epsilon",
    "decoder_start_token_id",
)


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


def check_list(base: Path | None, models: Sequence[ModelInput], *, needs_base: bool) -> None:
    """Check the list of models as such.

    Raises:
        UsageError: a name or a folder given twice, the base among the models of a method that needs a base.
    """
    names: dict[str, ModelInput] = {}
    folders: dict[tuple[Path, Path | None], ModelInput] = {}
    for model in models:
        place = (model.folder.resolve(), model.base_folder.resolve() if model.base_folder else None)
        for twin in (names.get(model.name), folders.get(place)):
            if twin is not None:
                raise UsageError(
                    "a model is listed twice",
                    where=f"{twin.label} and {model.label}",
                    fix="list each model once; give it a weight if it should count more",
                )
        names[model.name] = folders[place] = model
        if needs_base and base is not None and place[0] == base.resolve():
            raise UsageError(
                "the base is among the models",
                where=f"the base ({base}) and {model.label}",
                fix="leave it out of models: its delta is zero",
            )


def check_adapter_base(
    model: ModelInput, base: Path | None, *, hash_of: Callable[[Path], str]
) -> tuple[str, ...]:
    """Check that an adapter is opened on the model it was trained on, as far as the two folders tell.

    The hash of the base's weights decides where the adapter recorded one. Else names do: a folder that is
    recognisably another model of the hub is refused; one whose name says nothing gives a warning.

    Args:
        model: the input; checkpoints pass.
        base: the merge's base.
        hash_of: `weights_sha256` of a folder.

    Returns:
        Warnings.

    Raises:
        UsageError: the adapter is to be opened on another base than the merge's.
        WeightsError: the adapter was trained on another model than the one it would be opened on.
    """
    folder = model.base_folder or base
    if not model.is_adapter or folder is None:
        return ()
    if base is not None and folder.resolve() != base.resolve():
        raise UsageError(
            "an adapter is opened on another base than the merge's",
            where=model.label,
            expected=f"the base ({base})",
            got=str(folder),
            fix="merge adapters of one base, or leave out the adapter's own base",
        )
    from ramekin.weights.adapter_folder import read_adapter  # needs torch

    adapter = read_adapter(model.folder, verify=False)
    if adapter.base_sha256 is not None:
        fits: bool | None = hash_of(folder) == adapter.base_sha256
    else:
        fits = adapter.base is None or _is_named(folder, adapter.base)
    if fits is None:
        return (
            f"{model.label} records the base '{adapter.base}'; nothing tells whether {folder} is that one",
        )
    if not fits:
        raise WeightsError(
            "an adapter was trained on another base",
            where=model.label,
            expected=f"'{adapter.base}'",
            got=str(folder),
            fix="give the adapter its own base",
        )
    return ()


def check_tensors(reference: NamedReader, other: NamedReader) -> None:
    """Check that two models have the same tensors: head, vocabulary, names, shapes.

    Raises:
        WeightsError: they do not; the message names both, the tensor and the shapes.
    """
    ours = {name: reference.reader.info(name).shape for name in unique_names(reference.reader.names())}
    theirs = {name: other.reader.info(name).shape for name in unique_names(other.reader.names())}
    if (HEAD in ours) != (HEAD in theirs):
        own, tied = (reference, other) if HEAD in ours else (other, reference)
        raise WeightsError(
            "one model has an output head of its own, the other uses its embedding",
            where=HEAD,
            expected=f"the same in both, but it is in {own.label}",
            got=f"not in {tied.label}",
            fix="merge models of one family: T5 1.0 ties the head, T5 1.1 and Flan-T5 do not",
        )
    missing, foreign = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    if missing or foreign:
        name = (missing or foreign)[0]
        have, lack = (reference, other) if missing else (other, reference)
        raise WeightsError(
            f"the models do not have the same tensors ({len(missing) + len(foreign)} differ)",
            where=name,
            expected=f"in both, but it is in {have.label}",
            got=f"not in {lack.label}",
            fix="merge models of one architecture",
        )
    # The vocabulary first: it explains the head's shape too.
    embedding = embedding_name(ours)
    for name in sorted(ours, key=lambda name: (name != embedding, name)):
        if ours[name] != theirs[name]:
            vocabulary = name == embedding and ours[name][1:] == theirs[name][1:]
            raise WeightsError(
                "the vocabularies differ in size" if vocabulary else "a tensor differs in shape",
                where=name,
                expected=f"{list(ours[name])} as in {reference.label}",
                got=f"{list(theirs[name])} in {other.label}",
                fix="resize the embedding and the head of one of them to the other's rows, then merge"
                if vocabulary
                else "merge models of one architecture",
            )


def check_configs(reference: tuple[str, Path], other: tuple[str, Path]) -> None:
    """Check that two configurations mean the same computation.

    Args:
        reference: the label and the folder of the one.
        other: those of the other.

    Raises:
        WeightsError: a key differs, a config.json is missing or cannot be used.
    """
    ours, theirs = _meaning(reference[1]), _meaning(other[1])
    for key, mine in ours.items():
        yours = theirs.get(key, mine)
        if mine != yours:
            raise WeightsError(
                "the configurations differ",
                where=f"config.json#{key}",
                expected=f"{mine} as in {reference[0]}",
                got=f"{yours} in {other[0]}",
                fix="merge models of one architecture",
            )


def _meaning(folder: Path) -> dict[str, object]:
    """What a configuration says of the computation, by key.

    Of the T5 family the keys are known, with their defaults; of other encoder-decoders every key counts that
    is not known to be of no effect on what a trained model computes.
    """
    plain = read_plain_config(folder)
    if plain.get("model_type") in SUPPORTED:
        known = read_config(folder)
        values = {key: known[key] for key in _COMPARED_KEYS if key in known}
        return {**values, "scale_decoder_outputs": says_scaled(known)}
    if plain.get("is_encoder_decoder") is not True:
        raise WeightsError(
            "this is not an encoder-decoder model",
            where=f"{folder / CONFIG}#model_type",
            expected=f"one of {', '.join(SUPPORTED)}, or a configuration that says is_encoder_decoder",
            got=repr(plain.get("model_type")),
        )
    return {
        key: value
        for key, value in sorted(plain.items())
        if key not in _FREE_KEYS and "dropout" not in key and not key.startswith("_") and value is not None
    }


def check_tokenizers(reference: tuple[str, Path], other: tuple[str, Path]) -> None:
    """Check that two folders hold the same vocabulary, where both hold one.

    Files that differ in settings only (padding, truncation, the writing version) are the same vocabulary.

    Raises:
        WeightsError: token ids mean different pieces.
    """
    for file, content in _VOCABULARIES.items():
        mine, yours = reference[1] / file, other[1] / file
        if not (mine.is_file() and yours.is_file()):
            continue
        if mine.read_bytes() != yours.read_bytes() and content(mine) != content(yours):
            raise WeightsError(
                "the tokenizers differ: the same id is another piece of text",
                where=file,
                expected=f"that of {reference[0]}",
                got=f"another in {other[0]}",
                fix="merge models that share a tokenizer",
            )
        return


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pieces(path: Path) -> object:
    """The ids of a tokenizer.json: its model's vocabulary and the added tokens."""
    parsed = read_json(path)
    model, added = parsed.get("model"), parsed.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    ids = [(token.get("id"), token.get("content")) for token in added] if isinstance(added, list) else None
    return vocabulary, ids


_VOCABULARIES: Mapping[str, Callable[[Path], object]] = {"spiece.model": _sha256, "tokenizer.json": _pieces}


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
