from types import SimpleNamespace

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.train.placement import place


def test_a_cpu_trains_in_fp32():
    placement = place("auto", device="cpu")
    assert (placement.device.type, placement.precision, placement.notice) == ("cpu", "fp32", None)
    with placement.autocast():
        assert not torch.is_autocast_enabled("cpu")


def test_bf16_on_a_cpu_is_done_and_said():
    placement = place("bf16", device="cpu")
    assert placement.precision == "bf16"
    assert "twelve times slower" in placement.notice
    with placement.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_where_the_device_has_it(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    placement = place("auto", device="cuda:0")
    assert (placement.precision, placement.notice) == (precision, None)


def test_bf16_is_refused_where_the_device_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match="this device has no bf16: cuda:0; fix: use precision=fp32"):
        place("bf16", device="cuda:0")


@pytest.mark.parametrize(
    ("device", "processes", "chosen"), [("auto", 1, "meta"), ("cpu", 1, "cpu"), ("cpu", 2, "meta")]
)
def test_accelerate_is_asked_for_the_device(monkeypatch, device, processes, chosen):
    state = SimpleNamespace(num_processes=processes, device=torch.device("meta"))
    monkeypatch.setattr("accelerate.PartialState", lambda **_: state)
    assert place("fp32", device=device).device.type == chosen
