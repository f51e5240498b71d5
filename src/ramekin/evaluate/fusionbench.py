"""An evaluation in the JSON layout of FusionBench's Flan-T5 task pool (tanganke/fusion_bench).

    {"model_info": {"trainable_params": …, "all_params": …, "trainable_percentage": …},
     "cola": {"accuracy": …}, …, "stsb": {"spearman_rho": …}}

Fractions, not percentages, `trainable_percentage` too; tasks in that tool's order. The one place where the
numbers can differ: a correlation that is undefined is NaN there and 0.0 here.
"""

from typing import Any

from ramekin.errors import UsageError
from ramekin.evaluate.evaluation import Evaluation

__all__ = ["fusionbench_report", "model_info"]

_ORDER = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")


def model_info(trainable: int, all_: int) -> dict[str, float]:
    """The `model_info` block; tied tensors count once.

    >>> model_info(8, 8)
    {'trainable_params': 8, 'all_params': 8, 'trainable_percentage': 1.0}
    """
    return {
        "trainable_params": trainable,
        "all_params": all_,
        "trainable_percentage": trainable / all_ if all_ else 0.0,
    }


def fusionbench_report(evaluation: Evaluation) -> dict[str, Any]:
    """The report: each task's headline under the last part of its name (`glue/rte` is `rte`).

    Raises:
        UsageError: two tasks would have the same key.
    """
    report: dict[str, Any] = {}
    for part in evaluation.tasks:
        key = part.task.rpartition("/")[2]
        if key in report:
            raise UsageError(
                "two tasks have one key in this layout", where=part.task, fix="evaluate them apart"
            )
        name = part.headline.metric
        report[key] = {part.mode.keys.get(name, name): part.headline.value}
    ordered = sorted(report, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    info = model_info(evaluation.trainable_parameters, evaluation.all_parameters)
    return {"model_info": info, **{key: report[key] for key in ordered}}
