import re
from pathlib import Path

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.train.loop import finetune
from ramekin.train.placement import place
from ramekin.train.state import load_newest


def test_a_cpu_trains_in_fp32():
    placement = place("auto", device="cpu")
    assert (placement.device.type, placement.precision, placement.notice) == ("cpu", "fp32", None)
    with placement.autocast():
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("cpuinfo", "slow"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n", False),
        ("flags\t\t: fpu amx_bf16\n", False),
        ("Features\t: fp asimd\n", True),
        ("Features\t: fp asimd bf16\n", False),
        ("", False),  # nothing tells, as on a Mac
    ],
)
def test_bf16_on_a_cpu_is_done_and_said_where_it_is_slow(monkeypatch, cpuinfo, slow):
    monkeypatch.setattr("ramekin.train.placement._processor", lambda: cpuinfo)
    placement = place("bf16", device="cpu")
    assert placement.precision == "bf16"
    assert (placement.notice is not None and "twelve times slower" in placement.notice) is slow
    assert place("fp32", device="cpu").notice is None
    with placement.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo")
def test_the_flags_of_this_processor_are_found():
    from ramekin.train.placement import _has_bf16, _processor

    text = _processor()
    assert _has_bf16(text) is bool(
        re.search(r"(?m)^(flags|Features)\s*:.*\b(avx512_bf16|amx_bf16|bf16)\b", text)
    )


def test_bf16_trains_fp32_weights(make_model, make_items, make_recipe, tmp_path):
    """The loss falls as in fp32; weights, gradients' memory and saved states stay fp32."""
    losses = {}
    for precision in ("fp32", "bf16"):
        model = make_model()
        recipe = make_recipe(precision=precision, max_steps=12, global_batch=16, dropout=0.0)
        report = finetune(model, make_items(16), recipe, run_dir=tmp_path / precision, resume=False)
        assert report.precision == precision
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        saved = load_newest(tmp_path / precision / "state")
        for tensors in (saved.weights, saved.optimizer.tensors):
            assert {t.dtype for t in tensors.values()} == {torch.float32}
        losses[precision] = [epoch.loss for epoch in report.epochs]
    assert losses["bf16"][-1] < 0.9 * losses["bf16"][0]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses["bf16"] != losses["fp32"]


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_where_the_device_has_it(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    placement = place("auto", device="cuda:0")
    assert (placement.precision, placement.notice) == (precision, None)


def test_bf16_is_refused_where_the_device_has_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UsageError, match="this device has no bf16: cuda:0; fix: use precision=fp32"):
        place("bf16", device="cuda:0")
