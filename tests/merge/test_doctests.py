import doctest
import importlib

import pytest

from ramekin.merge.methods import METHODS

MODULES = (
    "alignment", "array", "combine", "cuts", "direction", "extraction", "factors", "gram", "inputs", "parameters", "random_bits", "selection",
    *(f"methods.{name}" for name in METHODS),
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"ramekin.merge.{name}"))
    assert found.attempted > 0 and found.failed == 0
