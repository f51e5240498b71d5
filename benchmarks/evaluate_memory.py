"""Peak memory of evaluating: by the token budget, by the longest row, and of the tokens of a whole set.

    python benchmarks/evaluate_memory.py [--rows 12] [--prompts 14000]

A small random T5 answers rows of 100 to 4,000 tokens: it ranks 64 options of each, or draws 16 samples. Each
case runs in a process of its own; what is told is the highest resident memory above that of the loaded model.
Three times as many rows must not take much more; rows that alone exceed the budget have batches of their own,
whose attention is laid out in parts. Last, what the tokens of a whole set take: prompts of
1,000 tokens, while they are made and afterwards. The last line is JSON.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VOCABULARY = 2000
OPTIONS, SAMPLES = 64, 16
MB = 2**20


def resident(name: str) -> float:
    """MB of `VmRSS`, what is resident now, or `VmHWM`, the most that was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def answer(way: str, batch_tokens: int, rows: int, longest: int) -> dict[str, Any]:
    import torch

    from ramekin.evaluate.answering import Asked, answered
    from ramekin.evaluate.journal import Request
    from ramekin.infer.decoding import Decoding
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model

    torch.set_num_threads(1)
    config = t5_config(vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)
    model = build_model(config, seed=0, tied=False)
    rng = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(count))

    lengths = [round(100 * (longest / 100) ** (row % 12 / 11)) for row in range(rows)]
    if way == "rank":
        options = tuple((*ids(rng.randrange(2, 6)), 1) for _ in range(OPTIONS))
        requests = [Request((*ids(length - 1), 1), options) for length in lengths]
    else:
        decoding = Decoding(num_samples=SAMPLES, sampling_temperature=0.7, top_k=40)
        requests = [Request((*ids(length - 1), 1), (), 16, decoding) for length in lengths]
    answered(model, [Asked(Request((5, 1), ((6, 1),)), 0, 0)], batch_tokens=64)  # what loads on first use
    before = resident("VmRSS")
    forget_peak()
    started = time.perf_counter()
    found, _ = answered(model, [Asked(r, n, 0) for n, r in enumerate(requests)], batch_tokens=batch_tokens)
    assert all(len(each) == (1 if way == "rank" else SAMPLES) for each in found)
    return {
        "above_model_mb": resident("VmHWM") - before,
        "seconds": time.perf_counter() - started,
        "rows_over_budget": sum(length > batch_tokens for length in lengths),
    }


def tokens(prompts: int) -> dict[str, Any]:
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import train_tokenizer
    from ramekin.text.example import Example, Provenance

    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(400)]
    tokenizer = train_tokenizer([" ".join(rng.choices(words, k=20)) for _ in range(2000)], vocab_size=1600)
    given = Provenance("own/task", "validation", "ask", 0)
    examples = [
        Example(" ".join(rng.choices(words, k=999)), "yes", ("yes", "no"), given) for _ in range(prompts)
    ]
    before = resident("VmRSS")
    forget_peak()
    started = time.perf_counter()
    encoded = encode(examples, tokenizer, max_input_tokens=1024)
    count = sum(len(each.input_ids) for each in encoded.items)
    return {
        "tokens": count,
        "tokens_before_the_cut": encoded.input_tokens,
        "peak_mb": resident("VmHWM") - before,
        "kept_mb": resident("VmRSS") - before,
        "bytes_a_token": (resident("VmRSS") - before) * MB / count,
        "seconds": time.perf_counter() - started,
    }


def in_a_process(**case: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=14000)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        case = json.loads(options.case)
        print(json.dumps(tokens(**case) if "prompts" in case else answer(**case)))
        return
    found = []
    print("MB above the model   longest  budget   rows   x3 rows   rows over budget")
    for way in ("rank", "sample"):
        for longest in (1000, 4000):
            for batch_tokens in (2048, 8192):
                one, three = (
                    in_a_process(way=way, batch_tokens=batch_tokens, rows=rows, longest=longest)
                    for rows in (options.rows, 3 * options.rows)
                )
                case = {"way": way, "longest": longest, "batch_tokens": batch_tokens}
                peaks = [one["above_model_mb"], three["above_model_mb"]]
                found.append({**case, "peaks_mb": peaks, "over_budget": one["rows_over_budget"]})
                print(
                    f"{way:20s} {longest:7d} {batch_tokens:7d} {peaks[0]:7.0f} {peaks[1]:8.0f} "
                    f"{one['rows_over_budget']:10d}",
                    flush=True,
                )
    whole = in_a_process(prompts=options.prompts)
    print(
        f"{whole['tokens']:,} tokens of {options.prompts:,} prompts: {whole['peak_mb']:,.0f} MB while they "
        f"are made, {whole['kept_mb']:,.0f} MB afterwards, {whole['bytes_a_token']:.1f} bytes a token, "
        f"{whole['seconds']:.1f} s"
    )
    print(json.dumps({"answering": found, "tokens": whole}))


if __name__ == "__main__":
    main()
