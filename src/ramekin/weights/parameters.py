"""A model's parameters by the names they have in a file, and how its head and embedding are tied.

A tied embedding is one tensor with up to four places; here it is `shared.weight`, once. This module neither
loads nor saves.
"""

import copy
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.registry import nearest
from ramekin.weights.layout import EMBEDDING_ALIASES, SHARED
from ramekin.weights.soft_prompt import refuse_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "Counts",
    "TieState",
    "copy_model",
    "copy_structure",
    "parameter_counts",
    "set_dropout",
    "set_tensors",
    "set_tie_state",
    "tensors_of",
    "tie_state",
]


@final
@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of parameters, each tensor counted once however many names it has."""

    trainable: int
    """Those that require a gradient."""
    all: int
    """All of them."""


@final
@dataclass(frozen=True, slots=True)
class TieState:
    """How a model's decoder output becomes logits."""

    tied: bool
    """Whether the head is the embedding."""
    scaled: bool
    """Whether decoder outputs are multiplied by `d_model ** -0.5` first."""


def tie_state(model: "PreTrainedModel") -> TieState:
    """Whether the model's head is its embedding, and whether its decoder outputs are scaled."""
    seq2seq = cast(Any, model)
    config = seq2seq.config
    scaled = {"t5": getattr(config, "scale_decoder_outputs", False), "umt5": config.tie_word_embeddings}
    return TieState(seq2seq.lm_head.weight is seq2seq.shared.weight, bool(scaled.get(config.model_type)))


def set_tie_state(model: "PreTrainedModel", state: TieState) -> None:
    """Make the library's flags say the truth in place, so that its own tying does no harm afterwards.

    `_tied_weights_keys` and `all_tied_weights_keys` are what `tie_weights` follows; the flag is what
    other tools read (and what UMT5 scales on).
    """
    seq2seq, config = cast(Any, model), cast(Any, model).config
    if not state.tied:
        keys = dict.fromkeys(EMBEDDING_ALIASES, SHARED)
        seq2seq._tied_weights_keys = dict(keys)
        seq2seq.all_tied_weights_keys = dict(keys)
    config.tie_word_embeddings = state.scaled if config.model_type == "umt5" else state.tied
    if config.model_type == "t5":
        config.scale_decoder_outputs = state.scaled


def parameter_counts(model: nn.Module) -> Counts:
    """Count the parameters; a tensor that two modules share counts once.

    Flan-T5-base has 247,577,856, Flan-T5-small 76,961,152.
    """
    parameters = list(model.parameters())  # unique by identity
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return Counts(trainable, sum(parameter.numel() for parameter in parameters))


def tensors_of(model: "PreTrainedModel") -> dict[str, Tensor]:
    """The model's tensors under the names they have in a file: each once, the embedding as `shared.weight`.

    The tensors are the live ones, detached: what is written into them is in the model.

    Raises:
        WeightsError: the embedding tables have come apart, or this is not a plain model.
    """
    refuse_prompt(model, where=type(model).__name__)
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    apart = [name for name in EMBEDDING_ALIASES if name in tensors]
    if apart or SHARED not in tensors:
        raise WeightsError(
            "the model's embedding tables are no longer one tensor"
            if apart
            else "this is not a plain encoder-decoder model of the T5 family",
            where=apart[0] if apart else type(model).__name__,
            expected=f"one tensor '{SHARED}' in both stacks",
            fix="load or build the model with ramekin; merge an adapter before asking for its tensors",
        )
    return tensors


def set_tensors(model: "PreTrainedModel", tensors: Mapping[str, Tensor]) -> None:
    """Write all of a model's tensors in place; every name of `tensors_of`, each once.

    Raises:
        WeightsError: a name is missing or unknown (the nearest is named), or a shape differs; then nothing
            has been written.
    """
    own = tensors_of(model)
    _check_names(own.keys(), tensors.keys())
    for name, tensor in own.items():
        if tensors[name].shape != tensor.shape:
            raise WeightsError(
                "a tensor has another shape than the model's",
                where=name,
                expected=str(list(tensor.shape)),
                got=str(list(tensors[name].shape)),
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def copy_model(model: "PreTrainedModel") -> "PreTrainedModel":
    """A copy that shares no memory with the model and has its tie state, mode and configuration."""
    return copy.deepcopy(model)


def copy_structure(model: nn.Module) -> tuple[nn.Module, dict[nn.Parameter, nn.Parameter]]:
    """A copy of a model, an adapter's wrapper included, that holds no memory: all parameters are on `meta`.

    Returns:
        The copy; and the model's parameter for each of the copy's, so that they can be filled in. What is one
        tensor in the model is one in the copy.
    """
    empty = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in model.parameters()
    }
    # What stands in the memo counts as copied already: no tensor is.
    copied = copy.deepcopy(model, dict(empty))
    return copied, {empty[id(p)]: p for p in model.parameters()}


def set_dropout(model: "PreTrainedModel", rate: float) -> None:
    """Set the dropout rate of every layer, in place; an adapter's own dropout stays.

    Raises:
        UsageError: the rate is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise UsageError("a dropout rate cannot be", where="dropout", expected="0 ≤ rate < 1", got=str(rate))
    model.config.dropout_rate = rate
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and "lora_" not in name:
            module.p = rate
        elif isinstance(getattr(module, "dropout", None), int | float):  # the attention layers keep a number
            cast(Any, module).dropout = rate


def _check_names(own: AbstractSet[str], given: AbstractSet[str]) -> None:
    unknown = sorted(given - own)
    if unknown:
        near = nearest(unknown[0], own)
        raise WeightsError(
            "the model has no tensor of this name",
            where=unknown[0],
            got=f"{len(unknown)} unknown of {len(given)}",
            fix=f"did you mean '{near}'?" if near else None,
        )
    missing = sorted(own - given)
    if missing:
        raise WeightsError(
            "a tensor of the model is not given",
            where=missing[0],
            got=f"{len(missing)} missing of {len(own)}",
        )
