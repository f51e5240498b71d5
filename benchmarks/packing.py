"""Does packing pay? Forward and backward of the same step, packed and bucketed, at several budgets.

    python benchmarks/packing.py                            a T5 of width 256, one thread
    python benchmarks/packing.py --shape flan-t5-small --examples 32
    python benchmarks/packing.py --turned                   long targets after short inputs, as the channel's

All sides take turns, in a new order each round; the first round is not counted. CPU seconds hold on a machine
that does other things too; `speed-up` is the bucketed side's by the packed one's, round by round, and its
median. Prints a table and, last, one JSON line: `best_to_best` compares each at its own best budget.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from train_sides import SHAPES, make_items, make_model

Side = tuple[int, bool]
"""(budget of a micro-batch in tokens, whether rows are shared)"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    import torch

    from ramekin.train.faster import faster_on_cpu

    torch.set_num_threads(options.threads)
    items = make_items(options.examples, vocab=32128, seed=options.seed)
    if options.turned:
        items = [replace(item, input_ids=item.target_ids, target_ids=item.input_ids) for item in items]
    model = make_model(options.shape).train()
    sides = [(budget, packing) for budget in options.budgets for packing in (False, True)]
    seconds: dict[Side, list[float]] = {side: [] for side in sides}
    with faster_on_cpu(model, torch.device("cpu")):
        for number in range(options.rounds + 1):
            for side in random.Random(number).sample(sides, len(sides)):
                taken = step(model, items, *side, seed=number)
                if number:
                    seconds[side].append(taken)
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
    figures = [_figures(items, seconds, budget) for budget in options.budgets]
    print("budget        rows  micro-batches  padding  seconds  speed-up")
    for each in figures:
        for name in ("bucketed", "packed"):
            one = each[name]
            line = f"{each['budget']:>6} {name:<8} {one['rows']:>4} {one['micro_batches']:>14}"
            gain = f"{each['speedup']:>9.2f}" if name == "packed" else ""
            print(f"{line} {one['padding_share']:>8.1%} {one['cpu_seconds']:>8.2f} {gain}")
    best = [min(each[name]["cpu_seconds"] for each in figures) for name in ("bucketed", "packed")]
    told = {
        "benchmark": "packing",
        **{
            key: getattr(options, key) for key in ("shape", "turned", "examples", "rounds", "threads", "seed")
        },
        "budgets": figures,
        "best_to_best": round(best[0] / best[1], 3),
        "torch": torch.__version__,
    }
    print(json.dumps(told))
    return 0


def step(model: Any, items: list, budget: int, packing: bool, *, seed: int) -> float:
    """CPU seconds of a step without its optimizer: planning, collating, forward, backward."""
    import torch

    from ramekin.train.gradient import accumulate, cut_step
    from ramekin.train.objective import Likelihood
    from ramekin.train.placement import Placement
    from ramekin.train.team import Alone

    model.zero_grad(set_to_none=True)
    began = time.process_time()
    cut = cut_step(items, Alone(), max_tokens=budget, packing=packing)
    accumulate(model, Likelihood(), cut, Placement(torch.device("cpu"), "fp32"), seed=seed, step=0)
    return time.process_time() - began


def _figures(items: list, seconds: dict[Side, list[float]], budget: int) -> dict:
    from ramekin.train.gradient import cut_step
    from ramekin.train.team import Alone

    def of(packing: bool) -> dict:
        cut = cut_step(items, Alone(), max_tokens=budget, packing=packing)
        return {
            "rows": len(cut.rows),
            "micro_batches": len(cut.batches),
            "padding_share": round(cut.count.padding_share, 4),
            "cpu_seconds": round(statistics.median(seconds[budget, packing]), 3),
        }

    pairs = zip(seconds[budget, False], seconds[budget, True], strict=True)
    speedup = statistics.median(bucketed / packed for bucketed, packed in pairs)
    return {"budget": budget, "bucketed": of(False), "packed": of(True), "speedup": round(speedup, 3)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), default="d256", help="the model (d256)")
    parser.add_argument("--turned", action="store_true", help="inputs and targets change places")
    parser.add_argument("--examples", type=int, default=64, help="in the step (64)")
    parser.add_argument(
        "--budgets", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="tokens of a micro-batch"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the data (0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
