"""The built-in synthetic world."""
from ramekin.sources.world.rows import TASKS, corpus, generate

__all__ = ["TASKS", "corpus", "generate"]
