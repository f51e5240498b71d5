"""The built-in synthetic world: eight tasks with GLUE's columns, and plain text, without end and offline.

    meaning -> grammar -> entailment, similarity, judgement (one row each) -> rows (splits, balance)

Each row has a true answer, which meaning.py derives from what its sentences mean. Everything is a pure
function of its arguments; nothing here reads or writes files.
"""

from ramekin.sources.world.rows import TASKS, generate
from ramekin.sources.world.text import corpus

__all__ = ["TASKS", "corpus", "generate"]
