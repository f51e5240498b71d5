import dataclasses

import pytest

from ramekin.errors import UsageError
from ramekin.serve.limits import Limits


def test_the_defaults_are_those_of_the_facts_sheet():
    limits = Limits()
    assert limits.body_bytes == 1 << 20
    assert limits.prompt_tokens == 16 * 1024
    assert (limits.prompts, limits.n, limits.queue, limits.seconds) == (64, 64, 256, 60)


@pytest.mark.parametrize("name", [each.name for each in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_bound_is_a_number_above_zero(name, value):
    with pytest.raises(UsageError, match=f"limits.{name}: expected a number above 0"):
        Limits(**{name: value})


def test_bounds_that_do_not_go_together_are_told_together():
    with pytest.raises(UsageError) as told:
        Limits(queue=8, max_tokens=100)
    assert "limits.prompts: expected at most limits.queue=8, got 64" in str(told.value)
    assert "limits.default_max_tokens: expected at most limits.max_tokens=100, got 128" in str(told.value)
