"""Log-probabilities of labels under logits, in fp32 and in little memory.

`torch.nn.functional.cross_entropy` holds three tensors of (targets, vocab) at once on the way back: the
log-probabilities, their gradient and that of the logits. Here there are two, the logits and their gradient,
and the rest is made a few rows at a time, which is also faster. torch's `linear_cross_entropy` makes the
logits themselves in pieces and is leaner still, but makes them twice: at 400 targets of 32,128 it takes 1.4
times as long. Nor can its pieces be smoothed, or come from a head that an adapter has changed. Knows nothing
of models.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

__all__ = ["LogProbs", "log_probs"]

_CPU_NUMBERS = 1 << 19  # of the logits at a time: they stay in the processor's cache
_DEVICE_NUMBERS = 1 << 25  # 128 MB: fewer, larger kernels


@final
class LogProbs(NamedTuple):
    """What a loss needs of the distribution at each target: both (targets,), in fp32 or wider."""

    of_label: Tensor
    """log P(label)"""
    mean: Tensor
    """The mean of log P over the vocabulary."""


def log_probs(logits: Tensor, labels: Tensor) -> LogProbs:
    """The log-probability of each label, and the mean log-probability of all, differentiable.

    With x the logits, p = softmax(x) and V the vocabulary's size,

        log p_y = x_y - logsumexp(x)        d log p_y / d x_v = [v = y] - p_v
        mean    = sum_v log p_v / V         d mean    / d x_v = 1 / V   - p_v

    Args:
        logits: (targets, vocab), of any floating type; bf16 is computed in fp32, a few rows at a time.
        labels: (targets,), each in [0, vocab).
    """
    return LogProbs(*_LogProbs.apply(logits, labels))  # type: ignore[no-untyped-call]


@final
class _LogProbs(torch.autograd.Function):
    """(of_label, mean) of (logits, labels); the logits themselves are what is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        kind = _at_least_fp32(logits)
        of_label, mean = logits.new_empty(2, len(logits), dtype=kind)
        for rows in _slices(logits):
            each = torch.log_softmax(logits[rows], -1, dtype=kind)
            of_label[rows] = each.gather(1, labels[rows, None]).squeeze(1)
            mean[rows] = each.mean(-1)
        ctx.save_for_backward(logits, labels)
        ctx.set_materialize_grads(False)
        return of_label, mean

    @staticmethod
    def backward(ctx: Any, of_label: Tensor | None, mean: Tensor | None) -> tuple[Tensor | None, None]:
        logits, labels = ctx.saved_tensors
        if of_label is None and mean is None:
            return None, None
        zero = logits.new_zeros(len(logits), dtype=_at_least_fp32(logits))
        of_label, mean = (zero if each is None else each for each in (of_label, mean))
        gradient = torch.empty_like(logits)
        for rows in _slices(logits):
            each = torch.softmax(logits[rows], -1, dtype=zero.dtype)
            each.mul_(-(of_label[rows] + mean[rows])[:, None]).add_((mean[rows] / logits.shape[1])[:, None])
            place = labels[rows, None]
            gradient[rows] = each.scatter_(1, place, each.gather(1, place) + of_label[rows, None])
        return gradient, None


def _at_least_fp32(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _slices(logits: Tensor) -> Iterator[slice]:
    numbers = _CPU_NUMBERS if logits.device.type == "cpu" else _DEVICE_NUMBERS
    step = max(1, numbers // logits.shape[1])
    return (slice(start, start + step) for start in range(0, len(logits), step))
