"""Checkpoints and adapters on disk and in memory: the only unit that loads, builds and saves models."""
