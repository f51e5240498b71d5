"""A model's tensors as CTranslate2 holds them, and its files: `model.bin`, `config.json`, the vocabulary.

The mapping is ours, as the library's own converter scales the outputs of every T5 by `d_model ** -0.5`, of
those with a head of their own too. Whether what is written computes what the model does is not known here:
`infer.ctranslate_check` tells.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ramekin.errors import ResourceError, WeightsError
from ramekin.weights.ctranslate2_folder import Quantization
from ramekin.weights.ctranslate2_library import load_library
from ramekin.weights.layout import HEAD, SHARED
from ramekin.weights.seq2seq import config_of, tensors_of, tie_state

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = [
    "refuse_unfit",
    "translator_spec",
    "vocabulary_of",
    "write_spec",
]

_ACTIVATIONS = MappingProxyType({"relu": "RELU", "gelu": "GELU", "gelu_new": "GELUTanh", "silu": "SWISH"})
"""Those of T5's feed-forward layers, by CTranslate2's names."""


def refuse_unfit(config: Mapping[str, object]) -> None:
    """Refuse a configuration that CTranslate2 cannot represent.

    Raises:
        WeightsError: it is of UMT5, whose layers have a table of position biases each.
    """
    if config["model_type"] == "umt5":
        raise WeightsError(
            "CTranslate2 cannot compute this model: UMT5 has a table of position biases in every layer, and "
            "CTranslate2 adds those of the first to all",
            where="config.json#model_type",
            expected="t5 or mt5",
            got="umt5",
            fix="use it with backend=torch",
        )


def vocabulary_of(tokenizer: "PreTrainedTokenizerFast", size: int) -> list[str]:
    """The names of a model's tokens, by id, each one once; ids that no token has get a name of their own.

    Raises:
        WeightsError: two ids have one name, so that CTranslate2 would take one for the other.
    """
    backend = tokenizer.backend_tokenizer
    found = [backend.id_to_token(number) for number in range(size)]
    taken = {name for name in found if name is not None}
    if len(taken) != sum(name is not None for name in found):
        raise WeightsError(
            "two tokens of the vocabulary have one name",
            where=next(name for name in taken if found.count(name) > 1),
            fix="use the tokenizer of the base checkpoint",
        )
    return [_unused(number, taken) if name is None else name for number, name in enumerate(found)]


def _unused(number: int, taken: set[str]) -> str:
    """A name for an id without a token. CTranslate2's own converter repeats `<extra_id_n>` here."""
    name = f"<unused_{number}>"
    while name in taken:
        name = f"<{name}>"
    return name


def translator_spec(model: "PreTrainedModel", vocabulary: Sequence[str]) -> Any:
    """A `TransformerSpec` of the model's tensors, which are shared, not copied, where they are used whole.

    T5's layers have no biases and root-mean-square norms; attention is not scaled; the queries, keys and
    values of self-attention stand in one matrix, the keys and values of cross-attention in another; the first
    layer's table of position biases holds for all. Outputs are scaled exactly if `tie_state` says so.

    Args:
        model: a plain model in fp32.
        vocabulary: the name of each token, as many as the embedding has rows.

    Raises:
        UsageError: CTranslate2 is not installed.
        WeightsError: CTranslate2 cannot represent the model.
    """
    specs = load_library().specs
    config, state, tensors = config_of(model), tie_state(model), tensors_of(model)
    refuse_unfit(config)
    gate, _, activation = str(config["feed_forward_proj"]).rpartition("-")
    if gate and activation == "gelu":
        activation = "gelu_new"  # what transformers makes of "gated-gelu"
    spec = specs.TransformerSpec.from_config(
        (config["num_layers"], config["num_decoder_layers"]),
        config["num_heads"],
        pre_norm=True,
        activation=getattr(specs.common_spec.Activation, _ACTIVATIONS[activation]),
        ffn_glu=bool(gate),
        relative_attention_bias=True,
        rms_norm=True,
    )
    distance = config.get("relative_attention_max_distance", 128)
    _fill_stack(spec.encoder, "encoder", tensors, spec.encoder.embeddings[0], distance)
    _fill_stack(spec.decoder, "decoder", tensors, spec.decoder.embeddings, distance)
    spec.decoder.projection.weight = tensors.get(HEAD, tensors[SHARED])
    if state.scaled:
        spec.decoder.scale_outputs = float(model.config.d_model) ** -0.5
    spec.register_source_vocabulary(list(vocabulary))
    spec.register_target_vocabulary(list(vocabulary))
    names = {"bos": "pad_token_id", "eos": "eos_token_id", "decoder_start": "decoder_start_token_id"}
    for role, key in names.items():
        setattr(spec.config, f"{role}_token", vocabulary[int(str(config[key]))])
    spec.config.unk_token = "<unk>"
    spec.config.layer_norm_epsilon = config.get("layer_norm_epsilon", 1e-6)
    return spec


def write_spec(spec: Any, folder: Path, quantization: Quantization) -> None:
    """Write a spec's files; it is changed, and cannot be written again.

    A tensor that stands in several places is written once, as an alias in the others. CTranslate2 finds those
    by comparing every two tensors, which takes minutes of a large model, and it quantises in place, the
    model's own memory: both are done here instead. The scheme is its own: a row times 127 over its largest
    absolute value, rounded.

    Raises:
        WeightsError: CTranslate2 finds a tensor missing or of a size that does not fit.
        ResourceError: the disk is full or the place cannot be written.
    """
    model_spec = load_library().specs.model_spec
    first: dict[int, str] = {}
    again: list[tuple[Any, str, str]] = []

    def look(layer: Any, name: str, value: Any) -> None:
        if not hasattr(value, "data_ptr"):
            return  # not a tensor: a flag or a size
        own, place = name.rpartition("/")[2], first.setdefault(id(value), name)
        if place != name:
            again.append((layer, own, place))
        else:
            _put(layer, own, value, quantization)

    try:
        model_spec.visit_spec(spec, look)
        spec.validate()
        for layer, own, place in again:
            setattr(layer, own, place)
        spec.save(str(folder))
    except struct.error as error:
        raise WeightsError(
            "a tensor of the model takes 4 GiB or more, which CTranslate2's format has no number for",
            where=str(folder),
            fix="quantization=int8",
        ) from error
    except ValueError as error:
        raise WeightsError(
            "CTranslate2 does not take the model", where=str(folder), got=" ".join(str(error).split())[:200]
        ) from error
    except OSError as error:
        raise ResourceError(
            "cannot write", where=str(folder), got=error.strerror or str(error), fix="free some space"
        ) from error


def _put(layer: Any, name: str, tensor: "Tensor", quantization: Quantization) -> None:
    """Put a tensor into its layer as it is written; matrices are what has room for scales."""
    import torch

    scale_name = f"{name}_scale"
    if quantization.startswith("int8") and hasattr(layer, scale_name):
        largest = tensor.abs().amax(dim=1)
        scale = 127.0 / torch.where(largest == 0, 127.0, largest)
        setattr(layer, name, torch.round(tensor * scale[:, None]).to(torch.int8))
        setattr(layer, scale_name, scale)
    elif quantization.endswith("bfloat16"):
        setattr(layer, name, tensor.to(torch.bfloat16))


def _fill_stack(
    stack: Any, name: str, tensors: Mapping[str, "Tensor"], embeddings: Any, distance: object
) -> None:
    """An encoder's or a decoder's tensors, into the spec of its stack."""
    import numpy as np

    embeddings.weight = tensors[SHARED]
    stack.scale_embeddings = False
    stack.layer_norm.gamma = tensors[f"{name}.final_layer_norm.weight"]
    for number, layer in enumerate(stack.layer):
        own = f"{name}.block.{number}.layer"
        _fill_attention(layer.self_attention, f"{own}.0", "SelfAttention", tensors, ("qkv", "o"))
        # CTranslate2 computes the biases in the first layer, but wants the table in each.
        first = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        layer.self_attention.relative_attention_bias = tensors[first]
        layer.self_attention.relative_attention_max_distance = np.int32(int(str(distance)))
        if name == "decoder":
            _fill_attention(layer.attention, f"{own}.1", "EncDecAttention", tensors, ("q", "kv", "o"))
        _fill_feed_forward(layer.ffn, f"{own}.{2 if name == 'decoder' else 1}", tensors)


def _fill_attention(
    spec: Any, place: str, name: str, tensors: Mapping[str, "Tensor"], parts: Sequence[str]
) -> None:
    """One attention; each of `parts` is the letters of the matrices that stand in one."""
    import torch

    spec.queries_scale = 1.0
    spec.layer_norm.gamma = tensors[f"{place}.layer_norm.weight"]
    for linear, letters in zip(spec.linear, parts, strict=True):
        matrices = [tensors[f"{place}.{name}.{letter}.weight"] for letter in letters]
        linear.weight = matrices[0] if len(matrices) == 1 else torch.cat(matrices)


def _fill_feed_forward(spec: Any, place: str, tensors: Mapping[str, "Tensor"]) -> None:
    own = f"{place}.DenseReluDense"
    spec.layer_norm.gamma = tensors[f"{place}.layer_norm.weight"]
    spec.linear_1.weight = tensors[f"{own}.wo.weight"]
    if hasattr(spec, "linear_0_noact"):
        spec.linear_0.weight = tensors[f"{own}.wi_0.weight"]
        spec.linear_0_noact.weight = tensors[f"{own}.wi_1.weight"]
    else:
        spec.linear_0.weight = tensors[f"{own}.wi.weight"]
