"""`ramekin evaluate`."""

from ramekin.cli.words import command

__all__ = ["evaluate"]

evaluate = command(
    "evaluate",
    "EvaluateConfig",
    """Evaluate a model on tasks; a killed evaluation continues.

    Example: ramekin evaluate model=runs/ties tasks=[glue/rte,glue/cola] data_root=DIR output=runs/ties-eval
    """,
    module="evaluate_schema",
)
