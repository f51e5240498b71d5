"""Who merges in `benchmarks/merge.py`, by the command or script of a user, and how it is timed.

A command runs below a launcher of a few MB, which takes its time, processor time and peak resident memory
from the kernel when it ends; a child's peak begins with what its parent held, which must therefore be small.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from merge_checkpoints import Family

METHODS = ("average", "task_arithmetic", "ties")
SCALING_FACTOR = 0.3
DENSITY = 0.2

# torch first, so that the peer draws in no other build; the rest at once, so that it fits together.
REQUIREMENTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "fusionbench": (("torch==2.13.0",), ("fusion-bench==0.2.33", "transformers==4.57.1")),
    "mergekit": (("torch==2.13.0",), ("mergekit==0.1.5",)),
}

LAUNCHER = """
import contextlib, json, os, resource, sys, time
report, limit, *command = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    with contextlib.suppress(OSError):  # should memory run out all the same, this is what goes
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
started = time.perf_counter()
child = os.posix_spawn(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
with open(report, "w") as file:
    json.dump({"status": os.waitstatus_to_exitcode(status), "seconds": seconds,
               "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}, file)
"""

RAW = """
import os, sys
syncing, output, *inputs = sys.argv[1:]
buffer = bytearray(1 << 20)
view = memoryview(buffer)
for path in inputs:
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
with open(inputs[-1], "rb", buffering=0) as source, open(output, "wb", buffering=0) as copy:
    while count := source.readinto(buffer):
        copy.write(view[:count])
    if syncing == "fsync":
        os.fsync(copy.fileno())
"""

IN_PLACE = """
import json, sys, time
from pathlib import Path
from ramekin.cli.heap import keep_freed_memory
from ramekin.merge.inputs import ModelInput
from ramekin.recipes.in_place import InPlaceModel

keep_freed_memory()  # as the command does
found, base, factors, *models = sys.argv[1:]
inputs = [ModelInput(Path(each).name, Path(each)) for each in models]
model = InPlaceModel(Path(base), inputs, device="cpu", in_memory=False)
merges = [
    model.merge({"name": "task_arithmetic", "scaling_factor": factor}) for factor in json.loads(factors)
]
told = {"seconds": [each.seconds for each in merges], "bytes_read": [each.bytes_read for each in merges]}
Path(found).write_text(json.dumps(told))
"""

FUSIONBENCH = """
import json, sys
from fusion_bench.method import SimpleAverageAlgorithm, TaskArithmeticAlgorithm, TiesMergingAlgorithm
from fusion_bench.modelpool import Seq2SeqLMPool

job = json.loads(sys.argv[1])
make = {
    "average": SimpleAverageAlgorithm,
    "task_arithmetic": TaskArithmeticAlgorithm,
    "ties": TiesMergingAlgorithm,
}
load = {"_target_": "transformers.AutoModelForSeq2SeqLM.from_pretrained"}
models = {name: {**load, "pretrained_model_name_or_path": folder} for name, folder in job["models"].items()}
merged = make[job["method"]](**job["settings"]).run(Seq2SeqLMPool(models=models, tokenizer=None))
merged.save_pretrained(job["output"])
"""

_FUSIONBENCH_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "average": {},
    "task_arithmetic": {"scaling_factor": SCALING_FACTOR},
    "ties": {"scaling_factor": SCALING_FACTOR, "threshold": 20, "merge_func": "sum", "remove_keys": []},
}
_MERGEKIT_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "average": {"merge_method": "linear"},
    "task_arithmetic": {
        "merge_method": "task_arithmetic",
        "parameters": {"lambda": SCALING_FACTOR, "normalize": False},
    },
    "ties": {
        "merge_method": "ties",
        "parameters": {"lambda": SCALING_FACTOR, "normalize": False, "density": DENSITY},
    },
}
_RAMEKIN_WORDS: Mapping[str, tuple[str, ...]] = {
    "average": ("method=simple_average",),
    "task_arithmetic": ("method=task_arithmetic", f"method.scaling_factor={SCALING_FACTOR}"),
    "ties": (
        "method=ties_merging",
        f"method.scaling_factor={SCALING_FACTOR}",
        f"method.density={DENSITY}",
        "method.scope=model",
    ),
}


class Taken(NamedTuple):
    """What a process took, and how it ended: `done`, `failed`, `timed out`, `out of memory`."""

    outcome: str
    seconds: float
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@dataclass(frozen=True)
class Place:
    """Where a process leaves what it writes: its output, its words, its configuration."""

    folder: Path

    @property
    def output(self) -> Path:
        """What it makes; removed before the next."""
        return self.folder / "out"

    @property
    def told(self) -> Path:
        """Where it says what it measured itself."""
        return self.folder / "told.json"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log.txt"


# -- the commands


def ramekin(method: str, family: Family, place: Place) -> list[str]:
    """An average is given no base, as the peers' are not: none of them reads it."""
    return [sys.executable, "-m", "ramekin", "merge", *_RAMEKIN_WORDS[method], *_words(method, family, place)]


def ramekin_in_place(family: Family, place: Place, factors: Sequence[float]) -> list[str]:
    """Task arithmetic at every scaling factor in a loaded model, as a sweep forms its points."""
    words = [str(place.told), str(family.base), json.dumps(list(factors)), *map(str, family.tuned)]
    return [sys.executable, "-c", IN_PLACE, *words]


def raw(method: str, family: Family, place: Place, *, fsync: bool) -> list[str]:
    """Read all that the method reads, then copy one file."""
    read = inputs(method, family)
    return [
        sys.executable,
        "-S",
        "-E",
        "-c",
        RAW,
        "fsync" if fsync else "",
        str(place.output),
        *map(str, read),
    ]


def inputs(method: str, family: Family) -> list[Path]:
    """The weight files that a method reads: an average needs no base."""
    files = family.weight_files()
    return [file for file in files if file.parent != family.base] if method == "average" else files


def peer_command(peer: str, environments: Path, method: str, family: Family, place: Place) -> list[str]:
    """A peer's merge; its configuration is written to the place."""
    binaries = environments / peer / "bin"
    if peer == "fusionbench":
        models = {folder.name: str(folder) for folder in family.tuned}
        models |= {} if method == "average" else {"_pretrained_": str(family.base)}
        job = {"method": method, "models": models, "output": str(place.output)}
        job["settings"] = _FUSIONBENCH_SETTINGS[method]
        script = place.folder / "fusionbench.py"
        script.write_text(FUSIONBENCH, encoding="utf-8")
        return [str(binaries / "python"), str(script), json.dumps(job)]
    config: dict[str, Any] = {**_MERGEKIT_SETTINGS[method], "dtype": "float32"}
    config["models"] = [{"model": str(folder), "parameters": {"weight": 1.0}} for folder in family.tuned]
    if method != "average":
        config["base_model"] = str(family.base)
    written = place.folder / "mergekit.yaml"
    written.write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
    # Asked for a tokenizer where the models have none, it would make one up.
    words = ["--no-copy-tokenizer", "--quiet"]
    return [str(binaries / "mergekit-yaml"), str(written), str(place.output), *words]


def make_environments(peers: Sequence[str], folder: Path) -> None:
    """An environment a peer, made if it is not there yet."""
    for peer in peers:
        python = folder / peer / "bin" / "python"
        if python.exists():
            continue
        subprocess.run([sys.executable, "-m", "venv", str(folder / peer)], check=True)
        for together in REQUIREMENTS[peer]:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *together], check=True)


def _words(method: str, family: Family, place: Place) -> list[str]:
    base = [] if method == "average" else [f"base={_quoted(family.base)}"]
    models = ",".join(map(_quoted, family.tuned))
    return [*base, f"models=[{models}]", f"output={_quoted(place.output)}"]


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)


# -- a process


def take(
    command: Sequence[str], place: Place, *, timeout_seconds: float | None = None, limit_bytes: int = 0
) -> Taken:
    """Run a command to its end and say what it took.

    Args:
        command: a program by its path, and its words.
        place: where its output goes to the log.
        timeout_seconds: after which it is ended.
        limit_bytes: of memory of its own that it may ask for; 0: as much as it likes.
    """
    report = place.folder / "report.json"
    report.unlink(missing_ok=True)
    launcher = [sys.executable, "-S", "-E", "-c", LAUNCHER, str(report), str(limit_bytes), *command]
    with place.log.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            launcher,
            cwd=place.folder,
            env=_environment(ours=command[0] == sys.executable),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return Taken("timed out", float(timeout_seconds or 0))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if not report.is_file():
        raise SystemExit(f"{command[0]} could not be started:\n{log_tail(place)}")
    found = json.loads(report.read_text(encoding="utf-8"))
    return Taken(_outcome(found.pop("status"), place), **found)


def log_tail(place: Place) -> str:
    return place.log.read_text(encoding="utf-8", errors="replace")[-4000:]


def _outcome(status: int, place: Place) -> str:
    if status == 0:
        return "done"
    said = log_tail(place)
    signs = ("MemoryError", "can't allocate memory", "not enough memory", "Cannot allocate memory")
    return "out of memory" if status == -signal.SIGKILL or any(sign in said for sign in signs) else "failed"


def _environment(*, ours: bool) -> dict[str, str]:
    """No network for anybody; a peer does not find our modules, and we find them from any folder.

    Everyone keeps compiled modules, as installed packages do: the uncounted runs compile them.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = environment.pop("PYTHONPATH", "")
    if ours and found:
        environment["PYTHONPATH"] = os.pathsep.join(
            str(Path(each).resolve()) for each in found.split(os.pathsep)
        )
    return environment
