"""Merge checkpoints of one architecture into one: a file a method, streamed from disk to disk."""
