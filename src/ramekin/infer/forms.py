"""What an output can be, token by token: which may come next, and what a token leads to.

States are values: `after` gives the next one and leaves this one as it is, so that samples and beams that
part go on by themselves. Knows nothing of what is probable.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from ramekin.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.infer.request import Form

__all__ = ["AbstractState", "OptionState", "form_state"]


class AbstractState(ABC):
    """Where an output is in its form."""

    @abstractmethod
    def allowed(self) -> Tensor:
        """Which tokens may come next: (vocab,), true for one at least; `</s>` is where it may end."""

    @abstractmethod
    def after(self, token: int) -> "AbstractState":
        """The state after one of them."""


@final
class OptionState(AbstractState):
    """In a set of options.

    Args:
        options: the token ids of each, with their `</s>`.
        vocab_size: of the model.
        device: where the logits are.
        position: how many tokens have been written; the options all begin with these.

    >>> state = OptionState([(5, 1), (5, 6, 1)], vocab_size=8, device="cpu").after(5)
    >>> state.allowed().nonzero().flatten().tolist()
    [1, 6]
    """

    def __init__(
        self,
        options: Sequence[Sequence[int]],
        *,
        vocab_size: int,
        device: torch.device | str,
        position: int = 0,
    ) -> None:
        self._options, self._position = options, position
        self._vocab_size, self._device = vocab_size, device

    def allowed(self) -> Tensor:  # noqa: D102
        found = torch.zeros(self._vocab_size, dtype=torch.bool, device=self._device)
        found[[option[self._position] for option in self._options]] = True
        return found

    def after(self, token: int) -> "OptionState":  # noqa: D102
        going = [option for option in self._options if option[self._position] == token]
        end = self._position + 1
        return OptionState(going, vocab_size=self._vocab_size, device=self._device, position=end)


def form_state(
    form: "Form", tokenizer: "PreTrainedTokenizerFast", *, vocab_size: int, eos_id: int, device: torch.device
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
    from ramekin.tensors.tokenizer import has_unknown, token_ids

    if not form.options:
        from ramekin.infer.grammar import grammar_state

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
