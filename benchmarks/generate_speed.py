"""Greedy decoding by ramekin against transformers' `generate`, on random models of two shapes.

    python benchmarks/generate_speed.py                    both shapes, one thread
    python benchmarks/generate_speed.py --shape tiny --threads 2 --repeats 5

The peers take the same prompts in batches of 32: in file order (`order`), sorted by length (`sorted`), and,
with `--padded-to 512`, padded as FusionBench pads them (`padded`). Repetitions are interleaved, the least
CPU time of each counts (wall time is shown beside it), and the answers are compared token by token. Rows
end after different numbers of tokens, as real answers do; `--eos 0` makes every row use all its tokens.
Prints a table and, last, one JSON line.
"""

import argparse
import json
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import transformers

from ramekin.infer.generate import generate
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

Rows = list[list[int]]
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 1000, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    "flan-t5-small": {},
}
PROMPTS = {"tiny": 1200, "flan-t5-small": 64}
PEER_BATCH = 32


@dataclass
class Timing:
    """The least of the repetitions."""

    shape: str
    system: str
    prompts: int
    new_tokens: float
    cpu_seconds: float
    wall_seconds: float
    equal_rows: float
    times_ramekin: float = 0.0


def build(shape: str, eos: float) -> Any:
    """A random model with logits far apart, whose rows end more readily the larger `eos` is."""
    model = build_model(t5_config(**SHAPES[shape]), seed=0, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name:
                parameter.mul_(3.0)
        model.lm_head.weight[1] *= eos
    return model


def prompts(count: int, vocab: int) -> Rows:
    """Lengths like GLUE's prompts: from 15 to 60 tokens for most, up to 200 for a few."""
    rng = random.Random(0)
    lengths = [rng.randrange(15, 60) if rng.random() < 0.9 else rng.randrange(60, 200) for _ in range(count)]
    return [[*(rng.randrange(3, vocab) for _ in range(length)), 1] for length in lengths]


def peer(model: Any, inputs: Rows, new_tokens: int, *, by_length: bool, width: int | None) -> Rows:
    """Transformers' generate in fixed batches; rows cut after their `</s>`, in the order of the inputs."""
    order = (
        sorted(range(len(inputs)), key=lambda i: -len(inputs[i])) if by_length else list(range(len(inputs)))
    )
    written: dict[int, list[int]] = {}
    for start in range(0, len(order), PEER_BATCH):
        places = order[start : start + PEER_BATCH]
        longest = width or max(len(inputs[i]) for i in places)
        ids = torch.tensor([[*inputs[i], *[0] * (longest - len(inputs[i]))] for i in places])
        rows = model.generate(
            ids, attention_mask=(ids != 0).long(), do_sample=False, num_beams=1, max_new_tokens=new_tokens
        ).tolist()
        for place, row in zip(places, rows, strict=True):
            written[place] = row[1 : row.index(1) + 1] if 1 in row else row[1:]
    return [written[i] for i in range(len(inputs))]


def measure(shape: str, args: argparse.Namespace) -> list[Timing]:
    """All systems on one shape, interleaved."""
    model = build(shape, args.eos)
    inputs = prompts(args.prompts or PROMPTS[shape], model.config.vocab_size)
    n = args.new_tokens
    systems: dict[str, Callable[[], Rows]] = {
        "ramekin": lambda: generate(model, inputs, max_new_tokens=n, batch_tokens=args.batch_tokens),
        "transformers order": lambda: peer(model, inputs, n, by_length=False, width=None),
        "transformers sorted": lambda: peer(model, inputs, n, by_length=True, width=None),
    }
    if args.padded_to:
        systems["transformers padded"] = lambda: peer(model, inputs, n, by_length=False, width=args.padded_to)
    found: dict[str, Timing] = {}
    expected = systems["ramekin"]()  # also the warm-up
    for _ in range(args.repeats):
        for name, run in systems.items():
            cpu, wall = time.process_time(), time.perf_counter()
            rows = run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            equal = sum(a == b for a, b in zip(rows, expected, strict=True)) / len(rows)
            length = sum(map(len, rows)) / len(rows)
            if name in found:
                cpu, wall = min(cpu, found[name].cpu_seconds), min(wall, found[name].wall_seconds)
            found[name] = Timing(shape, name, len(rows), length, cpu, wall, equal)
    for timing in found.values():
        timing.times_ramekin = timing.cpu_seconds / found["ramekin"].cpu_seconds
    return list(found.values())


def show(timings: Sequence[Timing]) -> None:
    """The table."""
    heads = ("prompts", "tokens", "CPU s", "wall s", "ratio", "equal")
    print(f"{'shape':14} {'system':20} " + " ".join(f"{head:>8}" for head in heads))
    for t in timings:
        print(
            f"{t.shape:14} {t.system:20} {t.prompts:8} {t.new_tokens:8.1f} {t.cpu_seconds:8.3f} "
            f"{t.wall_seconds:8.3f} {t.times_ramekin:8.2f} {t.equal_rows:8.1%}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompts", type=int, help="by default 1200 for tiny, 64 for flan-t5-small")
    parser.add_argument("--new-tokens", type=int, default=9)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--padded-to", type=int, help="also pad every prompt to so many tokens")
    parser.add_argument("--eos", type=float, default=4.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shapes = list(SHAPES) if args.shape == "both" else [args.shape]
    timings = [timing for shape in shapes for timing in measure(shape, args)]
    show(timings)
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        **{k: v for k, v in vars(args).items() if k not in ("shape",)},
    }
    print(json.dumps({"benchmark": "generate_speed", **facts, "timings": [asdict(t) for t in timings]}))


if __name__ == "__main__":
    main()
