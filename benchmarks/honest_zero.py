"""What models that have learned nothing score on the suites: chance, if the scoring is honest.

    python benchmarks/honest_zero.py --data DIR [--models 8] [--suites glue,t0,mmlu,bbh]

An untrained model mostly gives one answer to everything, whatever the input, so that on a task of unequal
classes it scores the share of one of them: away from the chance level, with a narrow interval. Which answer
that is, its random weights and the options' lengths decide. So several models are made, of the shape and
vocabulary of tiny/base with other seeds, and put to each suite by `ramekin evaluate models=[…] mode=flan`
(options ranked by their sums, by which the shorter one wins; free text written), and once more with
`mode.normalisation=tokens`, by which no length is favoured. The mean of their headlines stands beside
the suite's chance level with Student's 95 % interval over models, and how many of them have it within the
interval of their own result file. Its last line is one JSON line.
"""

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

import torch
from scipy.stats import t

from ramekin.recipes.bases.tiny import ensure_tiny_base
from ramekin.recipes.progress import SilentProgress
from ramekin.weights.checkpoint import save_checkpoint
from ramekin.weights.config import read_config, t5_config
from ramekin.weights.lineage import Lineage
from ramekin.weights.seq2seq import build_model

Interval: TypeAlias = tuple[float, float, float]
"""Value, low, high."""

SHAPE = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")
LIMITS = {"glue": 200, "t0": 100, "mmlu": 12, "bbh": 20}
RULES = {"sum": (), "tokens": ("mode.normalisation=tokens",)}
WORDS = {"t0": ["templates=all"], "bbh": ["mode.max_new_tokens=16"]}


def untrained(folder: Path, count: int) -> list[Path]:
    """So many checkpoints of random weights, with tiny/base's vocabulary."""
    base = ensure_tiny_base(SilentProgress())
    config = {name: read_config(base)[name] for name in SHAPE}
    made = []
    for seed in range(1, count + 1):
        model = build_model(t5_config(**config), seed=seed, tied=False)
        lineage = Lineage(kind="dense", operation="random", settings=config, seed=seed)
        save_checkpoint(model, folder / f"random{seed}", tokenizer_folder=base, lineage=lineage)
        made.append(folder / f"random{seed}")
    return made


def headlines(
    suite: str, rule: str, models: list[Path], data: Path, folder: Path
) -> tuple[list[Interval], float, int, int]:
    """Each model's headline, the suite's chance level, how many tasks are there and how many missing."""
    listed = ",".join(map(str, models))
    words = [
        f"models=[{listed}]",
        f"suite={suite}",
        "mode=flan",
        f"limit={LIMITS[suite]}",
        f"data_root={data}",
    ]
    command = [sys.executable, "-m", "ramekin", "evaluate", "--json", *words, *WORDS.get(suite, [])]
    done = subprocess.run(
        [*command, *RULES[rule], f"output={folder / f'{suite}-{rule}'}", f"answers={folder / 'answers'}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout)["models"]
    one = next(iter(found.values()))
    intervals = [
        (each["headline"]["value"], each["headline"]["low"], each["headline"]["high"])
        for each in found.values()
    ]
    return intervals, one["headline"]["chance"], len(one["entries"]), len(one["missing"])


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--suites", default="glue,t0,mmlu,bbh")
    asked = parser.parse_args()
    told = {}
    print(
        f"{'suite':6} {'by':6} {'tasks':>9} {'chance':>7} {'mean':>6} {'95 % interval':>15}  "
        f"{'models from, to':15}  with chance in their own interval"
    )
    with tempfile.TemporaryDirectory() as made:
        models = untrained(Path(made), asked.models)
        for suite, rule in itertools.product(asked.suites.split(","), RULES):
            intervals, chance, there, missing = headlines(suite, rule, models, asked.data, Path(made))
            values = [value for value, _, _ in intervals]
            holding = sum(low <= chance <= high for _, low, high in intervals)
            mean = statistics.mean(values)
            half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
            inside = mean - half <= chance <= mean + half
            told[f"{suite} {rule}"] = {
                "mean": mean,
                "half": half,
                "chance": chance,
                "inside": inside,
                "models": intervals,
                "holding": holding,
            }
            print(
                f"{suite:6} {rule:6} {f'{there} of {there + missing}':>9} {100 * chance:7.1f} "
                f"{100 * mean:6.1f} {100 * (mean - half):6.1f} to {100 * (mean + half):5.1f}  "
                f"{f'{100 * min(values):.1f}, {100 * max(values):.1f}':15}  {holding} of {len(values)}"
                f"{'' if inside else '  CHANCE IS OUTSIDE'}",
                flush=True,
            )
    print(json.dumps({"honest_zero": told, "models": asked.models, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
