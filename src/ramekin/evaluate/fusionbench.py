"""An evaluation in the JSON layout of FusionBench's Flan-T5 task pool (tanganke/fusion_bench).

    {"model_info": {"trainable_params": …, "all_params": …, "trainable_percentage": …},
     "cola": {"accuracy": …}, …, "stsb": {"spearman_rho": …}}

Fractions, not percentages, `trainable_percentage` too; tasks in that tool's order. The one place where the
numbers can differ: a correlation that is undefined is NaN there and 0.0 here.
"""

from collections.abc import Sequence
from typing import Any

from ramekin.errors import UsageError
from ramekin.evaluate.evaluation import Evaluation

__all__ = ["fusionbench_report", "model_info", "report_keys"]

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


def report_keys(tasks: Sequence[str]) -> tuple[str, ...]:
    """The key of each task: the last part of its name.

    Raises:
        UsageError: two tasks would have the same, or one stands under several templates.

    >>> report_keys(["glue/rte", "glue/cola"])
    ('rte', 'cola')
    """
    keys = tuple(task.rpartition("/")[2] for task in tasks)
    for place, key in enumerate(keys):
        if tasks[place] in tasks[:place]:
            raise UsageError(
                "FusionBench's layout has one score a task, and this one was asked in several ways",
                where=tasks[place],
                fix="name one template: templates=first",
            )
        if key in keys[:place]:
            raise UsageError(
                "two tasks have one key in this layout", where=tasks[place], fix="evaluate them apart"
            )
    return keys


def fusionbench_report(evaluation: Evaluation) -> dict[str, Any]:
    """The report: each task's headline under the last part of its name (`glue/rte` is `rte`).

    Raises:
        UsageError: two tasks would have the same key, or one stands under several templates.
    """
    report: dict[str, Any] = {}
    keys = report_keys([part.task for part in evaluation.tasks])
    for key, part in zip(keys, evaluation.tasks, strict=True):
        name = part.headline.metric
        report[key] = {part.mode.keys.get(name, name): part.headline.value}
    ordered = sorted(report, key=lambda key: _ORDER.index(key) if key in _ORDER else len(_ORDER))
    info = model_info(evaluation.trainable_parameters, evaluation.all_parameters)
    return {"model_info": info, **{key: report[key] for key in ordered}}
