import pytest
import torch

from ramekin.errors import UsageError
from ramekin.tensors.device import named_device, present_device


def test_a_device_is_known_by_its_name():
    assert present_device("cpu") == present_device(torch.device("cpu")) == torch.device("cpu")
    assert named_device("cuda:99") == torch.device("cuda", 99)


@pytest.mark.parametrize("find", [named_device, present_device])
def test_an_unknown_kind_is_refused(find):
    with pytest.raises(
        UsageError, match="no such device: device: expected auto, cpu, cuda or cuda:1, got 'gpu'"
    ):
        find("gpu")


@pytest.mark.parametrize("name", ["cuda:99", "meta"])
def test_a_device_that_cannot_be_computed_on_is_refused(name):
    with pytest.raises(UsageError, match=f"machine has no such device.*got '{name}'.*fix: leave device=auto"):
        present_device(name)
