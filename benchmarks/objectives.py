"""Three ways to learn and to rank: DIRECT, CHANNEL and FLIPPED (Ye et al. 2022, arXiv 2210.02969).

    python benchmarks/objectives.py                         1,000 steps each
    python benchmarks/objectives.py --steps 400 --seed 1    something else

Each is `ramekin train recipe=mini/flipped` with its own objective: the same base, rows, draws, steps and
rate. A model is asked what it learned (mode=rank, channel and flipped) on the same validation rows: of all
four tasks under their own words, then of mini/rte under a second pair that it was trained under, under
`agree` and `disagree`, which mini/rte never had in training while the others did, and under words that no
task had. CHANNEL and FLIPPED are compared with DIRECT, paired, by McNemar's exact test.

Needs neither network nor data; one thread. Prints a table and, last, one JSON line.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ramekin.evaluate.evaluation import TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.runner import EvalSet, evaluate
from ramekin.evaluate.statistics import compare, compare_averages
from ramekin.evaluate.suites import entry_score, suite_average
from ramekin.infer.kept import versions
from ramekin.recipes.data import evaluation_sets
from ramekin.recipes.places import Places
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.text.render import Style
from ramekin.weights.seq2seq import load_model

MODE_OF: Mapping[str, str] = {"direct": "rank", "channel": "channel", "flipped": "flipped"}
"""An objective, and the mode that asks what it learned."""
TASKS = ("mini/rte", "mini/mrpc", "mini/qnli", "mini/qqp")
WORDS: Sequence[tuple[str, str]] = (
    ("yes", "no"),
    ("right", "wrong"),
    ("agree", "disagree"),
    ("correct", "incorrect"),
    ("positive", "negative"),
)
"""What stands for yes and no; agree and disagree are new to mini/rte, the last two pairs to all tasks."""


@dataclass(frozen=True)
class Row:
    """One model on one task under one pair of words."""

    objective: str
    task: str
    words: str
    accuracy: float
    low: float
    high: float
    n: int
    ties: int
    difference: float = 0.0
    """From DIRECT."""
    difference_low: float = 0.0
    difference_high: float = 0.0
    p_value: float = 1.0


def main() -> int:
    """Train, ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/objectives"), help="keeps the models")
    parser.add_argument("--rows", type=int, default=1000, help="rows a task (1000)")
    parser.add_argument("--steps", type=int, default=1000, help="of training (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of training (0)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows: list[Row] = []
    direct: dict[tuple[str, str], TaskEvaluation] = {}
    averages = []
    for objective in MODE_OF:
        folder = trained(args.output, objective, args.steps, args.seed)
        parts = _answers(folder, objective, args.rows)
        for part in parts:
            key = (part.task, "/".join(part.words.values()) or "yes/no")
            rows.append(_row(objective, part, key[1], direct.setdefault(key, part)))
            print(_line(rows[-1]), flush=True)
        averages.append(_average(objective, parts[: len(TASKS)], list(direct.values())[: len(TASKS)]))
        print(_line(averages[-1]), flush=True)
    facts = {
        "benchmark": "objectives",
        "rows": args.rows,
        "steps": args.steps,
        "seed": args.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": versions(),
        "accuracies": [asdict(row) for row in rows],
        "averages": [asdict(row) for row in averages],
    }
    print(json.dumps(facts))
    return 0


def trained(output: Path, objective: str, steps: int, seed: int) -> Path:
    """The model of an objective, trained unless it is there."""
    folder = output / f"{objective}-{steps}-{seed}"
    if not folder.is_dir():
        words = (
            "recipe=mini/flipped",
            f"objective={objective}",
            f"mode={MODE_OF[objective]}",
            f"max_steps={steps}",
            "eval_every=null",
            f"seed={seed}",
            f"output={folder}",
        )
        subprocess.run([sys.executable, "-m", "ramekin", "train", *words], check=True, stdout=sys.stderr)
    return folder


def _answers(folder: Path, objective: str, rows: int) -> list[TaskEvaluation]:
    """A model's answers: all tasks by their own words, then mini/rte by the others."""
    model, tokenizer, mode = load_model(folder), load_tokenizer(folder), MODES[MODE_OF[objective]]
    found: list[TaskEvaluation] = []
    for yes, no in WORDS:
        style = Style(words={} if yes == "yes" else {"yes": yes, "no": no})
        names = TASKS if yes == "yes" else TASKS[:1]
        read = evaluation_sets(
            names, split="validation", templates="first", limit=rows, places=Places(), mode=mode, style=style
        )
        sets = [
            EvalSet(
                each.task,
                each.template,
                each.split,
                each.examples,
                each.records.origin,
                flipped=each.flipped,
                words=each.words,
            )
            for each in read
        ]
        found += evaluate(model, tokenizer, sets, mode=mode).tasks
    return found


def _row(objective: str, part: TaskEvaluation, words: str, direct: TaskEvaluation) -> Row:
    score, found = part.headline, compare(direct, part)
    return Row(
        objective,
        part.task,
        words,
        score.value,
        score.low,
        score.high,
        part.n,
        part.ties,
        found.difference,
        found.low,
        found.high,
        found.p_value,
    )


def _average(objective: str, parts: Sequence[TaskEvaluation], direct: Sequence[TaskEvaluation]) -> Row:
    """The mean of the tasks under their own words."""
    entries = {part.name: entry_score([part]) for part in parts}
    score = suite_average(entries, dict.fromkeys(entries, 1 / len(entries)))
    found = compare_averages(direct, parts)
    return Row(
        objective,
        "average",
        "yes/no",
        score.value,
        score.low,
        score.high,
        score.n,
        sum(part.ties for part in parts),
        found.difference,
        found.low,
        found.high,
        found.p_value,
    )


def _line(row: Row) -> str:
    return (
        f"{row.objective:8} {row.task:10} {row.words:20} {100 * row.accuracy:5.1f} "
        f"({100 * row.low:.1f}…{100 * row.high:.1f})  {100 * row.difference:+6.1f} "
        f"({100 * row.difference_low:+.1f}…{100 * row.difference_high:+.1f})  p {row.p_value:.2g}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
