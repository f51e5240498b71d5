"""What models that have learned nothing score on the suites: chance, if the scoring is honest.

    python benchmarks/honest_zero.py --data DIR [--models 8] [--suites glue,t0,mmlu,bbh]

An untrained model mostly gives one answer to everything, whatever the input, so that on a task of unequal
classes one such model scores the share of one of them: far from the chance level, with a narrow interval.
Which answer that is, its random weights decide; over several models the mean is the chance level. So several
are made, of the shape and vocabulary of tiny/base with other seeds, and put to each suite by `ramekin
evaluate models=[…] mode=flan` (options ranked, free text written); the mean of their headlines stands beside
the suite's chance level with Student's 95 % interval over models. Its last line is one JSON line.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from ramekin.recipes.bases.tiny import ensure_tiny_base
from ramekin.recipes.progress import SilentProgress
from ramekin.weights.checkpoint import save_checkpoint
from ramekin.weights.config import read_config, t5_config
from ramekin.weights.lineage import Lineage
from ramekin.weights.seq2seq import build_model

SHAPE = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")
LIMITS = {"glue": 200, "t0": 100, "mmlu": 12, "bbh": 20}
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
    suite: str, models: list[Path], data: Path, folder: Path
) -> tuple[list[float], float, int, int]:
    """Each model's headline, the suite's chance level, the tasks that are there and that are missing."""
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
        [*command, f"output={folder / suite}", f"answers={folder / 'answers'}"],
        check=True,
        stdout=subprocess.PIPE,
    )
    found = json.loads(done.stdout)["models"]
    one = next(iter(found.values()))
    values = [each["headline"]["value"] for each in found.values()]
    return values, one["headline"]["chance"], len(one["entries"]), len(one["missing"])


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--suites", default="glue,t0,mmlu,bbh")
    asked = parser.parse_args()
    from scipy.stats import t

    told = {}
    print(f"{'suite':6} {'tasks':>9} {'chance':>7} {'mean':>6} {'95 % interval':>15}  models from, to")
    with tempfile.TemporaryDirectory() as made:
        models = untrained(Path(made), asked.models)
        for suite in asked.suites.split(","):
            values, chance, there, missing = headlines(suite, models, asked.data, Path(made))
            mean = statistics.mean(values)
            half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
            inside = bool(mean - half <= chance <= mean + half)
            told[suite] = {
                "mean": mean,
                "half": float(half),
                "chance": chance,
                "inside": inside,
                "values": values,
            }
            print(
                f"{suite:6} {f'{there} of {there + missing}':>9} {100 * chance:7.1f} {100 * mean:6.1f} "
                f"{100 * (mean - half):6.1f} to {100 * (mean + half):5.1f}  {100 * min(values):.1f}, "
                f"{100 * max(values):.1f}{'' if inside else '  CHANCE IS OUTSIDE'}"
            )
    print(json.dumps({"honest_zero": told, "models": asked.models, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
