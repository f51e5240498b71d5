"""Training speed and gradients: ramekin beside transformers' Seq2SeqTrainer, same model, examples, batches.

    python benchmarks/train.py                              random tokens of realistic lengths
    python benchmarks/train.py --data DIR --tokenizer DIR   real rows under the catalogue's templates

Five sides train in turns, each in a process of its own on one thread: the Trainer with random padded batches
of 32, with `group_by_length`, and with random batches accumulated to the large global batch; ramekin at both
global batches. Every side takes the steps of one of `group_by_length`'s mega-batches (50 x 32 examples; at
the large batch one step a turn), after warm-up steps that are not counted. Sides draw different examples, so
the figures are real tokens, padding left out, a second: of CPU time, which holds on a machine that does other
things too, and of the clock. Then a step's gradient in parts is compared with that of the whole batch.

Prints its tables and, last, one JSON line: `speedup_vs_random` and `speedup_vs_group_by_length` are of CPU
seconds at global batches of 32, `peer_gradient_ratio` is the Trainer's gradient by the true one where it
accumulates eight batches.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from train_gradients import compare, show
from train_sides import PEER_BATCH, SHAPES, Job, Turn

MEGA_BATCH = 50
"""Steps after which `group_by_length` has shown short and long examples alike."""


class Side:
    """One side in its process."""

    def __init__(self, name: str, job: Job, steps_per_turn: int) -> None:
        self.name, self.steps_per_turn = name, steps_per_turn
        self.turns: list[Turn] = []
        environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "CUDA_VISIBLE_DEVICES": ""}
        script = Path(__file__).with_name("train_sides.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._tell(json.dumps(asdict(job)))
        if self._hear() != "ready":
            raise SystemExit(f"{name} did not start")

    def take_turn(self) -> None:
        """Train for a turn and note what it took."""
        self._tell(str(self.steps_per_turn))
        self.turns.append(Turn(**json.loads(self._hear())))

    def rate(self, clock: str, what: str = "tokens") -> float:
        """So many a second over all turns."""
        return sum(amount(turn, what) for turn in self.turns) / sum(getattr(t, clock) for t in self.turns)

    def rates(self, clock: str) -> list[float]:
        """Real tokens a second of each turn."""
        return [amount(turn, "tokens") / getattr(turn, clock) for turn in self.turns]

    def figures(self) -> dict[str, object]:
        """What the JSON line holds of it."""
        real, computed = (sum(amount(t, what) for t in self.turns) for what in ("tokens", "positions"))
        return {
            **{f"tokens_per_{clock}_second": round(self.rate(clock), 1) for clock in ("cpu", "wall")},
            "tokens_per_cpu_second_of_turns": [round(rate, 1) for rate in self.rates("cpu")],
            "examples_per_cpu_second": round(self.rate("cpu", "examples"), 3),
            "target_tokens_per_cpu_second": round(self.rate("cpu", "target_tokens"), 2),
            "padding_share": round(1 - real / computed, 4),
            "peak_mb": round(max(turn.peak_mb for turn in self.turns)),
        }

    def _tell(self, message: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(message + "\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def amount(turn: Turn, what: str) -> int:
    """`tokens` are inputs and targets; otherwise a field."""
    return turn.input_tokens + turn.target_tokens if what == "tokens" else getattr(turn, what)


def main() -> int:
    options = _parser().parse_args()
    sides = _start(options)
    for number in range(options.turns):
        for side in list(sides.values())[:: 1 if number % 2 else -1]:
            side.take_turn()
            print(
                f"turn {number + 1}: {side.name:<28}{side.rates('cpu')[-1]:8.0f} tokens / CPU s", flush=True
            )
    first = sides["ramekin 32"]
    print(f"\n{options.shape}, {options.turns} turns of each side; real tokens a second")
    for side in sides.values():
        print(_line(side, first))
    gradients = [] if options.no_gradients else compare(options.shape, options.seed)
    if gradients:
        show(gradients)
    worst = max((g.ratio for g in gradients if g.system == "trainer" and g.processes == 1), default=None)
    figures = {
        "benchmark": "train",
        "speedup_vs_random": _speedup(first, sides["trainer random 32"]),
        "speedup_vs_group_by_length": _speedup(first, sides["trainer group_by_length 32"]),
        "peer_gradient_ratio": worst and round(worst, 3),
        "ramekin_gradient_error": max((g.error for g in gradients if g.system == "ramekin"), default=None),
        "speedup_at_the_large_batch": _speedup(
            sides[_large("ramekin", options)], sides[_large("trainer", options)]
        ),
        "sides": {name: side.figures() for name, side in sides.items()},
        "gradients": [asdict(each) for each in gradients],
        "command": " ".join(["python benchmarks/train.py", *sys.argv[1:]]),
        **{key: value for key, value in vars(options).items() if key not in ("data", "tokenizer")},
        **_versions(),
    }
    print(json.dumps(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="d256", help="of the model (d256)")
    parser.add_argument("--turns", type=int, default=5, help="of each side, together 50 steps (5)")
    parser.add_argument("--global-batch", type=int, default=256, help="the large one (256)")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048, help="ramekin's budget (2048)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--seed", type=int, default=0, help="of data and order (0)")
    parser.add_argument("--data", help="a folder of data sets by their hub names; else random tokens")
    parser.add_argument("--tokenizer", help="a folder with T5's vocabulary, for --data")
    parser.add_argument("--no-gradients", action="store_true", help="speed alone")
    return parser


def _start(options: argparse.Namespace) -> dict[str, Side]:
    """All sides, ready."""
    small = MEGA_BATCH // options.turns
    plans = {
        "trainer random 32": ("random", PEER_BATCH, small, 2),
        "trainer group_by_length 32": ("group_by_length", PEER_BATCH, small, 2),
        _large("trainer", options): ("random", options.global_batch, 1, 1),
        "ramekin 32": ("ramekin", PEER_BATCH, small, 2),
        _large("ramekin", options): ("ramekin", options.global_batch, 1, 1),
    }
    return {
        name: Side(
            name,
            Job(
                side=side,
                global_batch=global_batch,
                warmup_steps=warmup,
                total_steps=warmup + steps * options.turns,
                shape=options.shape,
                micro_batch_tokens=options.micro_batch_tokens,
                threads=options.threads,
                seed=options.seed,
                data=options.data,
                tokenizer=options.tokenizer,
            ),
            steps,
        )
        for name, (side, global_batch, steps, warmup) in plans.items()
    }


def _large(system: str, options: argparse.Namespace) -> str:
    return (
        f"{system} random {options.global_batch}"
        if system == "trainer"
        else f"ramekin {options.global_batch}"
    )


def _speedup(ours: Side, theirs: Side) -> float:
    return round(ours.rate("cpu") / theirs.rate("cpu"), 3)


def _line(side: Side, first: Side) -> str:
    rates = side.rates("cpu")
    figures = side.figures()
    return (
        f"  {side.name:<28}{side.rate('cpu'):7.0f} / CPU s (median {statistics.median(rates):.0f}, "
        f"{min(rates):.0f}-{max(rates):.0f}) {side.rate('wall'):7.0f} / s"
        f"  {figures['examples_per_cpu_second']:>8} examples, {figures['target_tokens_per_cpu_second']:>7} "
        f"target tokens / CPU s  padding {figures['padding_share']:.0%}  {figures['peak_mb']} MB"
        f"  x{_speedup(first, side):.2f}"
    )


def _versions() -> dict[str, object]:
    import torch
    import transformers

    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if cpuinfo.exists()
        else []
    )
    return {
        "machine": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
