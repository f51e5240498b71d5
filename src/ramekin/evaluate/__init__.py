"""Suites of examples to scores: modes, the runner, the journal, statistics and the baseline."""
