"""ramekin against lm-eval 0.4.13: every option's log-likelihood and the four accuracies of multiple choice.

    python benchmarks/parity_lm_eval.py --venv FOLDER --data DIR    (makes the environment there first)

lm-eval's seq2seq path and ramekin score the same prompts and options with the same checkpoints: one of random
weights in Flan-T5-small's shape, and a tiny one that was taught some of the rows. lm-eval's constructor
replaces an untied head by the embedding; `config.tie_word_embeddings = False` on the loaded model keeps it
from that, and so it is compared. What it scores without is shown beside it. It is asked for
`softmax_dtype=float64`: by default it sums 32,128 exponentials in fp32 as torch's `log_softmax` does on CPUs,
whose error of 1e-5 a token adds up over the tokens of an option; that is shown too. Its accuracies (`acc`,
`acc_norm`, `acc_bytes`, `acc_mutual_info`) are its own evaluator's, per row and over the rows.

DIR holds the data sets as `PATH/NAME/SPLIT.parquet` and, beside it or by `--tokenizer`, the folder
`tokenizer`. What is not there is skipped by name. `--report FOLDER` keeps lm-eval's result files.

Prints a table and, last, one JSON line; exits 1 where a log-likelihood is more than 1e-4 away or an accuracy
differs.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from evaluate_models import random_model, taught_model
from evaluate_peers import LM_EVAL, REQUIREMENTS, Peer, environment
from evaluate_rows import MULTIPLE_CHOICE, read_sets, write_rows
from transformers import PreTrainedModel

from ramekin.evaluate.runner import evaluate
from ramekin.evaluate.sets import EvalSet
from ramekin.infer.rank import rank
from ramekin.tensors.tokenizer import EOS_ID, load_tokenizer, token_ids
from ramekin.weights.seq2seq import load_model

Values: TypeAlias = list[list[float]]

TOLERANCE = 1e-4
MAX_TOKENS = 4096
"""lm-eval keeps the last tokens of longer inputs, ramekin the first: here nobody cuts."""


@dataclass(frozen=True)
class Row:
    """One model on one set."""

    model: str
    task: str
    rows: int
    pairs: int
    largest: float
    """The largest magnitude of a log-likelihood, in nats."""
    difference: float
    """The largest to lm-eval's, options given the prompt and given `</s>` alone."""
    default_difference: float
    """The same, of its log-likelihoods with its default `softmax_dtype`."""
    differing_rows: int
    """Rows of which an accuracy is not the same."""
    metrics: Mapping[str, float]
    """lm-eval's."""
    differing_metrics: tuple[str, ...]
    tied_difference: float
    """The largest of lm-eval's own without the workaround to lm-eval's with it."""
    tied_agreement: float
    """The share of rows whose most probable option is the same without the workaround."""
    tied_acc: float


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, required=True, help="lm-eval's environment, made if need be")
    parser.add_argument("--data", type=Path, required=True, help="the data sets")
    parser.add_argument("--tokenizer", type=Path, help="a T5 tokenizer; by default beside DIR")
    parser.add_argument("--rows", type=int, default=40, help="rows a set (40)")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(MULTIPLE_CHOICE))
    parser.add_argument("--model", type=Path, help="a checkpoint with a tokenizer, instead of the two")
    parser.add_argument("--folder", type=Path, help="keeps the models; by default a temporary one")
    parser.add_argument("--report", type=Path, help="a folder for lm-eval's result files")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    python = environment(args.venv.resolve(), REQUIREMENTS["lmeval"])
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        tokenizer_folder = (args.tokenizer or args.data.resolve().parent / "tokenizer").resolve()
        found = read_sets(args.tasks, args.data, load_tokenizer(tokenizer_folder), rows=args.rows)
        models = (
            {args.model.name: args.model.resolve()}
            if args.model
            else _models(folder, tokenizer_folder, found.sets)
        )
        rows = []
        for name, model in models.items():
            job = {"model": str(model), "max_length": MAX_TOKENS}
            with Peer(python, LM_EVAL, job, Path(temporary) / f"peer-{name}", threads=args.threads) as peer:
                for row in _compare(peer, name, model, found.sets, Path(temporary), args.report):
                    rows.append(row)
                    print(_line(row), flush=True)
    for words in found.skipped:
        print(f"skipped: {words}")
    worst = max(row.difference for row in rows)
    differing = sum(row.differing_rows for row in rows)
    metrics = [f"{row.model} {row.task} {name}" for row in rows for name in row.differing_metrics]
    facts = {
        "benchmark": "parity_lm_eval",
        "peer": "lm_eval==0.4.13",
        "pairs": sum(row.pairs for row in rows),
        "max_difference": worst,
        "max_difference_default_softmax": max(row.default_difference for row in rows),
        "rows": sum(row.rows for row in rows),
        "rows_that_differ": differing,
        "metrics_that_differ": metrics,
        "without_workaround": {
            "max_difference": max(row.tied_difference for row in rows),
            "agreement": round(
                sum(row.tied_agreement * row.rows for row in rows) / sum(row.rows for row in rows), 3
            ),
        },
        "skipped": found.skipped,
        "sets": [asdict(row) for row in rows],
    }
    print(json.dumps(facts, ensure_ascii=False))
    return 0 if worst <= TOLERANCE and not differing and not metrics else 1


def _models(folder: Path, tokenizer_folder: Path, sets: Sequence[EvalSet]) -> dict[str, Path]:
    """One of random weights, and one that was taught half of the rows."""
    examples = [example for each in sets for example in each.examples[::2]]
    tokenizer = load_tokenizer(tokenizer_folder)
    return {
        "random": random_model(folder / "random-small", "flan-t5-small", tokenizer_folder=tokenizer_folder),
        "taught": taught_model(
            folder / "taught-tiny", "tiny", examples, tokenizer, tokenizer_folder=tokenizer_folder, steps=150
        ),
    }


def _compare(
    peer: Peer, name: str, folder: Path, sets: Sequence[EvalSet], temporary: Path, report: Path | None
) -> Iterator[Row]:
    """One model on every set, by both."""
    names = [each.task.name.replace("/", "_") for each in sets]
    files = {
        key: str(write_rows(temporary / f"{key}.jsonl", each)) for key, each in zip(names, sets, strict=True)
    }
    output = str(report.resolve() / name) if report else None
    theirs = peer.ask("evaluate", rows=files, batch_size=8, output=output)
    default = peer.ask("evaluate", rows=files, batch_size=8, exact=False)
    tied = peer.ask("evaluate", rows=files, batch_size=8, mended=False)
    model = load_model(folder)
    for key, each in zip(names, sets, strict=True):
        ours = _log_probs(model, folder, each), _decisions(model, folder, each)
        yield _compare_set(name, each, *ours, theirs[key], default[key], tied[key])


def _compare_set(
    name: str,
    each: EvalSet,
    log_probs: tuple[Values, Values],
    decided: Sequence[Mapping[str, float]],
    theirs: Mapping[str, Any],
    default: Mapping[str, Any],
    tied: Mapping[str, Any],
) -> Row:
    """One model's log-likelihoods of one set beside lm-eval's, with and without the workaround."""
    given, alone = log_probs
    ours = [[*a, *b] for a, b in zip(given, alone, strict=True)]
    metrics = {metric: sum(row[metric] for row in decided) / len(decided) for metric in decided[0]}
    counts = [len(example.options) for example in each.examples]
    return Row(
        model=name,
        task=each.task.name,
        rows=len(each.examples),
        pairs=sum(map(len, ours)),
        largest=max(abs(value) for row in ours for value in row),
        difference=_apart(ours, theirs["log_probs"]),
        default_difference=_apart(ours, default["log_probs"]),
        differing_rows=sum(a != b for a, b in zip(decided, theirs["rows"], strict=True)),
        metrics=theirs["metrics"],
        differing_metrics=tuple(m for m in metrics if abs(metrics[m] - theirs["metrics"][m]) > 1e-12),
        tied_difference=_apart(tied["log_probs"], theirs["log_probs"]),
        tied_agreement=_agreement(tied["log_probs"], theirs["log_probs"], counts),
        tied_acc=tied["metrics"]["acc"],
    )


def _log_probs(model: PreTrainedModel, folder: Path, each: EvalSet) -> tuple[Values, Values]:
    """ramekin's, by lm-eval's rules: of the options given the prompt with `</s>`, and given `</s>` alone.

    No option has a `</s>` of its own.
    """
    tokenizer = load_tokenizer(folder)
    inputs = [[*ids, EOS_ID] for ids in token_ids(tokenizer, [e.inputs for e in each.examples])]
    options = [token_ids(tokenizer, example.options) for example in each.examples]
    given = rank(model, inputs, options, batch_tokens=4096)
    return given, rank(model, [[EOS_ID]] * len(inputs), options, batch_tokens=4096)


def _decisions(model: PreTrainedModel, folder: Path, each: EvalSet) -> list[dict[str, float]]:
    """Whether each of the four rules chooses the right option of each row, by `mode=lm_eval`."""
    (part,) = evaluate(
        model, load_tokenizer(folder), [each], mode="lm_eval", max_input_tokens=MAX_TOKENS
    ).tasks
    rows = []
    for found in part.predictions:
        chosen = {"none": found.prediction, **found.others}
        right = (found.target, *found.references)
        names = {"none": "acc", "characters": "acc_norm", "bytes": "acc_bytes", "pmi": "acc_mutual_info"}
        rows.append({name: float(chosen[rule] in right) for rule, name in names.items()})
    return rows


def _apart(ours: Values, theirs: Values) -> float:
    pairs = [pair for rows in zip(ours, theirs, strict=True) for pair in zip(*rows, strict=True)]
    return max(abs(a - b) for a, b in pairs)


def _agreement(some: Values, others: Values, counts: Sequence[int]) -> float:
    def best(row: Sequence[float], count: int) -> int:
        return row.index(max(row[:count]))

    same = [best(a, n) == best(b, n) for a, b, n in zip(some, others, counts, strict=True)]
    return sum(same) / len(same)


def _line(row: Row) -> str:
    metrics: Any = " ".join(f"{name} {value:.3f}" for name, value in row.metrics.items())
    return (
        f"{row.model:7} {row.task:36} {row.rows:4} rows {row.pairs:5} pairs to {row.largest:6.1f} nats, "
        f"{row.difference:.1e} apart ({row.default_difference:.1e} by its default softmax), "
        f"{row.differing_rows} rows differ; {metrics}; without the workaround "
        f"{row.tied_difference:.3g} apart, {row.tied_agreement:.0%} choose the same, acc {row.tied_acc:.3f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
