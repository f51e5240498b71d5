"""Flipped learning: the instruction is likely under the right label and unlikely under a wrong one.

FLIPPED (Ye et al. 2022, arXiv 2210.02969) learns P(I | x, l), the instruction I from the record x and its
label l. So that the label is not overlooked, the same instruction is made unlikely under a wrong label l',
drawn from the other options (`text.flip`):

    L = L_LM + λ · L_UL
    L_LM = sum_t -log P(I_t | x, l, I_<t)
    L_UL = sum_t -log(1 - P(I_t | x, l', I_<t))

Unlikelihood is that of Welleck et al. 2019 (arXiv 1908.04319). The paper gives λ no value: 3, the default of
`ObjectiveRecipe`, is read off the name of a checkpoint that its authors published.

Labels are then ranked by log P(I | x, l). A token that is certain whatever the label, as the first sentinel
is, has the largest loss in L_UL and can teach nothing: hence `clamp`.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ramekin.errors import DataError
from ramekin.tensors.collate import Batch
from ramekin.train.objectives.forward import target_labels, target_logits
from ramekin.train.objectives.log_probs import log_probs
from ramekin.train.objectives.losses import Losses

__all__ = ["FlippedLikelihood", "unlikelihood"]


@final
@dataclass(frozen=True, slots=True)
class FlippedLikelihood:
    """Likelihood under the right label and weighted unlikelihood under a wrong one, token by token.

    Both terms have the same tokens, those of the instruction, and are divided by the same number of them;
    `likelihood` and `unlikelihood` are told beside the loss, each as it is before weighting.
    """

    unlikelihood_weight: float
    """λ"""
    clamp: float
    """See `unlikelihood`."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The two terms."""
        return ("likelihood", "unlikelihood")

    def __call__(self, model: Any, batch: Batch) -> Losses:
        """The losses of the batch: of the rows under the right label, and of those under a wrong one.

        Raises:
            DataError: the batch has no inputs under a wrong label.
        """
        denied = batch.under_wrong_label
        if denied is None:
            raise DataError(
                "flipped learning needs the inputs under a wrong label, too",
                expected="wrong_inputs in every example",
                got="none",
                fix="make the examples with text.flip.taught, or set unlikelihood_weight to 0",
            )
        found = log_probs(target_logits(model, batch), target_labels(batch)).of_label
        likely, unlikely = -found, unlikelihood(found, clamp=self.clamp)
        told = {"likelihood": likely.masked_fill(denied, 0), "unlikelihood": unlikely.masked_fill(~denied, 0)}
        return Losses(
            torch.where(denied, self.unlikelihood_weight * unlikely, likely),
            {name: values.detach().sum() for name, values in told.items()},
        )


def unlikelihood(log_probs: Tensor, *, clamp: float) -> Tensor:
    """-log(1 - p) of log p, as -log(-expm1(log p)): (targets,) -> (targets,).

    1 - p is never the difference of two numbers near 1. The derivative p / (1 - p) grows without bound as p
    nears 1, so log p is held at -clamp or below: beyond that the loss is constant, -log(clamp) at most, and
    its gradient zero.

    >>> unlikelihood(torch.tensor([0.5, 1.0]).log(), clamp=1e-6)
    tensor([ 0.6931, 13.8155])
    """
    return -torch.log(-torch.expm1(log_probs.clamp(max=-clamp)))
