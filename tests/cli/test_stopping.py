"""SIGTERM and Ctrl-C outside the training steps: one line and exit code 6, and the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.cli.stopping import stopped_by_signals
from ramekin.errors import StoppedError

Run = Callable[..., tuple[int, str, str]]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _handlers() -> list[object]:
    return [signal.getsignal(each) for each in SIGNALS]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_verb_is_stopped_with_one_line(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    before = _handlers()
    monkeypatch.setattr("ramekin.recipes.tasks.listing", lambda _: os.kill(os.getpid(), number))
    code, out, err = ramekin("tasks", "list")
    assert (code, out, err.count("\n")) == (6, "", 1)
    assert err.startswith(f"error: stopped by {number.name}; fix: run the same command again")
    assert _handlers() == before


def test_a_training_that_is_stopped_as_it_writes_its_checkpoint_is_ended_by_the_same_command(
    ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)
    train = (
        "train",
        "task=mini/rte",
        "limit=8",
        "max_steps=2",
        "eval_split=",
        "model=base",
        "output=runs/rte",
    )
    with monkeypatch.context() as patched:
        patched.setattr(
            "ramekin.weights.checkpoint.save_checkpoint",
            lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM),
        )
        code, _, err = ramekin(*train)
    assert code == 6 and "stopped by SIGTERM" in err and not Path("runs/rte").exists()
    code, _, err = ramekin(*train)
    assert code == 0, err
    assert Path("runs/rte/model.safetensors").is_file()


def test_a_second_signal_kills() -> None:
    script = """
import os, signal
from ramekin.cli.stopping import stopped_by_signals
with stopped_by_signals():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("alive")
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (-signal.SIGTERM, "")


def test_nothing_on_the_way_takes_it_for_a_failure() -> None:
    with pytest.raises(StoppedError, match="stopped by SIGTERM"), stopped_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            pytest.fail("it was passed over")


def test_what_cannot_be_caught_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _handlers()
    seen: list[list[object]] = []

    def look() -> None:
        with stopped_by_signals():
            seen.append(_handlers())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    monkeypatch.setenv("WORLD_SIZE", "2")
    look()
    assert seen == [before, before]


def test_an_ignored_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)
