"""From the form that is asked for to its first state. Knows nothing of what is probable."""

from typing import TYPE_CHECKING

import torch

from ramekin.errors import DataError
from ramekin.infer.form_states import AbstractState, OptionState
from ramekin.infer.grammar import grammar_state
from ramekin.infer.request import Form
from ramekin.tensors.tokenizer import has_unknown, token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["form_state"]


def form_state(
    form: Form, tokenizer: "PreTrainedTokenizerFast", *, vocab_size: int, eos_id: int, device: torch.device
) -> AbstractState:
    """The state at the beginning of an output.

    Args:
        form: what outputs can be.
        tokenizer: of the model.
        vocab_size: of the model; it may be larger than the tokenizer's.
        eos_id: the token that ends an output.
        device: where the logits are.

    Raises:
        DataError: an option, or every match, has characters that the tokenizer cannot write.
        UsageError: the regular expression or the schema is wrong, or what is needed for it is not installed.
    """
    if not form.options:
        return grammar_state(form, tokenizer, vocab_size=vocab_size, eos_id=eos_id, device=device)
    found = token_ids(tokenizer, form.options)
    for option, ids in zip(form.options, found, strict=True):
        if not ids or has_unknown(ids):
            raise DataError(
                "an option cannot be written",
                where=repr(option),
                expected="characters that the tokenizer knows",
                got="nothing" if not ids else "a character that is <unk> to it",
            )
    return OptionState([(*ids, eos_id) for ids in found], vocab_size=vocab_size, device=device)
