"""`ramekin run`."""

from ramekin.cli.words import command

__all__ = ["run"]

run = command(
    "run",
    "RunConfig",
    """Run a whole recipe.

    Example: ramekin run recipe=real_text data_root=DIR output=runs/real-text
    """,
)
