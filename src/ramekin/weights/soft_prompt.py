"""Soft prompts: learned vectors that the encoder reads before every input (prompt tuning).

Lester et al. 2021, https://arxiv.org/abs/2104.08691. A prompt has no place among the weights, so an opened
model carries it as a part of its encoder: whatever calls the encoder with token ids gets states that are
longer by the prompt, and the decoder sees the prompt from every row. That holds for the model's own forward
and generate as well as for `infer`. A call with embeddings is left alone: PEFT's forward makes it, with the
prompt already in it. This module needs no PEFT.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter_config import refuse_switched_on
from ramekin.weights.layout import ADAPTER_CONFIG

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "SoftPrompt",
    "check_prompt",
    "covering",
    "has_prompt",
    "prompt_vectors",
    "put_prompt",
    "refuse_prompt",
]

_TENSOR = "prompt_embeddings"
_FREE_KEYS = frozenset(
    {
        "num_attention_heads",
        "num_layers",
        "num_transformer_submodules",
        "num_virtual_tokens",
        "prompt_tuning_init",
        "prompt_tuning_init_text",
        "token_dim",
        "tokenizer_kwargs",
        "tokenizer_name_or_path",
    }
)


@final
class SoftPrompt(nn.Module):
    """The vectors before every input, as a part of the encoder that reads them.

    Args:
        embedding: its rows are the vectors, `(num_virtual_tokens, d_model)`. While PEFT trains them it is
            PEFT's own.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        """`(batch, length, d_model)` -> `(batch, num_virtual_tokens + length, d_model)`."""
        prompt = self.embedding.weight.to(inputs_embeds.dtype)
        return torch.cat([prompt.expand(len(inputs_embeds), -1, -1), inputs_embeds], dim=1)


def put_prompt(model: "PreTrainedModel", prompt: Tensor | nn.Embedding, *, where: str = "adapter") -> None:
    """Make a model read a prompt before every input, in place.

    Args:
        model: a model of the T5 family.
        prompt: `(num_virtual_tokens, d_model)`, copied; or an embedding of that shape, shared.
        where: the prompt's file, for messages.

    Raises:
        WeightsError: the model reads a prompt already, or the vectors have another width than its own.
    """
    seq2seq = cast(Any, model)
    refuse_prompt(model, where=where)
    table = seq2seq.get_input_embeddings().weight
    if isinstance(prompt, nn.Embedding):
        embedding = prompt
    else:
        embedding = nn.Embedding(len(prompt), prompt.shape[1], device="meta")
        embedding.weight = nn.Parameter(prompt.detach().to(table.device, table.dtype, copy=True))
    if embedding.weight.shape[1] != table.shape[1]:
        raise WeightsError(
            "the prompt does not fit its base",
            where=where,
            expected=f"vectors of {table.shape[1]} as in the base",
            got=str(embedding.weight.shape[1]),
            fix="open it on the base it was trained on",
        )
    seq2seq.encoder.soft_prompt = SoftPrompt(embedding)
    seq2seq.encoder.register_forward_pre_hook(_read_prompt, with_kwargs=True)
    seq2seq.decoder.register_forward_pre_hook(_see_prompt, with_kwargs=True)


def has_prompt(model: nn.Module) -> bool:
    """Whether a model, or the one inside an adapter's wrapper, reads a prompt."""
    return any(isinstance(module, SoftPrompt) for module in model.modules())


def refuse_prompt(model: nn.Module, *, where: str) -> None:
    """Refuse a model that reads a prompt, where the prompt would be lost or doubled.

    Raises:
        WeightsError: it does.
    """
    if has_prompt(model):
        raise WeightsError(
            "the model reads a soft prompt, which has no place among its weights",
            where=where,
            expected="a plain model",
            fix="take the base that the prompt was trained on; to use the prompt, open its own folder",
        )


def covering(attention_mask: Tensor, hidden: Tensor) -> Tensor:
    """The mask of what the encoder returned, the vectors of a prompt always seen.

    Args:
        attention_mask: (batch, input_length), 1 where there is a token.
        hidden: (batch, length, d_model), longer than the inputs by a prompt, if there is one.

    Returns:
        (batch, length)
    """
    return nn.functional.pad(attention_mask, (hidden.shape[1] - attention_mask.shape[1], 0), value=1)


def check_prompt(path: Path, config: Mapping[str, object]) -> None:
    """Refuse a configuration of prompt tuning that cannot be opened.

    Args:
        path: of adapter_config.json.
        config: its content.

    Raises:
        WeightsError: names the key.
    """
    refuse_switched_on(path, config, free=_FREE_KEYS, expected="vectors before the encoder's input alone")
    if config.get("task_type", "SEQ_2_SEQ_LM") not in ("SEQ_2_SEQ_LM", None):
        raise WeightsError(
            "the prompt is not one of an encoder-decoder",
            where=f"{path}#task_type",
            expected="SEQ_2_SEQ_LM",
            got=repr(config["task_type"])[:80],
        )


def prompt_vectors(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, object]) -> Tensor:
    """The vectors that the encoder reads: `(num_virtual_tokens, d_model)`.

    PEFT's file may hold as many again for the decoder, which its prompt tuning never reads.

    Args:
        path: the adapter's file, for messages.
        tensors: its tensors.
        config: the content of adapter_config.json.

    Raises:
        WeightsError: there is another tensor, or fewer vectors than the configuration says.
    """
    count, found = config.get("num_virtual_tokens"), tensors.get(_TENSOR)
    if type(count) is not int or count < 1:
        raise WeightsError(
            "a value of the adapter's configuration cannot be",
            where=f"{path.with_name(ADAPTER_CONFIG)}#num_virtual_tokens",
            expected="an integer from 1",
            got=repr(count)[:80],
            fix="save the adapter again with the tool that made it",
        )
    if found is None or len(tensors) != 1 or found.dim() != 2 or len(found) not in (count, 2 * count):
        shapes = {name: list(tensor.shape) for name, tensor in sorted(tensors.items())}
        raise WeightsError(
            "the adapter does not hold the vectors of one prompt",
            where=str(path),
            expected=f"{_TENSOR} [{count}, …]",
            got=str(shapes)[:200],
            fix="save the adapter again with the tool that made it",
        )
    return found[:count].contiguous()


def _read_prompt(encoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Before the encoder: token ids become embeddings, the prompt in front."""
    given = {**dict(zip(("input_ids", "attention_mask"), args, strict=False)), **kwargs}
    input_ids, mask = given.pop("input_ids", None), given.get("attention_mask")
    if input_ids is None:
        return None
    if mask is not None and mask.dim() != 2:
        raise UsageError(
            "a soft prompt is read before each row, so that a row can hold one example only",
            where="attention_mask",
            expected="(batch, length)",
            got=str(list(mask.shape)),
            fix="train without packing",
        )
    given["inputs_embeds"] = encoder.soft_prompt(encoder.embed_tokens(input_ids))
    if mask is not None:
        given["attention_mask"] = covering(mask, given["inputs_embeds"])
    return (), given


def _see_prompt(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Before the decoder: the mask of the encoder's states covers the prompt."""
    hidden, mask = kwargs.get("encoder_hidden_states"), kwargs.get("encoder_attention_mask")
    if hidden is None or mask is None or mask.dim() != 2:
        return None
    return args, {**kwargs, "encoder_attention_mask": covering(mask, hidden)}
