"""The built-in synthetic world: tasks as GLUE's, BoolQ, MultiRC and SQuAD, four in steps, papers, plain text.

    meaning -> grammar -> entailment, similarity, judgement, passage, papers, steps (a row each)
            -> rows (splits)

It has no end and needs no network.

Each row has a true answer, which meaning.py derives from what its sentences mean. Everything is a pure
function of its arguments; nothing here reads or writes files.
"""

from ramekin.sources.world.rows import TASKS, generate
from ramekin.sources.world.text import corpus

__all__ = ["TASKS", "corpus", "generate"]
