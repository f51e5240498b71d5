import os
from types import SimpleNamespace

import pytest
import torch

from ramekin.errors import DataError, UsageError
from ramekin.train import launch
from ramekin.train.launch import home_device, join, joined
from ramekin.train.team import Alone

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _nothing_launched(monkeypatch):
    for name in list(os.environ):
        if name in VARIABLES or name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)


def test_without_a_launcher_there_is_one_process():
    with joined("cpu") as team:
        assert isinstance(team, Alone)
        assert team.device == torch.device("cpu")


def test_auto_is_the_device_that_is_there(monkeypatch):
    assert join("auto").device.type == "cpu"
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for kind, found in (("cuda", "cuda"), ("mps", "cpu")):
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda k=kind: torch.device(k))
        assert join("auto").device.type == found
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert join("auto").device.type == "cpu"


def test_what_is_missing_for_joining_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(
        UsageError, match="cannot be joined: .*got no RANK and no MASTER_PORT; fix: start them"
    ):
        join("cpu")


def test_more_processes_than_devices_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch, "get_device_module", lambda _: SimpleNamespace(device_count=lambda: 2))
    with pytest.raises(UsageError, match="process 2: expected at most 2 processes on it, got local rank 2"):
        join("cuda")


def test_the_processes_part_at_the_end_and_after_an_error_of_all(monkeypatch):
    parted = []
    monkeypatch.setattr(launch, "_part", lambda: parted.append(True))
    with joined("cpu"):
        pass
    assert len(parted) == 1
    for is_joint, times in ((True, 2), (False, 2)):
        error = DataError("no")
        error.is_joint = is_joint
        with pytest.raises(DataError), joined("cpu"):
            raise error
        assert len(parted) == times


def test_what_the_launcher_may_not_ask_for_is_an_error_of_all(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(UsageError, match="expected 2, got 1"), joined("cpu"):
        raise AssertionError("nothing is begun")


def test_a_model_that_no_device_need_hold_is_loaded_on_the_cpu(monkeypatch):
    assert home_device(Alone(torch.device("meta"))) == "meta"
    assert home_device(Alone()) == "cpu"
    several = SimpleNamespace(size=2, device=torch.device("cuda:1"))
    assert home_device(several) == "cuda:1"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert home_device(several) == "cpu"
