"""How fast a built mixture starts, and how much memory it holds, by its number of tasks and rows.

    python benchmarks/mixture_start.py                                  1,836 tasks, 10 million rows (minutes)
    python benchmarks/mixture_start.py --tasks 200 --rows 200000

Makes a folder of task files with data and a cache of their tokens, built by ramekin from a few rows a task;
then lengthens each shard to its share of the rows. A start is everything from the mixture's name to the
tokens of the first step (imports aside); it is measured in processes of their own, with the files in the
page cache, and for a tenth of the rows too. Memory is what the process holds for itself (anonymous pages of
smaps_rollup) after 50 steps, less before. Prints a table and, last, one JSON line.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

_TASK = """
source: {local: own/NAME, obtain: made here, splits: {train: train}}
columns: {text: string, label: integer}
kind: classification
options: ["no", "yes"]
answer: label
metrics: [accuracy]
templates:
  ask: "Is it NAME? {{ text }} ||| {{ answer }}"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.child is not None:
        print(json.dumps(_start(options.child, options)))
        return 0
    figures = {}
    with tempfile.TemporaryDirectory(prefix="mixture-start-", dir=options.folder) as folder:
        for rows in (options.rows // 10, options.rows):
            root = Path(folder) / str(rows)
            began = time.perf_counter()
            _make(root, tasks=options.tasks, rows=rows)
            made = time.perf_counter() - began
            runs = [_in_a_process(root, options) for _ in range(options.rounds)]
            figures[rows] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            size = sum(path.stat().st_size for path in root.rglob("*.safetensors"))
            found = figures[rows]
            print(
                f"{options.tasks:,} tasks, {rows:,} rows, {size / 1e9:.2f} GB (made in {made:.0f} s): "
                f"start {found['start_seconds']:.2f} s, its first step {found['step_seconds']:.3f} s, "
                f"memory {found['memory_mb']:.1f} MB",
                flush=True,
            )
            shutil.rmtree(root)
    print(json.dumps({"benchmark": "mixture_start", "tasks": options.tasks, "by_rows": figures}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=1836, help="tasks (1836)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows over all tasks (10,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="processes a size (3)")
    parser.add_argument("--global-batch", type=int, default=64, help="examples a step (64)")
    parser.add_argument("--folder", type=Path, help="where to make the files; some GB")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser


def _in_a_process(root: Path, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(root), "--global-batch", str(options.global_batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


# -- what is measured


def _start(root: Path, options: argparse.Namespace) -> dict[str, float]:
    from ramekin.recipes.mixtures.prepare import shards_folder
    from ramekin.train.mixture_feed import LeafShards, MixtureFeed

    before = _anonymous_bytes()
    began = time.perf_counter()
    index = _prepared(root, rebuild=False)
    leaves = [LeafShards(x.name, x.rate, x.shards, x.sizes, x.num_variants) for x in index.leaves]
    feed = MixtureFeed(leaves, folder=shards_folder(root / "cache"), epoch_examples=index.epoch_examples)
    ready = time.perf_counter()
    feed.examples(0, seed=0, global_batch=options.global_batch)
    first = time.perf_counter()
    for step in range(1, 50):
        feed.examples(step * 997, seed=0, global_batch=options.global_batch)
    return {
        "start_seconds": first - began,
        "index_seconds": ready - began,
        "step_seconds": first - ready,
        "memory_mb": (_anonymous_bytes() - before) / 1e6,
    }


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Anonymous:")).split()[1])


def _prepared(root: Path, *, rebuild: bool):
    from ramekin.recipes.mixture_config import MixtureConfig
    from ramekin.recipes.mixtures.build import How
    from ramekin.recipes.mixtures.leaf import Teaching
    from ramekin.recipes.mixtures.prepare import prepare_mixture
    from ramekin.recipes.mixtures.shards import Tokens
    from ramekin.recipes.mixtures.tokens import tokenizer_sha256
    from ramekin.recipes.places import Places
    from ramekin.recipes.progress import SilentProgress

    tokens = Tokens(root / "tokenizer", tokenizer_sha256(root / "tokenizer"), 64, 16)
    places = Places(data_root=root / "data", tasks_root=(root / "tasks",))
    return prepare_mixture(
        MixtureConfig(name=str(root / "all.yaml")),
        How(tokens, places, 0, Teaching()),
        draws=lambda _: 0 if rebuild else 1,
        cache=root / "cache",
        num_workers=1,
        progress=SilentProgress(),
    )


# -- what it is measured on


def _make(root: Path, *, tasks: int, rows: int) -> None:
    """Task files, data, vocabulary, and a built cache whose shards have their share of the rows."""
    from dataclasses import replace

    from ramekin.recipes.mixtures.index import read_index, write_index
    from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer

    names = [f"t{number:04d}" for number in range(tasks)]
    (root / "tasks" / "own").mkdir(parents=True)
    for name in names:
        (root / "tasks" / "own" / f"{name}.yaml").write_text(_TASK.replace("NAME", name))
        (root / "data" / "own" / name).mkdir(parents=True)
        lines = "".join(json.dumps({"text": f"a wet day {n}", "label": n % 2}) + "\n" for n in range(4))
        (root / "data" / "own" / name / "train.jsonl").write_text(lines)
    (root / "all.yaml").write_text("description: all of them\ntasks: ['own/*']\n")
    texts = [f"Is it t0123456789? a wet day {n} yes no" for n in range(50)]
    save_tokenizer(train_tokenizer(texts, vocab_size=60), root / "tokenizer")
    _prepared(root, rebuild=True)
    (path,) = (root / "cache" / "indexes").iterdir()
    index = read_index(path)
    assert index is not None
    each = -(-rows // tasks)
    leaves = tuple(
        replace(
            leaf,
            examples=each,
            sizes=tuple(_lengthened(root / "cache" / "shards" / s, each) for s in leaf.shards),
        )
        for leaf in index.leaves
    )
    write_index(path, replace(index, leaves=leaves, epoch_examples=each * tasks, draws=each * tasks))


def _lengthened(path: Path, rows: int) -> int:
    """The shard with so many rows: its own, again and again, with some forty tokens each."""
    from ramekin.tensors.cache import Shard, write_shard

    shard = Shard(path)
    facts = shard.facts
    few = [shard.example(place) for place in range(len(shard))]
    few = [item.__class__(item.input_ids * 3, item.target_ids, item.provenance) for item in few]
    write_shard(
        path,
        (few[row % len(few)] for row in range(rows)),
        task=facts.task,
        split=facts.split,
        vocab_size=64,
        about=facts.about,
    )
    return rows


if __name__ == "__main__":
    sys.exit(main())
