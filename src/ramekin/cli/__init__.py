"""The command line: `ramekin VERB [group=option] [key=value] …`.

One file a verb. What a verb does stands in `recipes`; here are only its words, its help and its output.
Nothing heavy is imported until a verb runs.
"""

from ramekin.cli.app import main

__all__ = ["main"]
