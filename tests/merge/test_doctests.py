import doctest
import importlib

import pytest

MODULES = ("average", "dummy", "inputs", "kth_magnitude", "task_arithmetic", "ties_measure", "ties_merging")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"ramekin.merge.{name}"))
    assert found.attempted > 0 and found.failed == 0
