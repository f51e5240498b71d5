"""Sampling by ramekin against transformers' `generate(do_sample=True)`, on Flan-T5-small's shape.

    python benchmarks/sample_speed.py                      4 inputs of 128 tokens, 16 samples of 32 new tokens
    python benchmarks/sample_speed.py --input 512 --samples 40 --threads 2

No output ends before its last token on either side (no token counts as `</s>`), and no filter is set, so both
do the same number of steps on the same number of rows. Repetitions are interleaved and the median of each
counts. Prints a table and, last, one JSON line.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from ramekin.infer.decoding import Decoding
from ramekin.infer.generate import decode
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

NO_TOKEN = -1


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--input", type=int, default=128)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = t5_config()
    model: Any = build_model(config, seed=0, tied=False)
    model.generation_config.eos_token_id = None
    rng = random.Random(0)
    inputs = [[*(rng.randrange(3, 32000) for _ in range(args.input - 1)), 1] for _ in range(args.batch)]
    ids = torch.tensor(inputs)
    decoding = Decoding(num_samples=args.samples, sampling_temperature=1.0)
    systems: dict[str, Callable[[], object]] = {
        "ramekin": lambda: decode(
            model,
            inputs,
            decoding=decoding,
            max_new_tokens=args.new_tokens,
            batch_tokens=10**9,
            eos_id=NO_TOKEN,
        ),
        "transformers": lambda: model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            num_return_sequences=args.samples,
            max_new_tokens=args.new_tokens,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
        ),
    }
    for run in systems.values():
        run()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for _ in range(args.repeats):
        for name, run in systems.items():
            found[name].append(timed(run))
    cpu, wall = (
        {name: statistics.median(each[kind] for each in times) for name, times in found.items()}
        for kind in (0, 1)
    )
    print(f"{'system':14} {'CPU s':>8} {'wall s':>8} {'ratio':>6}")
    for name in systems:
        ratio = cpu[name] / cpu["ramekin"]
        print(f"{name:14} {cpu[name]:8.3f} {wall[name]:8.3f} {ratio:6.2f}")
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        **vars(args),
    }
    figures = {
        "sample_speedup_vs_transformers": cpu["transformers"] / cpu["ramekin"],
        "wall_ratio": wall["transformers"] / wall["ramekin"],
        "cpu_seconds": cpu,
        "wall_seconds": wall,
    }
    print(json.dumps({"benchmark": "sample_speed", **facts, **figures}))


if __name__ == "__main__":
    main()
