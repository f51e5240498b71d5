"""`ramekin train` as processes that a launcher started together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

Run = Callable[..., tuple[int, str, str]]
Start = Callable[..., list["subprocess.Popen[str]"]]

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "model=base", "task=mini/rte", "limit=48", "global_batch=16", "eval_limit=8", "dropout=0")
SECONDS = 150


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it."""
    monkeypatch.chdir(tmp_path)
    return make_checkpoint(tmp_path / "base", seed=0)


def environment(**more: str) -> dict[str, str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}
    return {**os.environ, "OMP_NUM_THREADS": "1", **loopback, **more}


def free_port() -> str:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return str(each.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `ramekin WORDS…` as two processes, each with the variables that a launcher leaves it."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> list["subprocess.Popen[str]"]:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "ramekin", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(**meeting, **variables, RANK=str(rank), LOCAL_RANK=str(rank)),
            )
            for rank in range(2)
        ]
        started.extend(processes)
        return processes

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ends(processes: list["subprocess.Popen[str]"]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    told = [process.communicate(timeout=SECONDS) for process in processes]
    return [(process.returncode, *each) for process, each in zip(processes, told, strict=True)]


def losses(folder: str) -> list[float]:
    events = map(json.loads, (Path(folder) / "events.jsonl").read_text().splitlines())
    return [event["loss"] for event in events if event["event"] == "step"]


@pytest.mark.parametrize("adapter", ["none", pytest.param("lora", marks=pytest.mark.slow)])
def test_two_processes_leave_what_one_leaves(base: Path, ramekin: Run, start: Start, adapter: str) -> None:
    words = (*TRAIN, "max_steps=3", f"adapter={adapter}")
    assert ramekin(*words, "output=one")[0] == 0
    first, second = ends(start(*words, "output=two", "--json"))
    assert first[0] == 0, first
    assert second == (0, "", ""), "the first alone talks"
    assert json.loads(first[1])["steps"] == 3
    assert first[2].count("step 3: ") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["base", "one", "two"]
    assert {path.name for path in Path("two").iterdir()} == {path.name for path in Path("one").iterdir()}
    assert losses("two") == pytest.approx(losses("one"), rel=1e-5)
    assert "on 2 processes" in Path("two/report.md").read_text()
    again = ends(start(*words, "output=two"))
    assert [each[0] for each in again] == [0, 0]
    assert "two is finished already" in again[0][1]
    assert again[1] == (0, "", "")


def test_a_signal_to_one_stops_both_after_one_step_and_one_goes_on(base: Path, start: Start) -> None:
    words = (*TRAIN, "max_steps=150", "output=run", "eval_split=")
    processes = start(*words)
    log = Path("run.unfinished/events.jsonl")
    deadline = time.monotonic() + SECONDS
    while not (log.is_file() and '"loss"' in log.read_text()):
        assert time.monotonic() < deadline and all(each.poll() is None for each in processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    first, second = ends(processes)
    assert (first[0], second[0]) == (6, 6), (first, second)
    assert second[2] == ""
    stopped = len(losses("run.unfinished"))
    assert 1 <= stopped < 150, "it was stopped on the way"
    assert f"stopped by a signal after step {stopped}; the state is saved: run.unfinished" in first[2]
    assert [path.name for path in Path("run.unfinished/state").iterdir()] == [f"step-{stopped:06d}"]
    done = launched("ramekin", *words)
    assert done.returncode == 0 and f"continuing after step {stopped}" in done.stderr, done.stderr
    assert len(losses("run")) == 150


def test_an_error_of_all_is_told_once(base: Path, start: Start) -> None:
    Path("run.unfinished").mkdir()
    Path("run.unfinished/config.yaml").write_text("seed: 5\n")
    first, second = ends(start(*TRAIN, "max_steps=1", "output=run"))
    assert (first[0], second) == (2, (2, "", ""))
    assert "unfinished run of another configuration" in first[2]


def test_an_error_before_the_processes_meet_names_the_process(base: Path, start: Start) -> None:
    first, second = ends(start(*TRAIN, "max_step=1", "output=run"))
    assert (first[0], second[0]) == (2, 2)
    assert first[2].startswith("error: ") and second[2].startswith("error: process 1: ")


def test_other_verbs_are_the_work_of_one(base: Path, start: Start) -> None:
    first, _ = ends(start("evaluate", "model=base", "task=mini/rte"))
    assert first[0] == 2
    assert "ramekin evaluate is the work of one process" in first[2]


@pytest.mark.parametrize("words", ["sweep train seed=1,2", "study name=mini", "mix plan mixture=mini"])
def test_so_are_grids_and_mixtures(
    words: str, ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, told = ramekin(*words.split())
    assert code == 2 and f"ramekin {words.split()[0]} is the work of one process" in told
    assert not list(tmp_path.iterdir())


def launched(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=environment(MASTER_PORT=free_port(), HF_HOME=str(Path("hf").absolute())),
    )


def by_accelerate(config: str, *words: str) -> "subprocess.CompletedProcess[str]":
    path = ROOT / "configs" / "accelerate" / f"{config}.yaml"
    return launched(
        *("accelerate.commands.launch", "--config_file", str(path), "--main_process_port", free_port()),
        *("-m", "ramekin", *TRAIN, "device=cpu", *words),
    )


@pytest.mark.parametrize("config", ["cpu", "fsdp2"])
def test_accelerate_launches_two_processes(base: Path, ramekin: Run, config: str) -> None:
    words = ("max_steps=2", "log_every=1", "optimizer=adafactor")
    done = by_accelerate(config, *words, "output=run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("saved run") == 1
    assert "on 2 processes" in Path("run/report.md").read_text()
    assert ramekin(*TRAIN, *words, "output=one")[0] == 0
    assert losses("run") == pytest.approx(losses("one"), rel=1e-5)
    ours, one = load_file("run/model.safetensors"), load_file("one/model.safetensors")
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in one.items()}
    for name, tensor in one.items():
        assert (ours[name] - tensor).norm() <= 1e-4 * tensor.norm(), name


def test_what_the_launcher_may_not_ask_for_is_told_once_and_leaves_nothing(base: Path, start: Start) -> None:
    fsdp1 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}
    first, second = ends(start(*TRAIN, "max_steps=1", "output=run", **fsdp1))
    assert (first[0], second) == (2, (2, "", ""))
    assert "fsdp_config.fsdp_version: expected 2, got 1; fix: set it to 2" in first[2]
    assert sorted(path.name for path in Path().iterdir()) == ["base"]


@pytest.mark.slow
def test_torchrun_launches_two_processes_and_hands_a_signal_on(base: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
            *("--master_port", free_port(), "-m", "ramekin", *TRAIN),
            *("device=cpu", "max_steps=4000", "output=run", "eval_split="),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        log = Path("run.unfinished/events.jsonl")
        deadline = time.monotonic() + SECONDS
        while not (log.is_file() and log.read_text().count('"loss"') > 2):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert err.count("error: stopped by SIGTERM after step") == 1
    assert len(list(Path("run.unfinished/state").iterdir())) == 1
