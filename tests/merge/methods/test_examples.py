import doctest
import importlib

import pytest

METHODS = ("ace", "covariance", "fisher", "iso_c", "iso_cts", "regmean", "tsv_merge", "wudi")


@pytest.mark.parametrize("name", METHODS)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"ramekin.merge.methods.{name}"))
    assert found.attempted > 0 and found.failed == 0
