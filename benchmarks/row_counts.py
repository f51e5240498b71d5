"""Requests of many lengths, one after the other, with and without rounded numbers of rows (infer/linear.py).

    python benchmarks/row_counts.py                 a tiny model, 12 rounds of 250 requests
    python benchmarks/row_counts.py --shape small --rounds 4 --requests 60

Prompts of 3 to 30 tokens, two samples of up to 8 tokens each, as many at one time as the engine takes. Both
sides are processes that take turns, the first of which counts too: a routine is compiled for each number of
rows that is new. Prints the seconds of all rounds and the memory over the beginning; last, one JSON line.
"""

import argparse
import json
import platform
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from turns import Side, answer_cases

from ramekin.infer import linear
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Request
from ramekin.infer.torch_engine import TorchEngine
from ramekin.sources.world import generate
from ramekin.tensors.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    "small": {},
}
SIDES = ("rounded", "exact")


def memory() -> int:
    """Bytes of this process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def rounds(side: str, shape: str, tokenizer: Path, threads: int) -> Callable[..., int]:
    """A function that answers some requests and gives the bytes of memory."""
    torch.set_num_threads(threads)
    if side == "exact":
        linear._round_rows = lambda rows: rows
    known = load_tokenizer(tokenizer)
    model = build_model(t5_config(vocab_size=len(known), **SHAPES[shape]), seed=0, tied=False)
    engine = TorchEngine(model, known, batch_tokens=8192)

    def answer(seed: int, requests: int) -> int:
        rng = random.Random(seed)
        asked = []
        for number in range(requests):
            ids = (*(rng.randrange(3, len(known)) for _ in range(rng.randrange(3, 30))), 1)
            drawn = Decoding(num_samples=2, sampling_temperature=1.0, seed=number)
            asked.append(Request(ids, 8, drawn))
        engine.answer(asked)
        return memory()

    return answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--requests", type=int, default=250)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--tokenizer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        answer_cases(rounds(args.side, args.shape, args.tokenizer, args.threads))
        return
    with tempfile.TemporaryDirectory() as folder:
        texts = [f"{row['sentence1']} {row['sentence2']}" for row in generate("rte", "train", n=400, seed=0)]
        save_tokenizer(train_tokenizer(texts, vocab_size=600), Path(folder))
        words = [__file__, f"--shape={args.shape}", f"--threads={args.threads}", f"--tokenizer={folder}"]
        sides = {name: Side([*words, f"--side={name}"]) for name in SIDES}
        begin = {name: side.ask(seed=0, requests=1)["found"] for name, side in sides.items()}
        taken: dict[str, float] = dict.fromkeys(SIDES, 0.0)
        grown: dict[str, list[int]] = {name: [] for name in SIDES}
        for number in range(1, args.rounds + 1):
            for name in SIDES if number % 2 else reversed(SIDES):
                answer = sides[name].ask(seed=number, requests=args.requests)
                taken[name] += answer["wall"]
                grown[name].append(answer["found"] - begin[name])
        for side in sides.values():
            side.end()
    for name in SIDES:
        shown = ", ".join(f"{size / 1e6:.0f}" for size in grown[name])
        print(f"{name:8} {taken[name]:7.2f} s; memory over the beginning by round: {shown} MB")
    ratio = taken["exact"] / taken["rounded"]
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    named = {key: value for key, value in vars(args).items() if key not in ("side", "tokenizer")}
    print(
        json.dumps({"exact_over_rounded": ratio, "seconds": taken, "grown_bytes": grown, **named, **versions})
    )


if __name__ == "__main__":
    main()
