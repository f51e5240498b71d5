"""The one loader and the one builder of encoder-decoder models.

T5 1.1, Flan-T5 and T0 have an output head of their own, T5 1.0 uses the embedding. transformers 5 forces
`tie_word_embeddings=True` on both, and several of its paths then overwrite the head, or the embedding,
without a word (`tie_weights`, `resize_token_embeddings`, building from a configuration, `load_state_dict`).
Here tensors are read from the file into a model built without memory, the tie state is taken from what the
file holds, and the model is left in a state in which those paths are harmless. Nothing else in ramekin
builds or loads a model. What a model's tensors are called is `parameters`'s (offered here too); this module
knows nothing of lineage or adapters.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.files import sha256_file
from ramekin.registry import nearest
from ramekin.weights.config import SUPPORTED, Config, check_config, read_config, says_scaled, says_tied
from ramekin.weights.data import check_finite, read_tensors
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED, UNUSED_KEYS, Layout, open_layout
from ramekin.weights.parameters import (
    Counts,
    TieState,
    copy_model,
    parameter_counts,
    set_dropout,
    set_tensors,
    set_tie_state,
    tensors_of,
    tie_state,
)
from ramekin.weights.verify import check_digest, verify_small_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "Counts",
    "Precision",
    "TieState",
    "build_model",
    "config_of",
    "copy_model",
    "load_model",
    "parameter_counts",
    "set_dropout",
    "set_tensors",
    "set_tie_state",
    "tensors_of",
    "tie_state",
]

Precision: TypeAlias = Literal["fp32", "bf16"]
"""The dtypes a model can be held in."""

_DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_model(
    folder: Path, *, verify: bool = True, device: str = "cpu", dtype: Precision = "fp32"
) -> "PreTrainedModel":
    """Load a whole model, in evaluation mode, its head as the file has it.

    The file is read once; with `verify` its sha256 is computed on the way and compared with the manifest.

    Args:
        folder: a checkpoint folder, single file or sharded.
        verify: compare sizes and hashes with `ramekin.json`, where there is one.
        device: where the model goes.
        dtype: `fp32` or `bf16`; fp16 is refused, as T5 overflows in it.

    Raises:
        WeightsError: a file is missing, damaged or foreign, the model type is not supported, a tensor is
            missing, unexpected, of another shape, or not finite. The message names the file and tensor.
        UsageError: the dtype cannot be.
    """
    wanted = _torch_dtype(dtype)
    folder = Path(folder)
    manifest = verify_small_files(folder) if verify else None
    layout = open_layout(folder)
    config = read_config(folder)
    model = _empty_model(config)
    try:
        _check_against_file(model, layout, config)
    except WeightsError:
        if manifest is not None:  # a flipped bit can rename a tensor: damage is the better explanation
            for name in layout.headers:
                check_digest(folder, name, sha256_file(folder / name), manifest)
        raise
    found: dict[str, Tensor] = {}
    for name, header in layout.headers.items():
        digest = hashlib.sha256() if manifest is not None else None
        for tensor_name, tensor in read_tensors(folder / name, header, digest):
            if tensor_name not in UNUSED_KEYS:
                check_finite(tensor, where=layout.where(tensor_name), fix="use another checkpoint")
                found[tensor_name] = tensor.to(wanted)
        if manifest is not None and digest is not None:
            check_digest(folder, name, digest.hexdigest(), manifest)
    _drop_aliases(found, layout)
    tied = HEAD not in found or (says_tied(config) and torch.equal(found[HEAD], found[SHARED]))
    if tied:
        found.pop(HEAD, None)
    _fill(model, found)
    set_tie_state(model, TieState(tied, says_scaled(config)))
    model.config.dtype = wanted
    model.eval()
    return cast("PreTrainedModel", model.to(device))


def build_model(config: Config, *, seed: int, tied: bool) -> "PreTrainedModel":
    """Make a model with random weights: T5's initialisation, drawn from `seed` alone.

    The global random state is left as it was. An untied head is drawn with standard deviation
    `d_model ** -0.5`, as in T5X (transformers draws it with 1, which makes the first losses enormous).

    Args:
        config: sizes and token ids, such as `t5_config` makes.
        seed: decides every weight.
        tied: whether the head is the embedding (T5 1.0) or its own (T5 1.1, Flan-T5).

    Raises:
        UsageError: the configuration is not one.
    """
    checked = check_config(config, where="build_model", error=UsageError)
    scaled = tied and checked["model_type"] != "mt5"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's; no device's state is touched
        model = _model_class(checked)(_library_config(checked, scaled))
        if not tied:
            factor = float(model.config.initializer_factor) * model.config.d_model**-0.5
            weight = torch.empty_like(model.shared.weight, requires_grad=False)
            model.lm_head.weight = nn.Parameter(weight.normal_(0.0, factor))
    set_tie_state(model, TieState(tied, scaled))
    model.eval()
    return cast("PreTrainedModel", model)


def config_of(model: "PreTrainedModel") -> dict[str, object]:
    """The model's configuration as ramekin's keys, with its true tie state."""
    state, raw = tie_state(model), model.config.to_dict()
    raw["tie_word_embeddings"] = state.tied
    raw["scale_decoder_outputs"] = state.scaled
    return check_config(raw, where=type(model).__name__)


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype in ("fp16", "float16", "half"):
        raise UsageError(
            "fp16 is refused: T5 overflows in its feed-forward layers (65504 is exceeded), giving NaN",
            where="dtype",
            got=dtype,
            fix="use bf16 where the device has it, else fp32",
        )
    if dtype not in _DTYPES:
        raise UsageError("this dtype is unknown", where="dtype", expected="fp32 or bf16", got=repr(dtype))
    return _DTYPES[dtype]


def _model_class(config: Config) -> Any:
    import transformers

    return getattr(transformers, SUPPORTED[cast(str, config["model_type"])])


def _library_config(config: Config, scaled: bool) -> Any:
    """The library's configuration object; its tie flag stays true, as the building code expects."""
    settings = {key: value for key, value in config.items() if key != "model_type"}
    settings["tie_word_embeddings"] = scaled if config["model_type"] == "t5" else True
    settings.pop("scale_decoder_outputs", None)
    return _model_class(config).config_class(**settings)


def _empty_model(config: Config) -> Any:
    """The model on the meta device: shapes without memory, no random numbers drawn."""
    with torch.device("meta"):
        return _model_class(config)(_library_config(config, says_scaled(config)))


def _check_against_file(model: Any, layout: Layout, config: Config) -> None:
    """Names and shapes of the file against the model's, from headers alone."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    held = layout.homes.keys() - UNUSED_KEYS
    embedding = next((name for name in (SHARED, *EMBEDDING_ALIASES) if name in held), SHARED)
    expected = (shapes.keys() - {SHARED}) | {embedding}
    if not says_tied(config):
        expected |= {HEAD}
    missing = sorted(expected - held)
    if missing:
        raise WeightsError(
            "the checkpoint lacks a tensor of its model",
            where=f"{layout.folder}#{missing[0]}",
            got=f"{len(missing)} missing" + (f", also {missing[1]}" if len(missing) > 1 else ""),
            fix="the folder is incomplete, or its config.json belongs to another model",
        )
    allowed = expected | {HEAD, SHARED, *EMBEDDING_ALIASES}
    unexpected = sorted(held - allowed)
    if unexpected:
        near = nearest(unexpected[0], allowed)
        raise WeightsError(
            "the checkpoint holds a tensor that its model has not",
            where=layout.where(unexpected[0]),
            got=f"{len(unexpected)} unexpected",
            fix=f"its config.json belongs to another model, or the name should be '{near}'"
            if near
            else "its config.json belongs to another model",
        )
    table = shapes[SHARED]
    for name in sorted(held):
        shape = table if name in (HEAD, SHARED, *EMBEDDING_ALIASES) else shapes[name]
        if layout.info(name).shape != shape:
            raise WeightsError(
                "a tensor has another shape than config.json gives it",
                where=layout.where(name),
                expected=str(list(shape)),
                got=str(list(layout.info(name).shape)),
            )


def _drop_aliases(found: dict[str, Tensor], layout: Layout) -> None:
    """Leave the embedding under one name; copies of it must be equal, or they are another model."""
    for alias in EMBEDDING_ALIASES:
        if alias not in found:
            continue
        table = found.setdefault(SHARED, found[alias])
        if not torch.equal(table, found[alias]):
            raise WeightsError(
                "the checkpoint holds an embedding that differs from the shared one",
                where=layout.where(alias),
                expected=f"the values of '{SHARED}'",
                fix="it was saved by code that split the embedding; ramekin's models have one",
            )
        del found[alias]


def _fill(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Put real parameters in place of the meta ones, the embedding as one in all its places."""
    for name, tensor in tensors.items():
        parameter = nn.Parameter(tensor)
        for place in (name, *EMBEDDING_ALIASES) if name == SHARED else (name,):
            parent, _, leaf = place.rpartition(".")
            setattr(model.get_submodule(parent), leaf, parameter)
    if HEAD not in tensors:
        model.lm_head.weight = model.shared.weight
    left = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    left += [name for name, _ in model.named_buffers()]
    if left:
        raise WeightsError("a tensor of the model was not in the file", where=left[0])
