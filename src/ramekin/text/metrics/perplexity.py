"""Perplexity of the targets: the exponential of the mean loss of a token, over all tokens of all examples.

The lower the better; a model that spreads its probability evenly over the vocabulary reaches its size, which
is the chance level. Counted in tokens, so that only models of one vocabulary can be compared.
"""

from typing import TYPE_CHECKING

from ramekin.errors import DataError
from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.metric import Metric, Resampler, no_majority
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from ramekin.text.metrics.values import Floats

__all__ = ["PERPLEXITY"]

_LARGEST = 700.0


def _perplexity(answers: Answers, seed: int) -> Score:
    return bootstrapped("perplexity", answers, _prepare(answers), seed, chance=float(answers.vocab_size))


def _prepare(answers: Answers) -> Resampler:
    import numpy as np

    if not answers.losses:
        raise DataError(
            "perplexity needs the losses of the targets",
            expected="targets that were scored",
            got="answers that were written or chosen",
            fix="use mode=perplexity",
        )
    losses, tokens = np.array(answers.losses, dtype=np.float64).T

    def resampled(counts: "Floats") -> "Floats":
        means = (counts @ losses) / (counts @ tokens)
        values: Floats = np.exp(np.minimum(means, _LARGEST))  # a number that floats have
        return values

    return resampled


PERPLEXITY = Metric("perplexity", _perplexity, _prepare, no_majority)
"""Of targets, `</s>` included."""
