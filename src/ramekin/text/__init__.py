"""The text side: examples, templates, tasks, metrics and scores. Pure Python; no torch, no data sets."""
