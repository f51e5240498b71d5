"""Texts by ramekin beside transformers and CTranslate2, on a random model of Flan-T5-small's shape.

    python benchmarks/generate.py                       greedy batches, samples of a long input, memory
    python benchmarks/generate.py --parity 500          are the tokens equal, greedy and by beam search?
    python benchmarks/generate.py --plain               with torch's default matrix products, as transformers
    python benchmarks/generate.py --tokenizer DIR       (T5's vocabulary) also by CTranslate2, fp32, int8

Greedy: batches of prompts of mixed lengths, every row as long as allowed (no token ends it), so that all
sides do the same steps. Samples: one input of 768 tokens, 16 outputs with top_p 0.95. Sides take turns, a
round runs each once, and medians of the rounds count, with the range of ours. Transformers runs in inference
mode with its cache, sdpa attention and one padded batch, the way in which it is fastest here; with `top_k=0`,
as nobody asked for another. CTranslate2's rows may end early, which its figures leave as they are: random
models hardly ever do. Prints tables and, last, one JSON line.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ramekin.infer import linear
from ramekin.infer.ctranslate_engine import CTranslateEngine
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.export import export_model
from ramekin.infer.generate import decode
from ramekin.infer.layers import Layers
from ramekin.infer.request import Answered, Failed, Request
from ramekin.infer.running import Running
from ramekin.infer.writing import begin
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

NO_TOKEN = -1
SHAPES: dict[str, dict[str, Any]] = {
    "small": {},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
}
Rows = list[list[int]]


def build(shape: str) -> Any:
    """A random model whose logits are far apart."""
    model: Any = build_model(t5_config(**SHAPES[shape]), seed=0, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name:
                parameter.mul_(3.0)
    return model


def prompts(count: int, *, seed: int = 0) -> Rows:
    """Lengths like those of instructions: from 15 to 60 tokens for most, up to 200 for one in ten."""
    rng = random.Random(seed)
    lengths = [rng.randrange(15, 60) if rng.random() < 0.9 else rng.randrange(60, 200) for _ in range(count)]
    return [[*(rng.randrange(3, 32000) for _ in range(length)), 1] for length in lengths]


def padded(rows: Rows) -> dict[str, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


@torch.inference_mode()
def theirs(model: Any, rows: Rows, new_tokens: int, **settings: Any) -> Rows:
    """The rows that transformers writes, without the start token."""
    found = model.generate(**padded(rows), max_new_tokens=new_tokens, use_cache=True, **settings)
    return [row[1:] for row in found.tolist()]


def in_turns(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The wall seconds of each side by round, after a round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(list(sides)):
            started = time.perf_counter()
            sides[name]()
            if number:
                taken[name].append(time.perf_counter() - started)
    return taken


def line(label: str, taken: Mapping[str, Sequence[float]], ours: str) -> dict[str, Any]:
    """A row of the table, printed; and its figures."""
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    ratios = {name: medians[name] / medians[ours] for name in medians if name != ours}
    low, high = min(taken[ours]), max(taken[ours])
    shown = "  ".join(f"{name} {medians[name]:.3f} s ({ratio:.2f})" for name, ratio in ratios.items())
    print(f"{label:34} {ours} {medians[ours]:.3f} s ({low:.3f} to {high:.3f})  {shown}")
    return {"case": label, "seconds": medians, "ratio": ratios, "range": [low, high]}


def greedy(
    model: Any, args: argparse.Namespace, engines: Mapping[str, CTranslateEngine]
) -> list[dict[str, Any]]:
    """Batches of mixed lengths."""
    model.generation_config.eos_token_id = None
    found = []
    for batch, new_tokens in ((1, 8), (1, 64), (8, 8), (8, 64), (16, 64), (32, 8), (32, 64)):
        rows = prompts(batch)
        ours = lambda rows=rows, n=new_tokens: [  # noqa: E731
            list(own[0]) for own in decode(model, rows, max_new_tokens=n, batch_tokens=10**9, eos_id=NO_TOKEN)
        ]
        other = lambda rows=rows, n=new_tokens: theirs(model, rows, n, do_sample=False, num_beams=1)  # noqa: E731
        equal = sum(a == b for a, b in zip(ours(), other(), strict=True)) / batch
        more = {
            name: lambda engine=engine, rows=rows, n=new_tokens: translated(engine, rows, n)
            for name, engine in engines.items()
        }
        taken = in_turns({"ramekin": ours, "transformers": other, **more}, args.rounds)
        found.append(
            {**line(f"batch {batch:2}, {new_tokens:2} new tokens", taken, "ramekin"), "equal_rows": equal}
        )
    return found


def translated(engine: CTranslateEngine, rows: Rows, new_tokens: int, decoding: Decoding = GREEDY) -> int:
    """The tokens that the CTranslate2 engine writes in all."""
    open_tickets = {engine.add(Request(tuple(row), new_tokens, decoding)) for row in rows}
    count = 0
    while open_tickets:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Answered):
                open_tickets.discard(event.ticket)
                count += sum(len(output.tokens) for output in event.outputs)
    return count


def exported(model: Any, tokenizer: Path, folder: Path) -> dict[str, CTranslateEngine]:
    """The model in CTranslate2, by what its matrices are held in."""
    engines = {}
    for quantization in ("float32", "int8"):
        output = folder / quantization
        export_model(model, output, tokenizer_folder=tokenizer, quantization=quantization, max_loss=1e9)
        engines[f"ctranslate2 {quantization}"] = CTranslateEngine(output, threads=torch.get_num_threads())
    return engines


def cross_bytes_of_transformers(model: Any, ids: Rows, samples: int) -> int:
    """What cross-attention's keys and values take in transformers' cache."""
    with torch.inference_mode():
        found = model.generate(
            **padded(ids), max_new_tokens=2, do_sample=True, top_k=0, num_return_sequences=samples,
            return_dict_in_generate=True,
        )  # fmt: skip
    layers = found.past_key_values.cross_attention_cache.layers
    return sum(each.numel() * each.element_size() for layer in layers for each in (layer.keys, layer.values))


def cross_bytes_of_ours(model: Any, ids: Rows, decoding: Decoding) -> int:
    """The same of ours, after two steps."""
    layers = Layers(model)
    running = Running(layers, start_id=0, pad_id=0)
    requests = [Request(tuple(row), 4, decoding) for row in ids]
    running.admit(
        ids,
        [begin(each, eos_id=NO_TOKEN, stops=None, form=None) for each in requests],
        max_new_tokens=4,
        batch_tokens=10**9,
    )
    for _ in range(2):
        running.step()
    assert running.num_rows == len(ids) * decoding.num_samples
    return running.cross_bytes


def sampled(model: Any, args: argparse.Namespace, engines: Mapping[str, CTranslateEngine]) -> dict[str, Any]:
    """Samples of one long input."""
    model.generation_config.eos_token_id = None
    rng = random.Random(1)
    ids = [[*(rng.randrange(3, 32000) for _ in range(767)), 1]]
    decoding = Decoding(num_samples=16, sampling_temperature=1.0, top_p=0.95)
    n = args.sampled_tokens
    sides: dict[str, Callable[[], object]] = {
        "ramekin": lambda: decode(
            model, ids, decoding=decoding, max_new_tokens=n, batch_tokens=10**9, eos_id=NO_TOKEN
        ),
        "transformers": lambda: theirs(
            model, ids, n, do_sample=True, num_return_sequences=16, temperature=1.0, top_k=0, top_p=0.95
        ),
    }
    for name, engine in engines.items():
        sides[name] = lambda engine=engine: translated(engine, ids, n, decoding)
    figures = line(f"16 samples of 768 tokens, {n} new", in_turns(sides, args.rounds), "ramekin")
    memory = {
        "ramekin": cross_bytes_of_ours(model, ids, decoding),
        "transformers": cross_bytes_of_transformers(model, ids, 16),
    }
    times = memory["transformers"] / memory["ramekin"]
    shown = "  ".join(f"{name} {size / 1e6:.1f} MB" for name, size in memory.items())
    print(f"{'cross-attention of 16 samples':34} {shown} ({times:.0f})")
    return {**figures, "cross_bytes": memory}


def parity(model: Any, count: int) -> dict[str, float]:
    """The share of prompts whose tokens are those of transformers, which gets them one by one."""
    model.generation_config.eos_token_id = 1
    with torch.no_grad():
        model.lm_head.weight[1] *= 3.0  # so that outputs end after different numbers of tokens
    rows = prompts(count, seed=7)
    shares = {}
    for name, beams in (("greedy", 1), ("beam search of 4", 4)):
        ours = decode(model, rows, decoding=Decoding(num_beams=beams), max_new_tokens=24, batch_tokens=8192)
        equal, lengths = 0, set()
        for row, own in zip(rows, ours, strict=True):
            (other,) = theirs(model, [row], 24, do_sample=False, num_beams=beams, early_stopping=False)
            other = other[: other.index(1) + 1] if 1 in other else other
            equal += list(own[0]) == other
            lengths.add(len(other))
        shares[name] = equal / count
        print(f"{name}: {equal} of {count} outputs equal, of {min(lengths)} to {max(lengths)} tokens")
    return shares


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sampled-tokens", type=int, default=100)
    parser.add_argument("--parity", type=int, default=0, help="compare the tokens of so many prompts instead")
    parser.add_argument("--tokenizer", type=Path, help="a folder with T5's vocabulary: for CTranslate2")
    parser.add_argument("--plain", action="store_true", help="without oneDNN's matrix products")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.plain:
        linear._has_onednn = lambda weight: False
    model = build(args.shape)
    figures: dict[str, Any] = {
        "benchmark": "generate",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        **vars(args),
    }
    if args.parity:
        figures["equal"] = parity(model, args.parity)
    else:
        with tempfile.TemporaryDirectory() as folder:
            engines = exported(model, args.tokenizer, Path(folder)) if args.tokenizer else {}
            figures["greedy"] = greedy(model, args, engines)
            figures["sampled"] = sampled(model, args, engines)
            for engine in engines.values():
                engine.close()
        figures["sampling_speedup_vs_transformers"] = figures["sampled"]["ratio"]["transformers"]
    print(json.dumps(figures, default=str))


if __name__ == "__main__":
    main()
