"""Evaluation beside lm-eval, FusionBench and T0's own way: the same model, rows, machine and threads.

    python benchmarks/evaluate.py --venvs FOLDER --data DIR             (makes the environments there first)
    python benchmarks/evaluate.py --data DIR --only t0,overhead --rows 8 --rounds 1     a try of a minute

Sides take turns: a round runs each once, beginning with another; medians and ranges of the rounds. Everyone
begins with texts and ends with scores; models are loaded, and FusionBench's rows encoded, beforehand.

`lm_eval`: rank classification by lm-eval 0.4.13's rules, its head bug worked around: prompts of 128 tokens,
options of 3, from 2 to 32 of them. Both sides in the batches in which they are fastest at 4 options. Random
weights in Flan-T5-small's shape.

`fusionbench`: FusionBench 0.2.33's task pool, whose loop pads to 512 tokens, on the first rows of each of
GLUE's tasks that are there, against `mode=fusionbench`; "all" is one call for all tasks. How long answers are
decides what they cost, so a model in Flan-T5-small's shape is taught these tasks' answers for a moment: it
writes labels and stops, and its predictions are compared.

`t0`: inputs repeated for each of 4 options, padded (`t0_ranking.py`), against `mode=t0`, on the rows of
`lm_eval`.

`overhead`: 3 models of random weights on 8 tasks, encoded once, with a journal each: the share of the whole
that is not spent in the encoder, the decoder and the head.

DIR holds the data sets as `PATH/NAME/SPLIT.parquet` and, beside it or by `--tokenizer`, the folder
`tokenizer`. What is not there is skipped by name. Prints tables and, last, one JSON line.
"""

import argparse
import contextlib
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from evaluate_models import SHAPES, random_model, taught_model
from evaluate_peers import FUSIONBENCH, LM_EVAL, REQUIREMENTS, Peer, environment
from evaluate_rows import MULTIPLE_CHOICE, made_set, read_sets, write_rows
from pyarrow import parquet
from t0_ranking import rank_like_t0
from transformers import PreTrainedTokenizerFast

from ramekin.evaluate.evaluation import Evaluation
from ramekin.evaluate.mode import MODES, Mode
from ramekin.evaluate.runner import evaluate, evaluate_encoded
from ramekin.evaluate.sets import EvalSet, encode_sets
from ramekin.infer.layers import Layers
from ramekin.tensors.tokenizer import load_tokenizer
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, load_model

PARTS = ("lm_eval", "fusionbench", "t0", "overhead")
GLUE = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
OPTIONS = (2, 4, 8, 16, 32)
PROMPT_TOKENS, OPTION_TOKENS = 128, 3
PEER_BATCHES = (4, 8, 16, 32, 64)
BATCH_TOKENS = (1024, 2048, 4096, 8192)
LM_EVAL_MODE = MODES["lm_eval"].changed(also=())  # what the peer is asked: acc


class Taken(NamedTuple):
    """What one side took in one round."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Timing:
    """Seconds of the rounds."""

    median: float
    low: float
    high: float
    cpu_median: float
    """Of the seconds of its processor time, of all threads."""


@dataclass(frozen=True)
class Row:
    """One comparison."""

    part: str
    what: str
    rows: int
    peer: Timing
    ours: Timing
    agreement: str
    """What was found of the answers of both."""
    differing: int = 0
    """Answers that differ."""

    @property
    def speedup(self) -> float:
        """The peer's median by ours."""
        return self.peer.median / self.ours.median

    @property
    def cpu_speedup(self) -> float:
        """The same of processor time, which a busy machine changes less."""
        return self.peer.cpu_median / self.ours.cpu_median


@dataclass
class Bench:
    """What all parts need, and what they found."""

    args: argparse.Namespace
    folder: Path
    temporary: Path
    tokenizer_folder: Path
    tokenizer: PreTrainedTokenizerFast
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def small(self) -> Path:
        """Random weights in Flan-T5-small's shape."""
        return random_model(
            self.folder / f"random-{self.args.shape}", self.args.shape, tokenizer_folder=self.tokenizer_folder
        )

    def made(self, options: int, rows: int) -> EvalSet:
        """Rows of an exact length."""
        return made_set(
            self.tokenizer,
            rows=rows,
            input_tokens=PROMPT_TOKENS,
            options=options,
            option_tokens=OPTION_TOKENS,
        )

    def found(self, row: Row) -> None:
        """Keep and show a comparison."""
        self.rows.append(row)
        print(
            f"{row.part:12} {row.what:12} {row.rows:5} rows   peer {_seconds(row.peer)}   ramekin "
            f"{_seconds(row.ours)}   {row.speedup:6.2f} times ({row.cpu_speedup:.2f} in CPU time)   "
            f"{row.agreement}",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="evaluate-") as temporary:
        tokenizer_folder = (args.tokenizer or args.data.resolve().parent / "tokenizer").resolve()
        bench = Bench(
            args,
            (args.folder or Path(temporary)).resolve(),
            Path(temporary),
            tokenizer_folder,
            load_tokenizer(tokenizer_folder),
        )
        parts = {"lm_eval": _lm_eval, "fusionbench": _fusionbench, "t0": _t0, "overhead": _overhead}
        for name in args.only:
            parts[name](bench)
    for words in bench.skipped:
        print(f"skipped: {words}")
    print(json.dumps(_facts(bench), ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def parts(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [each for each in chosen if each not in PARTS]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
        return chosen

    parser.add_argument("--venvs", type=Path, help="a folder with or for the peers' environments")
    parser.add_argument("--data", type=Path, required=True, help="the data sets")
    parser.add_argument("--tokenizer", type=Path, help="a T5 tokenizer; by default beside DIR")
    parser.add_argument("--only", type=parts, default=list(PARTS), help="parts, separated by commas (all)")
    parser.add_argument("--rows", type=int, default=64, help="rows a task, and at 2 and 4 options (64)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    parser.add_argument("--threads", type=int, default=2, help="of everyone (2)")
    parser.add_argument("--shape", choices=list(SHAPES), default="flan-t5-small")
    parser.add_argument("--steps", type=int, default=60, help="in which the writing model is taught (60)")
    parser.add_argument("--folder", type=Path, help="keeps the models; by default a temporary one")
    args = parser.parse_args()
    if args.venvs is None and {"lm_eval", "fusionbench"} & set(args.only):
        parser.error(
            "give --venvs FOLDER, where the peers' environments are or will be, or --only t0,overhead"
        )
    return args


# -- the parts


def _lm_eval(bench: Bench) -> None:
    """Rank classification at several numbers of options."""
    args, folder = bench.args, bench.small()
    python = environment(args.venvs.resolve() / "lmeval", REQUIREMENTS["lmeval"])
    model = load_model(folder)
    job = {"model": str(folder), "max_length": 512}
    with Peer(python, LM_EVAL, job, bench.temporary / "lm-eval", threads=args.threads) as peer:

        def theirs(path: Path, batch_size: int) -> Any:
            return peer.ask("rank", rows=str(path), batch_size=batch_size)

        probe = bench.made(4, min(args.rows, 32))
        asked = write_rows(bench.temporary / "probe.jsonl", probe)
        theirs(asked, PEER_BATCHES[0])
        batch = _fastest(PEER_BATCHES, lambda size: _taken(theirs(asked, size)))
        tokens = _fastest(BATCH_TOKENS, lambda size: _ours(bench, model, [probe], LM_EVAL_MODE, size)[0])
        bench.facts["lm_eval_batch_size"], bench.facts["lm_eval_batch_tokens"] = batch, tokens
        for options in OPTIONS:
            each = bench.made(options, max(4, min(args.rows, 4 * args.rows // options)))
            path = write_rows(bench.temporary / f"options-{options}.jsonl", each)
            found: dict[str, Any] = {}

            def peer_side(path: Path = path, found: dict[str, Any] = found) -> Taken:
                answer = theirs(path, batch)
                found["peer"] = answer["log_probs"]
                return _taken(answer)

            def our_side(each: EvalSet = each, found: dict[str, Any] = found) -> Taken:
                taken, found["ours"] = _ours(bench, model, [each], LM_EVAL_MODE, tokens)
                return taken

            peer_time, our_time = _in_turns(args.rounds, peer_side, our_side)
            apart = _apart(found["peer"], _option_scores(found["ours"]))
            what = f"{options} options"
            bench.found(
                Row("lm_eval", what, len(each.examples), peer_time, our_time, f"{apart:.0e} nats apart")
            )


def _fusionbench(bench: Bench) -> None:
    """GLUE task by task, and all tasks in one call."""
    args = bench.args
    data_root = bench.temporary / "data"
    there = [task for task in GLUE if _first_rows(args.data, data_root, task, args.rows)]
    bench.skipped += [f"glue/{task}: no data" for task in GLUE if task not in there]
    if not there:
        return
    sets = read_sets(
        [f"glue/{task}" for task in there], data_root, bench.tokenizer, rows=None, templates="fusionbench"
    ).sets
    examples = [example for each in sets for example in each.examples[::2]]
    folder = taught_model(
        bench.folder / f"taught-{args.shape}",
        args.shape,
        examples,
        bench.tokenizer,
        tokenizer_folder=bench.tokenizer_folder,
        steps=args.steps,
    )
    model = load_model(folder)
    python = environment(args.venvs.resolve() / "fusionbench", REQUIREMENTS["fusionbench"])
    job = {"model": str(folder), "data_root": str(data_root)}
    job["tokenizer"] = str(_limited(folder, bench.temporary / "tokenizer"))
    with Peer(
        python,
        FUSIONBENCH,
        {**job, "tasks": there},
        bench.temporary / "fusionbench",
        threads=args.threads,
    ) as peer:
        sides: dict[str, Callable[[], Taken]] = {}
        theirs: dict[str, Any] = {}
        ours: dict[str, Evaluation] = {}

        def peer_side(task: str) -> Taken:
            theirs[task] = peer.ask("evaluate", task=task)
            return _taken(theirs[task])

        def our_side(name: str, asked: Sequence[EvalSet]) -> Taken:
            taken, ours[name] = _ours(bench, model, asked, MODES["fusionbench"], 8192)
            return taken

        for task, each in zip(there, sets, strict=True):
            sides[f"peer {task}"] = lambda task=task: peer_side(task)  # type: ignore[misc]
            sides[f"ours {task}"] = lambda task=task, each=each: our_side(task, [each])  # type: ignore[misc]
        sides["ours all"] = lambda: our_side("all", sets)
        taken = _rounds(args.rounds, sides)
    by_round = zip(*(taken[f"peer {task}"] for task in there), strict=True)
    total = [Taken(sum(each.seconds for each in r), sum(each.cpu_seconds for each in r)) for r in by_round]
    differing_in_all = 0
    for task in there:
        written = theirs[task]["texts"]
        predictions = [p.prediction for p in ours[task].tasks[0].predictions]
        differing = sum(a != b for a, b in zip(written, predictions, strict=True))
        together = [p.prediction for p in ours["all"].task(f"glue/{task}").predictions]
        differing_in_all += sum(a != b for a, b in zip(written, together, strict=True))
        value = next(iter(theirs[task]["report"].values()))
        said = f"{differing} predictions differ, {len(set(written))} different ones, score {value:.4f}"
        said += "" if _same(value, ours[task].tasks[0].headline.value) else " and not ramekin's"
        timings = _timing(taken[f"peer {task}"]), _timing(taken[f"ours {task}"])
        bench.found(Row("fusionbench", task, len(written), *timings, said, differing))
    rows = sum(len(each.examples) for each in sets)
    said = f"{differing_in_all} predictions differ"
    bench.found(
        Row("fusionbench", "all", rows, _timing(total), _timing(taken["ours all"]), said, differing_in_all)
    )


def _t0(bench: Bench) -> None:
    """Rank classification with repeated inputs."""
    args, model = bench.args, load_model(bench.small())
    each = bench.made(4, args.rows)
    probe = bench.made(4, min(args.rows, 32))
    found: dict[str, Any] = {}

    def peer_side(rows: int, asked: EvalSet = each) -> Taken:
        started = _now()
        found["peer"] = rank_like_t0(model, bench.tokenizer, asked.examples, batch_rows=rows)
        return _since(started)

    def our_side(tokens: int, asked: EvalSet = each) -> Taken:
        taken, found["ours"] = _ours(bench, model, [asked], MODES["t0"], tokens)
        return taken

    peer_side(2, probe)
    rows = _fastest((1, 2, 4, 8, 16), lambda size: peer_side(size, probe))
    tokens = _fastest(BATCH_TOKENS, lambda size: our_side(size, probe))
    bench.facts["t0_batch_rows"], bench.facts["t0_batch_tokens"] = rows, tokens
    peer_time, our_time = _in_turns(args.rounds, lambda: peer_side(rows), lambda: our_side(tokens))
    apart = _apart(found["peer"].log_probs, _option_scores(found["ours"]))
    chosen = [e.options[place] for e, place in zip(each.examples, found["peer"].predictions, strict=True)]
    answered = [p.prediction for p in found["ours"].tasks[0].predictions]
    differing = sum(a != b for a, b in zip(chosen, answered, strict=True))
    said = f"{apart:.0e} nats apart, {differing} predictions differ"
    bench.found(Row("t0", "4 options", len(each.examples), peer_time, our_time, said, differing))


def _overhead(bench: Bench) -> None:
    """The share of an evaluation of 3 models on 8 tasks that no model computes in."""
    args = bench.args
    found = read_sets(MULTIPLE_CHOICE[:8], args.data, bench.tokenizer, rows=args.rows)
    bench.skipped += found.skipped
    if not found.sets:
        return
    models = [build_model(t5_config(**SHAPES[args.shape]), seed=seed, tied=False) for seed in range(3)]
    for name in ("rank", "fusionbench"):
        shares, walls = [], []
        for number in range(args.rounds):
            with _model_seconds() as spent:
                started = time.perf_counter()
                encoded = encode_sets(found.sets, bench.tokenizer, mode=MODES[name])
                for place, model in enumerate(models):
                    evaluate_encoded(
                        model,
                        bench.tokenizer,
                        encoded,
                        journal=bench.temporary / f"{name}-{number}-{place}",
                    )
                walls.append(time.perf_counter() - started)
            shares.append(1 - sum(spent) / walls[-1])
        wall, share = statistics.median(walls), statistics.median(shares)
        bench.facts.setdefault("outside_share", {})[name] = round(share, 4)
        print(
            f"overhead     mode={name:11} {sum(len(each.examples) for each in found.sets):5} rows of "
            f"{len(found.sets)} tasks, 3 models: {wall:.2f} s, outside the model {share:.1%} "
            f"({min(shares):.1%} to {max(shares):.1%})",
            flush=True,
        )


# -- what they share


def _ours(
    bench: Bench, model: Any, sets: Sequence[EvalSet], mode: Mode, batch_tokens: int
) -> tuple[Taken, Evaluation]:
    """From texts to scores."""
    started = _now()
    evaluation = evaluate(model, bench.tokenizer, sets, mode=mode, batch_tokens=batch_tokens)
    return _since(started), evaluation


def _now() -> Taken:
    return Taken(time.perf_counter(), time.process_time())


def _since(started: Taken) -> Taken:
    now = _now()
    return Taken(now.seconds - started.seconds, now.cpu_seconds - started.cpu_seconds)


def _taken(answer: Mapping[str, Any]) -> Taken:
    """What a peer says that it took."""
    return Taken(answer["seconds"], answer["cpu_seconds"])


@contextlib.contextmanager
def _model_seconds() -> Iterator[list[float]]:
    """The seconds of every call of the encoder, the decoder's layers and the head."""
    spent: list[float] = []
    names = ("__init__", "read", "decode", "logits")
    own = {name: getattr(Layers, name) for name in names}

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*given)
            finally:
                spent.append(time.perf_counter() - started)

        return call

    for name, method in own.items():
        setattr(Layers, name, timed(method))
    try:
        yield spent
    finally:
        for name, method in own.items():
            setattr(Layers, name, method)


def _in_turns(rounds: int, peer: Callable[[], Taken], ours: Callable[[], Taken]) -> tuple[Timing, Timing]:
    taken = _rounds(rounds, {"peer": peer, "ours": ours})
    return _timing(taken["peer"]), _timing(taken["ours"])


def _rounds(rounds: int, sides: Mapping[str, Callable[[], Taken]]) -> dict[str, list[Taken]]:
    """What each side took by round; a round begins with another side."""
    names = list(sides)
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    for number in range(rounds):
        first = number * len(names) // rounds
        for name in names[first:] + names[:first]:
            taken[name].append(sides[name]())
    return taken


def _fastest(sizes: Sequence[int], side: Callable[[int], Taken]) -> int:
    """The size of the least time of two."""
    return min(sizes, key=lambda size: min(side(size).seconds, side(size).seconds))


def _timing(taken: Sequence[Taken]) -> Timing:
    seconds = [each.seconds for each in taken]
    cpu_seconds = statistics.median(each.cpu_seconds for each in taken)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), cpu_seconds)


def _seconds(timing: Timing) -> str:
    return f"{timing.median:7.3f} s ({timing.low:.3f} to {timing.high:.3f})"


def _option_scores(evaluation: Evaluation) -> list[list[float]]:
    return [list(p.option_scores.values()) for p in evaluation.tasks[0].predictions]


def _apart(some: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> float:
    rows = zip(some, others, strict=True)
    return max(abs(a - b) for pair in rows for a, b in zip(*pair, strict=True))


def _same(theirs: float, ours: float) -> bool:
    """Whether two scores are one; a correlation that is undefined is NaN there and 0.0 here."""
    return abs((0.0 if theirs != theirs else theirs) - ours) < 1e-12


def _first_rows(data: Path, output: Path, task: str, rows: int) -> bool:
    """Write the first rows of a task's validation split, if it is there."""
    path = Path("glue") / task / "validation.parquet"
    if not (data / path).is_file():
        return False
    (output / path).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(parquet.read_table(data / path).slice(0, rows), output / path)
    return True


def _limited(model: Path, folder: Path) -> Path:
    """A model's tokenizer with the length that the published T5 tokenizers say, to which the pool pads."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = folder / "tokenizer_config.json"
    described = json.loads(settings.read_text(encoding="utf-8")) | {"model_max_length": 512}
    settings.write_text(json.dumps(described), encoding="utf-8")
    return folder


def _facts(bench: Bench) -> dict[str, Any]:
    by_name = {(row.part, row.what): row for row in bench.rows}

    def speedup(part: str, what: str) -> float | None:
        row = by_name.get((part, what))
        return None if row is None else round(row.speedup, 3)

    args = bench.args
    return {
        "benchmark": "evaluate",
        "rank_speedup_vs_lm_eval": speedup("lm_eval", "4 options"),
        "rank_speedups_vs_lm_eval": {n: speedup("lm_eval", f"{n} options") for n in OPTIONS},
        "fusionbench_speedup": speedup("fusionbench", "all"),
        "fusionbench_speedups": {task: speedup("fusionbench", task) for task in GLUE},
        "t0_speedup": speedup("t0", "4 options"),
        "answers_that_differ": sum(row.differing for row in bench.rows),
        **bench.facts,
        "skipped": bench.skipped,
        "rows": [
            {**asdict(row), "speedup": row.speedup, "cpu_speedup": row.cpu_speedup} for row in bench.rows
        ],
        "shape": args.shape,
        "threads": args.threads,
        "rounds": args.rounds,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
