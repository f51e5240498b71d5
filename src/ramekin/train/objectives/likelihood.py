"""Likelihood: the target given the inputs. `direct`, and `channel` on examples that are turned round.

DIRECT learns P(l | I, x), the answer l from the prompt, which is an instruction I around a record x; CHANNEL
learns P(I, x | l), the prompt from the answer (Min et al. 2022, arXiv 2108.04106; compared in Ye et al. 2022,
arXiv 2210.02969). Both are the same loss: what differs is which text stands on which side
(`text.flip.channel`).
"""

from dataclasses import dataclass
from typing import Any, final

from ramekin.errors import DataError
from ramekin.tensors.collate import Batch
from ramekin.train.objectives.forward import target_labels, target_logits
from ramekin.train.objectives.log_probs import log_probs
from ramekin.train.objectives.losses import Losses

__all__ = ["Likelihood"]


@final
@dataclass(frozen=True, slots=True)
class Likelihood:
    """Cross-entropy of every real target token given the inputs and the tokens before it.

    With ε the label smoothing and V the vocabulary's size, the loss of a token t is

        (1 - ε) · -log P(t)  +  ε / V · sum_v -log P(v)

    which is torch's definition, and what the LabelSmoother of transformers gives on real targets. Without
    smoothing its mean equals transformers' own loss; with it, the plain cross-entropy is told beside it as
    `likelihood`, so that curves can be compared.
    """

    label_smoothing: float = 0.0

    @property
    def parts(self) -> tuple[str, ...]:
        """The loss is all there is to tell, unless it is smoothed."""
        return ("likelihood",) if self.label_smoothing else ()

    def __call__(self, model: Any, batch: Batch) -> Losses:
        """The losses of the batch.

        Raises:
            DataError: the batch has inputs under a wrong label.
        """
        if batch.under_wrong_label is not None:
            raise DataError(
                "the examples have inputs under a wrong label, and this objective has no use for them",
                expected="inputs under the right label alone",
                got="wrong_inputs in some examples",
                fix="train with objective=flipped and an unlikelihood_weight above 0, or leave them out",
            )
        found = log_probs(target_logits(model, batch), target_labels(batch))
        if not self.label_smoothing:
            return Losses(-found.of_label)
        share = self.label_smoothing
        values = -(1 - share) * found.of_label - share * found.mean
        return Losses(values, {"likelihood": -found.of_label.detach().sum()})
