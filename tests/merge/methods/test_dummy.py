import pytest
import torch

from ramekin.errors import UsageError
from ramekin.merge.methods.dummy import dummy


def test_is_the_base_or_else_the_first_model() -> None:
    base, tuned = torch.ones(1), [torch.zeros(1), torch.full((1,), 2.0)]
    assert dummy(base, tuned) is base
    assert dummy(None, tuned) is tuned[0]


def test_nothing() -> None:
    with pytest.raises(UsageError, match="nothing to return: expected a base or a model"):
        dummy(None, [])
