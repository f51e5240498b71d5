"""ramekin's mode `t0` against T0's own way: inputs repeated for each option, padded, with transformers alone.

    python benchmarks/parity_t0.py --data DIR

T0's way is written anew in `t0_ranking.py` from the rules of bigscience-workshop/t-zero. It takes the number
of options from the first row of a batch, so rows are given to it apart by how many options they have. Models
and rows are those of `parity_lm_eval.py`. The log-probabilities are compared with T0's in float64, and with
T0's own fp32 `log_softmax`, which errs on CPUs by up to 1e-5 a token; predictions with the latter.

What is not there is skipped by name. Prints a table and, last, one JSON line; exits 1 where a log-probability
is more than 1e-4 away, or a prediction differs.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from evaluate_models import random_model, taught_model
from evaluate_rows import MULTIPLE_CHOICE, read_sets
from t0_ranking import rank_like_t0
from transformers import PreTrainedTokenizerFast

from ramekin.evaluate.runner import evaluate
from ramekin.evaluate.sets import EvalSet
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.text.example import Example
from ramekin.weights.seq2seq import load_model

TOLERANCE = 1e-4
MAX_TOKENS = 1024
"""Where T0 cuts, on the same side as ramekin."""


@dataclass(frozen=True)
class Row:
    """One model on one set."""

    model: str
    task: str
    rows: int
    options: tuple[int, int]
    """The fewest and the most of a row."""
    cut: int
    difference: float
    """The largest of a log-probability, T0's `log_softmax` in float64."""
    default_difference: float
    """The same, in fp32."""
    differing_predictions: int
    accuracy: float
    """ramekin's."""


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data sets")
    parser.add_argument("--tokenizer", type=Path, help="a T5 tokenizer; by default beside DIR")
    parser.add_argument("--rows", type=int, default=40, help="rows a set (40)")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(MULTIPLE_CHOICE))
    parser.add_argument("--model", type=Path, help="a checkpoint with a tokenizer, instead of the two")
    parser.add_argument("--folder", type=Path, help="keeps the models; by default a temporary one")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer_folder = args.tokenizer or args.data.resolve().parent / "tokenizer"
    tokenizer = load_tokenizer(tokenizer_folder)
    found = read_sets(args.tasks, args.data, tokenizer, rows=args.rows)
    rows = []
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = args.folder or Path(temporary)
        examples = [example for each in found.sets for example in each.examples[::2]]
        if args.model:
            models = {args.model.name: args.model}
        else:
            small = random_model(folder / "random-small", "flan-t5-small", tokenizer_folder=tokenizer_folder)
            place = folder / "taught-tiny"
            tiny = taught_model(
                place, "tiny", examples, tokenizer, tokenizer_folder=tokenizer_folder, steps=150
            )
            models = {"random": small, "taught": tiny}
        for name, place in models.items():
            model = load_model(place)
            for each in found.sets:
                rows.append(_compare(name, model, load_tokenizer(place), each))
                print(_line(rows[-1]), flush=True)
    for words in found.skipped:
        print(f"skipped: {words}")
    worst = max(row.difference for row in rows)
    differing = sum(row.differing_predictions for row in rows)
    facts = {
        "benchmark": "parity_t0",
        "rows": sum(row.rows for row in rows),
        "max_difference": worst,
        "max_difference_fp32_softmax": max(row.default_difference for row in rows),
        "predictions_that_differ": differing,
        "skipped": found.skipped,
        "sets": [asdict(row) for row in rows],
    }
    print(json.dumps(facts, ensure_ascii=False))
    return 0 if worst <= TOLERANCE and not differing else 1


def _compare(name: str, model: Any, tokenizer: PreTrainedTokenizerFast, each: EvalSet) -> Row:
    """One model on one set, both ways."""
    part = evaluate(model, tokenizer, [each], mode="t0", max_input_tokens=MAX_TOKENS).tasks[0]
    ours = {p.id: (list(p.option_scores.values()), p.prediction) for p in part.predictions}
    difference = default_difference = 0.0
    differing = cut = 0
    for examples in _by_options(each.examples):
        exact = rank_like_t0(model, tokenizer, examples, softmax_dtype=torch.float64)
        default = rank_like_t0(model, tokenizer, examples)
        cut += default.cut
        for place, example in enumerate(examples):
            values, prediction = ours[example.provenance.id]
            difference = max(difference, _apart(values, exact.log_probs[place]))
            default_difference = max(default_difference, _apart(values, default.log_probs[place]))
            differing += prediction != example.options[default.predictions[place]]
    counts = [len(example.options) for example in each.examples]
    return Row(
        model=name,
        task=each.task.name,
        rows=len(each.examples),
        options=(min(counts), max(counts)),
        cut=cut,
        difference=difference,
        default_difference=default_difference,
        differing_predictions=differing,
        accuracy=sum(p.correct for p in part.predictions) / part.n,
    )


def _by_options(examples: Sequence[Example]) -> list[list[Example]]:
    """The examples apart by how many options they have."""
    ordered = sorted(examples, key=lambda example: len(example.options))
    return [list(group) for _, group in groupby(ordered, key=lambda example: len(example.options))]


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def _line(row: Row) -> str:
    return (
        f"{row.model:7} {row.task:36} {row.rows:4} rows of {row.options[0]} to {row.options[1]} options, "
        f"{row.cut} cut: {row.difference:.1e} apart ({row.default_difference:.1e} by fp32 log_softmax), "
        f"{row.differing_predictions} predictions differ; accuracy {row.accuracy:.3f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
