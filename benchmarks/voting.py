"""Self-consistency beside greedy decoding, on the built-in world's tasks that are answered in steps.

    python benchmarks/voting.py                        600 steps, 800 rows a task
    python benchmarks/voting.py --rows 200 --seed 1    something else

A base of the world (`mini/study_base`, 0.8 million parameters) is trained on mini/ledger, tally, chain and
ranking with their steps, too briefly to be perfect. Then it answers validation rows in steps: greedily
(mode=cot), and by 40 samples at each of three temperatures (mode=self_consistency), of which the first 1,
5, 10, 20 and 40 vote; that fewer samples are the first of more is checked by asking the mode itself for
fewer. Differences from greedy are paired, by McNemar's exact test. What there is to vote for is told too:
how good one sample is on average, on how many rows one of the 40 is right, and on how many of those that
greedy has wrong the vote repeats its answer; and of mini/ledger, how the vote fares by the number of orders
that its steps can have.

Needs neither network nor data; one thread. Prints a table and, last, one JSON line; writes a report with
the curves. Exits 1 where the mode differs from the votes over its first samples on more than one row in a
hundred.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, permutations
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES, Mode
from ramekin.evaluate.reading import read_answer
from ramekin.evaluate.runner import EvalSet, evaluate
from ramekin.evaluate.statistics import compare
from ramekin.evaluate.voting import vote
from ramekin.infer.kept import versions
from ramekin.recipes.data import evaluation_sets
from ramekin.recipes.places import Places
from ramekin.report.values import Cell, CurveLine, Curves, Report, RunFacts
from ramekin.report.write import write_report
from ramekin.sources.world.lexicon import NUMBERS
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.text.metrics import score_answers
from ramekin.text.metrics.squad import normalised
from ramekin.weights.seq2seq import load_model

LEDGER = "mini/ledger"
TASKS = (LEDGER, "mini/tally", "mini/chain", "mini/ranking")
TEMPERATURES = (0.5, 0.7, 1.0)
VOTERS = (1, 5, 10, 20, 40)
USUAL = 0.7
"""The mode's own temperature, at which mini/ledger is looked at closely."""
CHECKED = 5
"""So many samples the mode is asked for itself."""
MIXTURE = f"""description: The world's tasks in steps, each target the steps and then the answer
tasks: [{", ".join(TASKS)}]
templates: plain
forms:
  - {{share: 1, cot: rationale}}
"""
RECIPE = (
    "model=mini/study_base",
    "max_steps={steps}",
    "global_batch=32",
    "micro_batch_tokens=2048",
    "optimizer=adafactor",
    "learning_rate=1e-2",
    "schedule=linear",
    "warmup_steps=30",
    "dropout=0.0",
    "log_every=25",
    "threads=1",
)


@dataclass(frozen=True)
class Row:
    """One way of answering on one task."""

    task: str
    temperature: float
    """0: greedy."""
    samples: int
    accuracy: float
    low: float
    high: float
    n: int
    difference: float = 0.0
    """From greedy."""
    difference_low: float = 0.0
    difference_high: float = 0.0
    p_value: float = 1.0
    ties: int = 0
    unread: int = 0
    """Samples of all rows together."""


@dataclass(frozen=True)
class Chances:
    """What there is to vote for, at one temperature."""

    task: str
    temperature: float
    one_sample: float
    """The mean accuracy of a sample."""
    some_sample: float
    """Rows on which one sample at least is right."""
    repeated: float
    """Of the rows that greedy has wrong, those on which all samples together come to the same answer."""
    mended: int
    spoiled: int


@dataclass(frozen=True)
class Orders:
    """Rows of mini/ledger whose changes can be taken in so many orders."""

    orders: int
    n: int
    greedy: float
    vote: float
    mended: int
    spoiled: int
    repeated: float
    """Of the rows that greedy has wrong, those on which all samples together come to the same answer."""
    texts: float
    """Different texts among a row's samples, on average."""


def main() -> int:
    """Train, ask, vote and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/voting"), help="keeps model and report")
    parser.add_argument("--rows", type=int, default=800, help="rows a task (800)")
    parser.add_argument("--steps", type=int, default=600, help="of training (600)")
    parser.add_argument("--seed", type=int, default=0, help="of training and of what is drawn (0)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    folder = trained(args.output, args.steps, args.seed)
    training = time.perf_counter() - started
    model, tokenizer = load_model(folder), load_tokenizer(folder)

    def asked(mode: Mode) -> tuple[TaskEvaluation, ...]:
        return evaluate(model, tokenizer, _sets(args.rows, mode), mode=mode, seed=args.seed).tasks

    greedy = asked(MODES["cot"])
    rows = [_row(part) for part in greedy]
    chances, differing, by_orders = [], 0, []
    for temperature in TEMPERATURES:
        mode = MODES["self_consistency"].changed(sampling_temperature=temperature, num_samples=max(VOTERS))
        drawn = asked(mode)
        for first, part in zip(greedy, drawn, strict=True):
            rows += [_row(voted(part, n, args.seed), first) for n in VOTERS]
            chances.append(_chances(first, part))
            if part.task == LEDGER and temperature == USUAL:
                by_orders = _by_orders(first, part)
        if temperature == TEMPERATURES[0]:
            fewer = asked(mode.changed(num_samples=CHECKED))
            differing = sum(map(_differing, fewer, (voted(part, CHECKED, args.seed) for part in drawn)))
    print(*_lines(rows, chances), *_order_lines(by_orders), sep="\n")
    facts = {
        "benchmark": "voting",
        "rows": args.rows,
        "steps": args.steps,
        "seed": args.seed,
        "differing_from_the_mode": differing,
        "training_seconds": round(training, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "versions": versions(),
        "accuracies": [asdict(row) for row in rows],
        "chances": [asdict(each) for each in chances],
        "orders": [asdict(each) for each in by_orders],
    }
    write_report(_report(rows, facts, args), args.output / "report")
    print(json.dumps(facts))
    return 1 if differing > args.rows * len(TASKS) / 100 else 0


def trained(output: Path, steps: int, seed: int) -> Path:
    """The model, trained unless it is there."""
    folder = output / f"model-{steps}-{seed}"
    if not folder.is_dir():
        output.mkdir(parents=True, exist_ok=True)
        mixture = output / "steps.yaml"
        mixture.write_text(MIXTURE, encoding="utf-8")
        words = (each.format(steps=steps) for each in RECIPE)
        command = ("train", f"mixture={mixture}", *words, f"seed={seed}", f"output={folder}")
        subprocess.run([sys.executable, "-m", "ramekin", *command], check=True, stdout=sys.stderr)
    return folder


def voted(part: TaskEvaluation, samples: int, seed: int) -> TaskEvaluation:
    """The same rows, of whose samples the first alone vote."""
    voting = [_voted(each, samples, part) for each in part.predictions]
    changed = replace(
        part,
        mode=part.mode.changed(num_samples=samples),
        predictions=tuple(prediction for prediction, _, _ in voting),
        ties=sum(tied for _, tied, _ in voting),
        unread_samples=sum(unread for _, _, unread in voting),
    )
    accepted = changed.answers.accepted
    judged = tuple(
        replace(each, correct=each.prediction in right)
        for each, right in zip(changed.predictions, accepted, strict=True)
    )
    changed = replace(changed, predictions=judged)
    return replace(changed, scores=(score_answers("accuracy", changed.answers, seed=seed),))


def _voted(each: Prediction, samples: int, part: TaskEvaluation) -> tuple[Prediction, bool, int]:
    options = each.options or part.options
    read = [read_answer(text, part.mode, options=options) for text in each.samples[:samples]]
    result = vote(read, form=str if options else normalised)
    changed = replace(
        each, prediction=result.answer or "", samples=each.samples[:samples], votes=result.votes
    )
    return changed, result.is_tied, result.unread


def _sets(rows: int, mode: Mode) -> list[EvalSet]:
    found = evaluation_sets(
        TASKS, split="validation", templates="first", limit=rows, places=Places(), mode=mode
    )
    return [
        EvalSet(each.task, each.template, each.split, each.examples, each.records.origin, metric="accuracy")
        for each in found
    ]


def _row(part: TaskEvaluation, greedy: TaskEvaluation | None = None) -> Row:
    score = part.headline
    row = Row(
        part.task,
        part.mode.sampling_temperature,
        part.mode.num_samples,
        score.value,
        score.low,
        score.high,
        part.n,
        ties=part.ties,
        unread=part.unread_samples if greedy is not None else score.unparsable,
    )
    if greedy is None:
        return row
    found = compare(greedy, part)
    return replace(
        row,
        difference=found.difference,
        difference_low=found.low,
        difference_high=found.high,
        p_value=found.p_value,
    )


def _chances(greedy: TaskEvaluation, drawn: TaskEvaluation) -> Chances:
    pairs = list(zip(greedy.predictions, drawn.predictions, strict=True))
    right = [
        [
            read_answer(text, drawn.mode, options=each.options or drawn.options) == each.target
            for text in each.samples
        ]
        for _, each in pairs
    ]
    wrong = [(one, other) for one, other in pairs if not one.correct]
    return Chances(
        drawn.task,
        drawn.mode.sampling_temperature,
        one_sample=sum(map(sum, right)) / sum(map(len, right)),
        some_sample=sum(map(any, right)) / len(right),
        repeated=sum(one.prediction == other.prediction for one, other in wrong) / max(1, len(wrong)),
        mended=sum(other.correct and not one.correct for one, other in pairs),
        spoiled=sum(one.correct and not other.correct for one, other in pairs),
    )


def orders_of(prompt: str) -> int:
    """In how many orders the changes that a prompt of mini/ledger tells of lead to the answer."""
    owned = dict(re.findall(r"the (\w+) has (?:exactly )?(\w+) \w+ \.", prompt))
    told = re.findall(r"then the (\w+) (gets|loses) (\w+) ", prompt)
    before = NUMBERS.index(owned[told[0][0]])
    changes = [NUMBERS.index(number) * (1 if verb == "gets" else -1) for _, verb, number in told]
    ways = set(permutations(changes))
    return sum(all(1 <= number <= 9 for number in accumulate(way, initial=before)) for way in ways)


def _by_orders(greedy: TaskEvaluation, drawn: TaskEvaluation) -> list[Orders]:
    pairs: dict[int, list[tuple[Prediction, Prediction]]] = {}
    for one, other in zip(greedy.predictions, drawn.predictions, strict=True):
        pairs.setdefault(orders_of(one.inputs), []).append((one, other))
    return [_of_orders(orders, own) for orders, own in sorted(pairs.items())]


def _of_orders(orders: int, pairs: Sequence[tuple[Prediction, Prediction]]) -> Orders:
    wrong = [(one, other) for one, other in pairs if not one.correct]
    return Orders(
        orders,
        len(pairs),
        greedy=sum(one.correct for one, _ in pairs) / len(pairs),
        vote=sum(other.correct for _, other in pairs) / len(pairs),
        mended=sum(other.correct and not one.correct for one, other in pairs),
        spoiled=sum(one.correct and not other.correct for one, other in pairs),
        repeated=sum(one.prediction == other.prediction for one, other in wrong) / max(1, len(wrong)),
        texts=sum(len(set(other.samples)) for _, other in pairs) / len(pairs),
    )


def _differing(one: TaskEvaluation, other: TaskEvaluation) -> int:
    """Rows on which two evaluations do not say the same."""
    pairs = zip(one.predictions, other.predictions, strict=True)
    return sum(a.prediction != b.prediction or a.samples != b.samples for a, b in pairs)


def _lines(rows: Sequence[Row], chances: Sequence[Chances]) -> Iterator[str]:
    for task in dict.fromkeys(row.task for row in rows):
        yield f"\n{task:14} samples {'accuracy':>16} {'more than greedy':>22} {'p':>7} {'ties':>5} unread"
        for row in (each for each in rows if each.task == task):
            way = f"T={row.temperature:g}" if row.temperature else "greedy"
            yield (
                f"  {way:12} {row.samples:7} {_interval(row.accuracy, row.low, row.high):>16} "
                f"{_interval(row.difference, row.difference_low, row.difference_high):>22} "
                f"{row.p_value:7.3f} {row.ties:5} {row.unread:6}"
            )
        for each in (each for each in chances if each.task == task):
            yield (
                f"  T={each.temperature:g}: one sample {100 * each.one_sample:.1f}, right in some "
                f"{100 * each.some_sample:.1f}; of greedy's errors {100 * each.repeated:.0f} % repeated; "
                f"{each.mended} rows mended, {each.spoiled} spoiled"
            )


def _order_lines(found: Sequence[Orders]) -> Iterator[str]:
    yield f"\n{LEDGER} by orders, T={USUAL:g}: rows, greedy, vote, mended, spoiled, errors repeated, texts"
    for each in found:
        yield (
            f"  {each.orders} {each.n:5} {100 * each.greedy:6.1f} {100 * each.vote:6.1f} {each.mended:4} "
            f"{each.spoiled:4} {100 * each.repeated:5.0f} % {each.texts:5.1f}"
        )


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} ({100 * low:.1f}…{100 * high:.1f})"


def _report(rows: Sequence[Row], facts: dict[str, Any], args: argparse.Namespace) -> Report:
    curves = []
    for task in TASKS:
        own = [row for row in rows if row.task == task]
        (greedy,) = (row for row in own if not row.temperature)
        lines = [CurveLine("greedy", (_cell(greedy),) * len(VOTERS), dash=1)]
        for place, temperature in enumerate(TEMPERATURES, 1):
            cells = tuple(_cell(row) for row in own if row.temperature == temperature)
            lines.append(CurveLine(f"temperature {temperature:g}", cells, colour=place))
        curves.append(
            Curves(
                title=f"{task}: votes of more samples",
                places=tuple(map(float, VOTERS)),
                lines=tuple(lines),
                x_label="samples that vote",
                y_label="accuracy × 100",
                caption="Bars: 95 % intervals. The samples of fewer votes are the first of those of more.",
            )
        )
    told = RunFacts(
        command=f"python benchmarks/voting.py --rows {args.rows} --steps {args.steps} --seed {args.seed}",
        seed=args.seed,
        machine=facts["machine"],
        versions=facts["versions"],
    )
    return Report(title="Self-consistency beside greedy decoding", curves=tuple(curves), facts=told)


def _cell(row: Row) -> Cell:
    return Cell(row.accuracy, row.low, row.high, row.n)


if __name__ == "__main__":
    raise SystemExit(main())
