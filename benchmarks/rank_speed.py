"""Ranking by ramekin against one forward of the model a pair, on random models of two shapes.

    python benchmarks/rank_speed.py                        both shapes, one thread
    python benchmarks/rank_speed.py --shape tiny --options 4 --option-tokens 12 --shared 8

The peer scores each (input, option) pair by itself through transformers, in batches of 32 pairs sorted by
length, with log_softmax over all positions. `encoder` is one pass of its encoder over ramekin's batches,
which only reads the inputs. Repetitions are interleaved, the least CPU time of each counts, and the
log-probabilities are compared. Prints a table and, last, one JSON line.
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

from ramekin.infer.rank import rank
from ramekin.tensors.collate import collate_inputs
from ramekin.tensors.plan import batches_by_length
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

Rows = list[list[int]]
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 1000, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    "flan-t5-small": {},
}
PROMPTS = {"tiny": 1200, "flan-t5-small": 160}
PEER_BATCH = 32


@dataclass
class Timing:
    """The least of the repetitions."""

    shape: str
    system: str
    prompts: int
    cpu_seconds: float
    wall_seconds: float
    difference: float
    """The largest to ramekin's log-probabilities, in nats."""
    times_ramekin: float = 0.0


def prompts(count: int, vocab: int) -> Rows:
    """Lengths like GLUE's prompts: from 15 to 60 tokens for most, up to 200 for a few."""
    rng = random.Random(0)
    lengths = [rng.randrange(15, 60) if rng.random() < 0.9 else rng.randrange(60, 200) for _ in range(count)]
    return [[*(rng.randrange(3, vocab) for _ in range(length)), 1] for length in lengths]


def options(count: int, length: int, shared: int, vocab: int) -> Rows:
    """Options of so many tokens, `</s>` among them, that begin with `shared` common ones."""
    rng = random.Random(1)
    stem = [rng.randrange(3, vocab) for _ in range(shared)]
    own = length - shared - 1
    return [[*stem, *(rng.randrange(3, vocab) for _ in range(own)), 1] for _ in range(count)]


@torch.inference_mode()
def pairs(model: Any, inputs: Rows, choices: Rows) -> Rows:
    """Every pair by itself through the model's forward."""
    asked = [(row, place) for row in range(len(inputs)) for place in range(len(choices))]
    asked.sort(key=lambda pair: -len(inputs[pair[0]]))
    found: Rows = [[0.0] * len(choices) for _ in inputs]
    for start in range(0, len(asked), PEER_BATCH):
        part = asked[start : start + PEER_BATCH]
        ids, mask = collate_inputs([inputs[row] for row, _ in part])
        labels, label_mask = collate_inputs([choices[place] for _, place in part])
        shifted = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], dim=1)
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=shifted, use_cache=False).logits
        taken = logits.log_softmax(dim=-1).gather(2, labels[..., None])[..., 0]
        for (row, place), value in zip(part, (taken * label_mask).sum(dim=1).tolist(), strict=True):
            found[row][place] = value
    return found


@torch.inference_mode()
def encoder_alone(model: Any, inputs: Rows, batch_tokens: int) -> Rows:
    """One pass of the encoder over all inputs."""
    for batch in batches_by_length([len(row) for row in inputs], max_tokens=batch_tokens):
        ids, mask = collate_inputs([inputs[place] for place in batch])
        model.encoder(input_ids=ids, attention_mask=mask)
    return []


def measure(shape: str, args: argparse.Namespace) -> list[Timing]:
    """All systems on one shape, interleaved."""
    model = build_model(t5_config(**SHAPES[shape]), seed=0, tied=False)
    vocab = model.config.vocab_size
    inputs = prompts(args.prompts or PROMPTS[shape], vocab)
    choices = options(args.options, args.option_tokens, args.shared, vocab)
    systems: dict[str, Callable[[], Rows]] = {
        "ramekin": lambda: rank(model, inputs, [choices] * len(inputs), batch_tokens=args.batch_tokens),
        "pairs": lambda: pairs(model, inputs, choices),
        "encoder": lambda: encoder_alone(model, inputs, args.batch_tokens),
    }
    found: dict[str, Timing] = {}
    expected = systems["ramekin"]()  # also the warm-up
    for _ in range(args.repeats):
        for name, run in systems.items():
            cpu, wall = time.process_time(), time.perf_counter()
            rows = run()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            apart = max(
                (abs(a - b) for r, e in zip(rows, expected, strict=False) for a, b in zip(r, e, strict=True)),
                default=0.0,
            )
            if name in found:
                cpu, wall = min(cpu, found[name].cpu_seconds), min(wall, found[name].wall_seconds)
            found[name] = Timing(shape, name, len(inputs), cpu, wall, apart)
    for timing in found.values():
        timing.times_ramekin = timing.cpu_seconds / found["ramekin"].cpu_seconds
    return list(found.values())


def show(timings: Sequence[Timing]) -> None:
    """The table."""
    heads = ("prompts", "CPU s", "wall s", "ratio", "nats apart")
    print(f"{'shape':14} {'system':10} " + " ".join(f"{head:>10}" for head in heads))
    for t in timings:
        print(
            f"{t.shape:14} {t.system:10} {t.prompts:10} {t.cpu_seconds:10.3f} {t.wall_seconds:10.3f} "
            f"{t.times_ramekin:10.2f} {t.difference:10.1e}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompts", type=int, help="by default 1200 for tiny, 160 for flan-t5-small")
    parser.add_argument("--options", type=int, default=2)
    parser.add_argument("--option-tokens", type=int, default=2, help="of each option, </s> among them")
    parser.add_argument("--shared", type=int, default=0, help="tokens that all options begin with")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shapes = list(SHAPES) if args.shape == "both" else [args.shape]
    timings = [timing for shape in shapes for timing in measure(shape, args)]
    show(timings)
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        **{k: v for k, v in vars(args).items() if k != "shape"},
    }
    print(json.dumps({"benchmark": "rank_speed", **facts, "timings": [asdict(t) for t in timings]}))


if __name__ == "__main__":
    main()
