"""Task negation: forget what the models learned, by going the other way.

Paper: Ilharco et al., *Editing models with task arithmetic*, https://arxiv.org/abs/2212.04089, section 3.

    theta   = theta_0 - scaling_factor * sum_i(delta_i)                     default: scaling_factor 0.3

The paper takes the largest scaling factor that keeps the accuracy on a control task. It is task arithmetic
with a scaling factor below 0. `task_analogy` takes away one model's learning and adds another's.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.array import Array
from ramekin.merge.combine import summed
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import parameter, settle
from ramekin.merge.stream import ModelStream

__all__ = ["METHOD", "TaskNegationSettings", "task_negation"]


@final
@dataclass(frozen=True, kw_only=True)
class TaskNegationSettings:
    """What `task_negation` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go against the summed deltas."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter())


def task_negation(deltas: Sequence[Array]) -> Array:
    """Away from one tensor's deltas.

    Args:
        deltas: tuned minus base of each model, of one shape.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> import numpy as np
    >>> task_negation([np.asarray([1.0, -3.0])])
    array([-1.,  3.])
    """
    return -summed(deltas)


def _prepare(stream: ModelStream, settings: TaskNegationSettings) -> Prepared:
    return Prepared(lambda chunk: task_negation(chunk.deltas))


METHOD = Method(
    name="task_negation",
    summary="the base minus a scaled sum of the deltas: what they learned is forgotten",
    paper="https://arxiv.org/abs/2212.04089",
    function=task_negation,
    settings=TaskNegationSettings,
    prepare=_prepare,
    linear=lambda settings: True,
)
