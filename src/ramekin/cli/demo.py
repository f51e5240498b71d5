"""`ramekin demo`."""

from ramekin.cli.words import command

__all__ = ["demo"]

demo = command(
    "run",
    "RunConfig",
    """The whole road on the built-in world, offline.

    A base is made, fine-tuned, merged, evaluated and reported.

    Example: ramekin demo

    Example: ramekin demo seed=1 output=runs/demo
    """,
    first=("recipe=demo",),
)
