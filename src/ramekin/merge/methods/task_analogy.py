"""Task analogy: what B is to C, added to A.

Paper: Ilharco et al., *Editing models with task arithmetic*, https://arxiv.org/abs/2212.04089, section 5.

    theta   = A + scaling_factor * (B - C)                                  default: scaling_factor 1

base=A models=[B,C]: for example A tuned on reviews of one shop, B and C language models of the texts of
another shop and of that one. In the paper's words the deltas of all three are taken from one base, which
falls out of the difference. No other tool has it.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "TaskAnalogySettings", "task_analogy"]


@final
@dataclass(frozen=True, kw_only=True)
class TaskAnalogySettings:
    """What `task_analogy` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How much of the difference to add."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter())


def task_analogy(tuned: Sequence[Array]) -> Array:
    """The difference of two tensors.

    Args:
        tuned: the tensor of B and that of C.

    Returns:
        The direction, in their shape, to be scaled and added to A's.

    >>> import numpy as np
    >>> task_analogy([np.asarray([3.0]), np.asarray([1.0])])
    array([2.])
    """
    b, c = tuned
    return b - c


def _prepare(stream: ModelStream, settings: TaskAnalogySettings) -> Prepared:
    return Prepared(lambda chunk: task_analogy(chunk.tuned))


METHOD = Method(
    name="task_analogy",
    summary="A + (B - C): base=A models=[B,C]",
    paper="https://arxiv.org/abs/2212.04089",
    function=task_analogy,
    settings=TaskAnalogySettings,
    prepare=_prepare,
    min_models=2,
    max_models=2,
    linear=lambda settings: True,
)
