"""Merging beside FusionBench and mergekit: time and memory of whole processes, and the raw cost of the bytes.

    python benchmarks/merge.py --venv FOLDER --folder DIR       8 models of Flan-T5-base's shape; 35 minutes
    python benchmarks/merge.py --shape tiny --rounds 1 --peers none             a try of some seconds
    python benchmarks/merge.py --peers none --rounds 0 --memory 2 --xxl         memory at 11 B parameters

Generated fp32 checkpoints, kept in DIR, are merged by each side's command or script, in turns: each round
runs every side once, beginning with another. Before each run the inputs are read through and the disk is left
to finish, so that the page cache is warm and nobody waits for another's output. One run before the rounds is
not counted; there the peers' averages and task arithmetic are compared with ramekin's, tensor by tensor. The
peers' environments are made in the folder of `--venv`.

`raw` is a process that reads every file that the method reads, 1 MiB at a time, and then copies one; the
start is the same merge of checkpoints of width 8. `by raw` is a merge beyond its start, by raw. TIES is cut
over the whole model by ramekin and by FusionBench, which holds all deltas in memory and may run out of it,
and tensor by tensor by mergekit: the peers' is run `--ties-rounds` times, after the rounds, with a limit.

Memory is the peak that was resident, less that of a merge of two checkpoints of width 8. What was only read
is not in it; of a peer that maps its files, the pages of these are. Where more models are merged than were
generated, folders hold links to the same files. Linux only.

Prints its tables and, last, one JSON line.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import merge_sides as sides
from merge_checkpoints import (
    SHAPES,
    Family,
    largest_difference,
    linked_family,
    make_family,
    make_sharded_family,
    num_parameters,
    t5_tensors,
    weight_files,
)
from merge_sides import METHODS, REQUIREMENTS, Place, Taken

FACTORS = [round(0.1 * step, 1) for step in range(11)]
READ = {"average": "models", "task_arithmetic": "base and models", "ties": "base and models"}


@dataclass(frozen=True)
class Side:
    """One row of the table."""

    what: str
    who: str
    command: Callable[[], list[str]]
    reads: tuple[Path, ...]


@dataclass
class Bench:
    """The place where sides run, and what each took."""

    place: Place
    say: Callable[[str], None]
    runs: dict[tuple[str, str], list[Taken]] = field(default_factory=dict)

    def take(self, side: Side, **limits: Any) -> Taken:
        """Run a side with the cache warm and the disk idle; what it took, not yet counted."""
        self.clear()
        for path in side.reads:
            _read_through(path)
        os.sync()
        taken = sides.take(side.command(), self.place, **limits)
        self.say(f"{side.what:<16} {side.who:<12} {taken.outcome:<13} {taken.seconds:8.2f} s "
                 f"{taken.cpu_seconds:8.2f} CPU s {taken.peak_bytes / 1e6:8.0f} MB")  # fmt: skip
        return taken

    def done(self, side: Side) -> Taken:
        """The same, of a side that must end well."""
        taken = self.take(side)
        if taken.outcome != "done":
            raise SystemExit(f"{side.who}, {side.what}: {taken.outcome}\n{sides.log_tail(self.place)}")
        return taken

    def count(self, side: Side, taken: Taken) -> None:
        """Let a run count."""
        self.runs.setdefault((side.what, side.who), []).append(taken)

    def clear(self) -> None:
        """Remove the output."""
        if self.place.output.is_dir():
            shutil.rmtree(self.place.output)
        self.place.output.unlink(missing_ok=True)

    def median(self, what: str, who: str) -> float | None:
        """The median of the seconds of the runs that ended well, None where there are none."""
        seconds = [taken.seconds for taken in self.runs.get((what, who), []) if taken.outcome == "done"]
        return statistics.median(seconds) if seconds else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.peers and options.venv is None:
        parser.error("give --venv FOLDER, where the peers' environments are or will be, or --peers none")

    def say(line: str) -> None:
        if not options.json:
            print(line, flush=True)

    sides.make_environments(options.peers, (options.venv or Path()).resolve())
    with _folder(options.folder) as root:
        _check_space(root, options)
        began = time.perf_counter()
        family = make_family(root / options.shape, options.shape, options.models, seed=options.seed)
        start = make_family(root / "start", "start", max(2, options.models), seed=options.seed)
        say(f"{options.models} models and their base ready in {time.perf_counter() - began:.0f} s")
        bench = Bench(Place(root / "runs"), say)
        bench.place.folder.mkdir(exist_ok=True)
        differences = _timed(bench, family, start, options)
        memory = _memory(bench, family, start, options.shape, options)
        if options.xxl:
            sizes = {**SHAPES["xxl"], "num_layers": options.xxl_layers}
            large = make_sharded_family(root / f"xxl-{options.xxl_layers}", sizes, seed=options.seed)
            memory += _memory(bench, large, start, "xxl", options)
        sweep = _sweep(bench, family, options) if options.sweep else None
        bench.clear()
    methods = {method: _figures(bench, method, options.peers) for method in options.methods if options.rounds}
    for line in _table(bench, methods, memory, sweep, options):
        say(line)
    print(json.dumps(_json(bench, methods, memory, sweep, differences, options)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def several(*names: str) -> Callable[[str], list[str]]:
        def parse(text: str) -> list[str]:
            chosen = [] if text == "none" else text.split(",")
            if unknown := [each for each in chosen if each not in names]:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
            return chosen

        return parse

    def counts(text: str) -> list[int]:
        return [] if text == "none" else [int(each) for each in text.split(",")]

    parser.add_argument("--shape", choices=("base", "small", "tiny"), default="base", help="(base)")
    parser.add_argument("--models", type=int, default=8, help="models to merge (8)")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each side (5)")
    parser.add_argument("--methods", type=several(*METHODS), default=list(METHODS), help="(all three)")
    parser.add_argument(
        "--peers", type=several(*REQUIREMENTS), default=list(REQUIREMENTS), help="or none (both)"
    )
    parser.add_argument("--venv", type=Path, help="a folder with or for the peers' environments")
    parser.add_argument("--ties-rounds", type=int, default=1, help="runs of each peer's TIES (1)")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for a peer's TIES (1800)")
    parser.add_argument("--memory", type=counts, default=[2, 32], help="counts of models, or none (2,32)")
    parser.add_argument("--xxl", action="store_true", help="memory at Flan-T5-XXL's shape too, 52 GB of disk")
    parser.add_argument("--xxl-layers", type=int, default=24, help="of each stack, for a try (24)")
    parser.add_argument("--sweep", action="store_true", help="also 11 scaling factors in place")
    parser.add_argument("--folder", type=Path, help="keeps the checkpoints; by default a temporary one")
    parser.add_argument("--seed", type=int, default=0, help="of the checkpoints (0)")
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    return parser


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="merge-") as folder:
            yield Path(folder).resolve()
    else:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()


def _check_space(root: Path, options: argparse.Namespace) -> None:
    """Refuse to begin what the disk cannot hold."""
    size = 4 * num_parameters(t5_tensors(SHAPES[options.shape]))
    there = sum(file.stat().st_size for file in (root / options.shape).glob("*/*.safetensors"))
    # Two outputs: while the peers are compared, ramekin's is kept.
    needed = size * (options.models + 1) - there + size * 2
    if options.xxl:
        large = 2 * num_parameters(t5_tensors({**SHAPES["xxl"], "num_layers": options.xxl_layers}))
        files = {file.stat().st_ino: file.stat().st_size for file in root.glob("xxl-*/*/*.safetensors")}
        needed += int(large * 2.4) - sum(files.values())
    if shutil.disk_usage(root).free < needed + 1e9:
        raise SystemExit(f"{needed / 1e9:.1f} GB and some room are needed in {root}; try --shape small")


# -- time


def _timed(bench: Bench, family: Family, start: Family, options: argparse.Namespace) -> dict[str, float]:
    """All rounds and the peers' TIES; the peers' largest differences from ramekin."""
    if not options.rounds:
        return {}
    everyone = _sides(bench.place, family, start, options)
    differences = _warm_up(bench, everyone)
    for number in range(options.rounds):
        bench.say(f"round {number + 1} of {options.rounds}")
        first = number * len(everyone) // options.rounds
        for side in everyone[first:] + everyone[:first]:
            bench.count(side, bench.done(side))
    if "ties" in options.methods:
        for _ in range(options.ties_rounds):
            for peer in options.peers:
                side = _peer_side(bench.place, family, peer, "ties", options)
                limit = _free_memory() * 9 // 10
                bench.count(side, bench.take(side, timeout_seconds=options.timeout, limit_bytes=limit))
    return differences


def _sides(place: Place, family: Family, start: Family, options: argparse.Namespace) -> list[Side]:
    """Everyone who takes part in the rounds."""
    found = []
    small = Family(start.base, start.tuned[: options.models])
    for read in dict.fromkeys(READ[method] for method in options.methods):
        method = next(method for method in METHODS if READ[method] == read)
        files = tuple(sides.inputs(method, family))
        for who, fsync in (("raw", False), ("raw, fsync", True)):
            command = _later(sides.raw, method, family, place, fsync=fsync)
            found.append(Side(read, who, command, files))
    for method in options.methods:
        for who, which in (("ramekin", family), ("its start", small)):
            files = tuple(sides.inputs(method, which))
            found.append(Side(method, who, _later(sides.ramekin, method, which, place), files))
        if method != "ties":
            found += [_peer_side(place, family, peer, method, options) for peer in options.peers]
    return found


def _peer_side(place: Place, family: Family, peer: str, method: str, options: argparse.Namespace) -> Side:
    command = _later(sides.peer_command, peer, options.venv.resolve(), method, family, place)
    return Side(method, peer, command, tuple(sides.inputs(method, family)))


def _later(make: Callable[..., list[str]], *words: Any, **more: Any) -> Callable[[], list[str]]:
    return lambda: make(*words, **more)


def _warm_up(bench: Bench, everyone: Sequence[Side]) -> dict[str, float]:
    """Run everyone once, uncounted; how far the peers' results are from ramekin's."""
    differences: dict[str, float] = {}
    reference = bench.place.folder / "reference"
    bench.say("a run that is not counted")
    for side in everyone:
        bench.done(side)
        if side.who == "ramekin":
            shutil.rmtree(reference, ignore_errors=True)
            bench.place.output.rename(reference)
        elif side.who in REQUIREMENTS:
            found = largest_difference(reference, bench.place.output)
            differences[f"{side.what} {side.who}"] = found
            bench.say(f"{side.what:<16} {side.who:<12} differs by at most {found:.3g}")
    shutil.rmtree(reference, ignore_errors=True)
    return differences


def _sweep(bench: Bench, family: Family, options: argparse.Namespace) -> dict[str, float]:
    """11 scaling factors formed in a loaded model beside one merge to disk; medians of rounds in turns.

    Of the former the time of the merging alone, as the sweep itself tells it: the rest is loading the model
    and answering. Of the latter what it takes beyond its start, which is measured once more beside it.
    """
    files = tuple(sides.inputs("task_arithmetic", family))
    every = _later(sides.ramekin_in_place, family, bench.place, FACTORS)
    one = Side("one factor", "ramekin", _later(sides.ramekin, "task_arithmetic", family, bench.place), files)
    pair = [one, Side("11 factors", "ramekin", every, files)]
    merging: list[float] = []
    for number in range(max(1, options.rounds)):
        for side in pair[:: 1 if number % 2 else -1]:
            bench.count(side, bench.done(side))
            if side is not one:
                told = json.loads(bench.place.told.read_text(encoding="utf-8"))
                merging.append(sum(told["seconds"]))
                if told["bytes_read"][0] <= 0 or any(told["bytes_read"][1:]):
                    raise SystemExit(f"the models were not read once, but {told['bytes_read']} bytes")
    whole, start = bench.median("one factor", "ramekin"), bench.median("task_arithmetic", "its start")
    merge = (whole or 0.0) - (start or 0.0)
    return {
        "merging_seconds": round(statistics.median(merging), 3),
        "one_merge_seconds": round(merge, 3),
        "by_one_merge": round(statistics.median(merging) / merge, 3),
    }


# -- memory


def _memory(
    bench: Bench, family: Family, start: Family, shape: str, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The peak of a merge of so many models, beyond that of a merge of two tiny ones."""
    rows = []
    two = Family(start.base, start.tuned[:2])
    for method in options.methods if options.memory else []:
        side = Side(method, "its start", _later(sides.ramekin, method, two, bench.place), ())
        reference = bench.done(side).peak_bytes
        for count in options.memory:
            linked = linked_family(bench.place.folder / "linked", family, count)
            command = _later(sides.ramekin, method, linked, bench.place)
            taken = bench.done(Side(f"{method}, {count}", shape, command, ()))
            written = sum(file.stat().st_size for file in weight_files(bench.place.output))
            rows.append({
                "shape": shape, "method": method, "models": count,
                "beyond_start_mb": round((taken.peak_bytes - reference) / 1e6, 1),
                "start_mb": round(reference / 1e6, 1), "seconds": round(taken.seconds, 2),
                "written_mb": round(written / 1e6, 1),
            })  # fmt: skip
            shutil.rmtree(bench.place.folder / "linked")
    bench.clear()
    return rows


# -- what is shown


def _figures(bench: Bench, method: str, peers: Sequence[str]) -> dict[str, Any]:
    """What the JSON line holds of a method."""
    whole, start = (bench.median(method, who) for who in ("ramekin", "its start"))
    raw, synced = (bench.median(READ[method], who) for who in ("raw", "raw, fsync"))
    assert whole is not None and start is not None and raw is not None and synced is not None
    theirs = {peer: bench.median(method, peer) for peer in peers}
    completed = [seconds for seconds in theirs.values() if seconds is not None]
    return {
        "seconds": round(whole, 3),
        "start_seconds": round(start, 3),
        "raw_seconds": round(raw, 3),
        "raw_fsync_seconds": round(synced, 3),
        "by_raw": round((whole - start) / raw, 3),
        "by_raw_fsync": round((whole - start) / synced, 3),
        "whole_by_raw": round(whole / raw, 3),
        "speedup_vs": {peer: seconds and round(seconds / whole, 2) for peer, seconds in theirs.items()},
        "speedup_vs_best_peer": round(min(completed) / whole, 2) if completed else None,
    }


def _table(
    bench: Bench,
    methods: Mapping[str, Mapping[str, Any]],
    memory: Sequence[Mapping[str, Any]],
    sweep: Mapping[str, float] | None,
    options: argparse.Namespace,
) -> Iterator[str]:
    tensors = t5_tensors(SHAPES[options.shape])
    yield (
        f"\n{options.shape}: {options.models} models of {num_parameters(tensors):,} parameters, fp32, and "
        f"their base; medians of {options.rounds} rounds, whole processes"
    )
    for (what, who), runs in bench.runs.items():
        yield _line(what, who, runs, methods.get(what, {}))
    for method, found in methods.items():
        yield (
            f"{method}: beyond its start {found['by_raw']:.2f} by raw ({found['by_raw_fsync']:.2f} where raw "
            f"waits for the disk), whole {found['whole_by_raw']:.2f}"
        )
    for row in memory:
        yield (
            f"memory, {row['shape']}, {row['method']} of {row['models']}: {row['beyond_start_mb']:.1f} MB "
            f"beyond the {row['start_mb']:.0f} MB of its start, {row['seconds']:.1f} s"
        )
    if sweep is not None:
        yield (
            f"merging for {len(FACTORS)} scaling factors in place: {sweep['merging_seconds']:.2f} s, "
            f"{sweep['by_one_merge']:.2f} of one merge to disk beyond its start "
            f"({sweep['one_merge_seconds']:.2f} s)"
        )


def _line(what: str, who: str, runs: Sequence[Taken], found: Mapping[str, Any]) -> str:
    done = [taken for taken in runs if taken.outcome == "done"]
    if not done:
        return f"  {what:<16} {who:<12} {runs[-1].outcome} after {runs[-1].seconds:.0f} s"
    seconds = [taken.seconds for taken in done]
    speedup = found.get("speedup_vs", {}).get(who)
    return (
        f"  {what:<16} {who:<12}{statistics.median(seconds):9.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"
        f"{statistics.median(taken.cpu_seconds for taken in done):9.2f} CPU s"
        f"{statistics.median(taken.peak_bytes for taken in done) / 1e6:8.0f} MB"
        + (f"   ramekin is {speedup:.1f} times as fast" if speedup else "")
    )


def _json(
    bench: Bench,
    methods: Mapping[str, Mapping[str, Any]],
    memory: Sequence[Mapping[str, Any]],
    sweep: Mapping[str, float] | None,
    differences: Mapping[str, float],
    options: argparse.Namespace,
) -> dict[str, Any]:
    headlines = {
        f"{method}_{key}": found[key]
        for method, found in methods.items()
        for key in ("speedup_vs_best_peer", "by_raw", "by_raw_fsync")
    }
    runs = {
        f"{what}: {who}": {
            "outcomes": sorted({taken.outcome for taken in runs}),
            "seconds": [round(taken.seconds, 3) for taken in runs],
            "cpu_seconds": [round(taken.cpu_seconds, 3) for taken in runs],
            "peak_mb": [round(taken.peak_bytes / 1e6, 1) for taken in runs],
        }
        for (what, who), runs in bench.runs.items()
    }
    return {
        "benchmark": "merge",
        **headlines,
        "methods": methods,
        "memory": memory,
        "sweep": sweep,
        "largest_difference": differences,
        "runs": runs,
        "shape": options.shape,
        "models": options.models,
        "rounds": options.rounds,
        "peers": {
            peer: [each for together in REQUIREMENTS[peer] for each in together] for peer in options.peers
        },
        "command": " ".join(["python benchmarks/merge.py", *sys.argv[1:]]),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        **_machine(),
    }


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "machine": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
    }


def _free_memory() -> int:
    """Bytes that a process can have without anything being lost but the page cache."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])


def _read_through(path: Path) -> None:
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


if __name__ == "__main__":
    sys.exit(main())
