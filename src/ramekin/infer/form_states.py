"""What an output can be, token by token: which may come next, and what a token leads to.

States are values: `after` gives the next one and leaves this one as it is, so that samples and beams that
part go on by themselves. Knows nothing of what is probable.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

__all__ = ["AbstractState", "OptionState"]


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
