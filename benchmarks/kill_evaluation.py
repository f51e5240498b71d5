"""kill -9 the command `ramekin evaluate` at random moments, give it again until it ends, and compare.

    python benchmarks/kill_evaluation.py [--kills 40] [--beside 3] [--limit 60] [--seed 0]

A small random T5 is put seven tasks of the built-in world: ranked, written, drawn (40 samples, majority) and
scored. Once undisturbed; then the same command is killed at a random moment and given again, with the answers
that it left, until it ends, and so on from nothing until there were so many kills. Every fifth moment is
drawn from the command's whole life, the others from the time after it has kept something new. After each kill
no kept answer may be gone; in the end none may have been computed twice, and scores and predictions must be
the undisturbed run's, bit for bit.

Then the same with other batches, another order of tasks, and two workers: predictions must be equal and
log-probabilities within 1e-5. Of the single samples those are counted that differ, as they may where rounding
swaps the 40th and the 41st token, between which top_k=40 parts. The last line is JSON.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BATCH_TOKENS = 1200
PARTS = (
    ("ranked", {"mode": "rank", "templates": "all"}, ("mini/rte", "mini/mnli")),
    ("written", {"mode": "fusionbench"}, ("mini/cola", "mini/stsb")),
    ("drawn", {"mode": "self_consistency", "max_new_tokens": 6}, ("mini/tally", "mini/chain")),
    ("scored", {"mode": "perplexity", "metric": "perplexity"}, ("mini/squad",)),
)
TASKS = tuple(task for _, _, tasks in PARTS for task in tasks)


def make_model(folder: Path) -> None:
    from ramekin.catalog import load_task
    from ramekin.sources.world import generate
    from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer
    from ramekin.text.render import render
    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.config import t5_config
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.seq2seq import build_model

    texts = []
    for name in TASKS:
        task = load_task(name)
        for row, record in enumerate(generate(name.removeprefix("mini/"), "train", n=60, seed=0)):
            example = render(task, record, split="train", row=row)
            texts += [example.inputs, example.targets]
    vocabulary = folder.with_name("vocabulary")
    vocabulary.mkdir()
    save_tokenizer(train_tokenizer(texts, vocab_size=400), vocabulary)
    config = t5_config(vocab_size=416, d_model=96, d_kv=16, d_ff=192, num_layers=3, num_heads=6)
    model = build_model(config, seed=0, tied=False)
    lineage = Lineage(kind="dense", operation="stand-in", seed=0)
    save_checkpoint(model, folder, tokenizer_folder=vocabulary, lineage=lineage)


def write_suite(path: Path, *, is_reversed: bool = False) -> None:
    """The tasks as a suite, JSON being YAML."""
    step = -1 if is_reversed else 1
    parts = [{"title": title, **settings, "tasks": tasks[::step]} for title, settings, tasks in PARTS]
    suite = {"description": "what is killed", "splits": ["validation"], "parts": parts[::step]}
    path.write_text(json.dumps(suite))


@dataclass
class Run:
    """One evaluation from its first start to its end, in a folder of its own."""

    root: Path
    words: Sequence[str]
    kept: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Answers that were kept before a kill and not after it."""

    @property
    def output(self) -> Path:
        """Its report's folder."""
        return self.root / "out"

    @property
    def is_done(self) -> bool:
        """Whether its report is written."""
        return (self.output / "report.json").exists()

    def command(self) -> list[str]:
        """The same each time."""
        run = "from ramekin.cli import main; main()"
        more = [f"output={self.output}", f"answers={self.root / 'answers'}"]
        return [sys.executable, "-c", run, "evaluate", *self.words, *more]

    def finish(self) -> float:
        """Give the command and let it end; its seconds."""
        start = time.perf_counter()
        done = subprocess.run(self.command(), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the command failed with {done.returncode}:\n{done.stderr}")
        self.look()
        return time.perf_counter() - start

    def kill(self, moment: float, *, after_something_new: bool) -> bool:
        """Give the command and kill it, with its workers, so many seconds after; False: it had ended."""
        before = self._size()
        process = subprocess.Popen(
            self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        while after_something_new and process.poll() is None and self._size() == before:
            time.sleep(0.005)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate()
        self.look()
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the command failed with {process.returncode}:\n{told.decode()}")
        return process.returncode != 0

    def _size(self) -> int:
        return sum(path.stat().st_size for path in (self.root / "answers").rglob("*.jsonl"))

    def look(self) -> None:
        """Count the whole lines of each key."""
        found = Counter(
            json.loads(line)["key"]
            for path in (self.root / "answers").rglob("*.jsonl")
            for line in path.read_bytes().split(b"\n")[:-1]
        )
        self.lost += (self.kept - found).total()
        self.kept = found

    @property
    def computed_twice(self) -> int:
        """Lines beyond the first of a key."""
        return self.kept.total() - len(self.kept)

    def result(self) -> dict[str, Any]:
        """Scores and predictions by file, without times."""
        evaluation = without_times(json.loads((self.output / "evaluation.json").read_text()))
        files = sorted((self.output / "predictions").glob("*.jsonl"))
        rows = {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in files}
        return {"evaluation": evaluation, "predictions": rows}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k != "seconds"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def differences(one: Any, other: Any) -> Iterator[float]:
    """Of all floats; inf where anything else differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from differences(*pair)
    elif isinstance(one, float) and isinstance(other, float) and math.isfinite(one):
        yield abs(one - other)
    elif one != other:
        yield math.inf


def compared(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, int, int]:
    """The largest difference of a number in predictions, inf where anything else in them differs, samples
    aside; how many samples differ; of how many.
    """
    if one["predictions"].keys() != other["predictions"].keys():
        return math.inf, 0, 0
    largest, differing, total = 0.0, 0, 0
    for name, rows in one["predictions"].items():
        for row, its in zip(rows, other["predictions"][name], strict=True):
            samples, others = row.get("samples", []), its.get("samples", [])
            differing += sum(map(str.__ne__, samples, others))
            total += len(samples)
            beside = ("samples", "votes")
            plain = ({k: v for k, v in each.items() if k not in beside} for each in (row, its))
            largest = max(largest, *differences(*plain), 0.0)
    return largest, differing, total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--beside", type=int, default=3, help="kills of each run with other settings")
    parser.add_argument("--limit", type=int, default=60, help="rows of each task")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="ramekin-kill-"))
    try:
        found = measure(root, rng, options)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps({**found, "seed": options.seed, "versions": versions()}))
    wrong = found["lost"] or found["computed_twice"] or found["equal_runs"] != found["runs"]
    return 1 if wrong or any(each["largest_difference"] > 1e-5 for each in found["beside"].values()) else 0


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version(), **{n: version(n) for n in ("torch", "transformers")}}


def measure(root: Path, rng: random.Random, options: argparse.Namespace) -> dict[str, Any]:
    make_model(root / "model")
    write_suite(root / "suite.yaml")
    write_suite(root / "reversed.yaml", is_reversed=True)
    whole = [f"model={root / 'model'}", f"limit={options.limit}", "threads=1", "device=cpu", "seed=7"]
    words = [*whole, f"suite={root / 'suite.yaml'}", f"batch_tokens={BATCH_TOKENS}"]
    plain = Run(root / "whole", words)
    seconds = plain.finish()
    expected, answers = plain.result(), len(plain.kept)
    rows = sum(map(len, expected["predictions"].values()))
    print(f"undisturbed: {seconds:.1f} s, {rows} rows, {answers} answers, computed twice:", end=" ")
    print(plain.computed_twice, flush=True)
    answering = json.loads((plain.output / "evaluation.json").read_text())["seconds"]
    kills = runs = equal = lost = twice = in_vain = 0
    while kills < options.kills:
        run = Run(root / f"killed-{runs}", words)
        while kills < options.kills:
            before, soon = run.kept.total(), kills % 5 != 0
            moment = rng.uniform(0, 0.4 * answering if soon else seconds)
            if not run.kill(moment, after_something_new=soon):
                break
            kills, kept = kills + 1, run.kept.total()
            in_vain += kept == before
            told = "after the first new answer" if soon else "after the start"
            print(
                f"run {runs + 1:2d}, kill {kills:2d}, {moment:6.3f} s {told}: {before:4d} kept before, "
                f"{kept:4d} now",
                flush=True,
            )
            if run.is_done:
                break
        if not run.is_done:
            run.finish()
        same = run.result() == expected
        runs, equal = runs + 1, equal + same
        lost, twice = lost + run.lost, twice + run.computed_twice
        print(
            f"run {runs:2d} ends: {'equal' if same else 'DIFFERENT'}, lost {run.lost}, "
            f"computed twice {run.computed_twice}",
            flush=True,
        )
        shutil.rmtree(run.root)
    beside = {}
    for name, changed in (
        ("batch_tokens=300", [*words[:-1], "batch_tokens=300"]),
        ("batch_tokens=20000", [*words[:-1], "batch_tokens=20000"]),
        ("tasks reversed", [*whole, f"suite={root / 'reversed.yaml'}", words[-1]]),
        ("workers=2", [*words, "workers=2"]),
    ):
        run = Run(root / "beside", changed)
        killed = 0
        for _ in range(options.beside):
            killed += run.kill(rng.uniform(0, 0.4 * answering), after_something_new=True)
            if run.is_done:
                break
        else:
            run.finish()
        largest, differing, samples = compared(expected, run.result())
        lost, twice = lost + run.lost, twice + run.computed_twice
        beside[name] = {
            "kills": killed,
            "predictions_equal": largest < math.inf,
            "largest_difference": largest,
            "samples_that_differ": differing,
            "samples": samples,
        }
        print(
            f"{name}: {killed} kills, predictions {'equal' if largest < math.inf else 'DIFFER'}, largest "
            f"difference {largest:.1e}, {differing} of {samples} samples differ, lost {run.lost}, "
            f"computed twice {run.computed_twice}",
            flush=True,
        )
        shutil.rmtree(run.root)
    return {
        "kills": kills,
        "kills_before_anything_new_was_kept": in_vain,
        "runs": runs,
        "equal_runs": equal,
        "rows": rows,
        "answers": answers,
        "lost": lost,
        "computed_twice": twice + plain.computed_twice,
        "beside": beside,
    }


if __name__ == "__main__":
    raise SystemExit(main())
