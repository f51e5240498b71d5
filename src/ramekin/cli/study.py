"""`ramekin study`."""

from ramekin.cli.words import command

__all__ = ["study"]

study = command(
    "study",
    "StudyConfig",
    """Train and score a grid: number of tasks by model by chains of thought by seed; draw the curves.

    Example: ramekin study name=mini output=runs/study

    Example: ramekin study name=mini num_tasks=[1,8] models=[small] seeds=[0,1,2] output=runs/study

    Example: ramekin study name=flan_2022 models=[small,base] tasks_root=CLONE output=runs/flan --dry-run

    Each training and evaluation has a folder below OUTPUT, named by its values; what is finished is not done
    again.
    """,
    module="studies.schema",
    renamed={"name": "study"},
)
