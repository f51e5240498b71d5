"""Texts by ramekin beside transformers and CTranslate2, on a random model of Flan-T5-small's shape.

    python benchmarks/generate.py                       greedy batches, samples of a long input, memory
    python benchmarks/generate.py --parity 500          are the tokens equal, greedy and by beam search?
    python benchmarks/generate.py --parity 500 --model runs/rte     by a trained model, on the built-in tasks
    python benchmarks/generate.py --plain               with torch's default matrix products, as transformers
    python benchmarks/generate.py --tokenizer DIR       (T5's vocabulary) also by CTranslate2, fp32, int8
    python benchmarks/generate.py --shape base

Greedy: batches of prompts of mixed lengths, every row as long as allowed (no token ends it), so that all
sides do the same steps. Samples: one input of 768 tokens, 16 outputs with top_p 0.95. Each side is a process
of its own, for the threads of one library wait for work by spinning, which slows another in the same process.
Sides take turns, a round runs each once, and medians of the rounds count, with the range of ours.
Transformers runs in inference mode with its cache, sdpa attention and one padded batch, the way in which it
is fastest here; with `top_k=0`, as nobody asked for another. CTranslate2's rows may end early, which its
figures leave as they are: random models hardly ever do. Prints tables and, last, one JSON line.

Parity: transformers gets the prompts one by one. Where an output parts, the log-probabilities of both sides'
tokens are told in float64, to see whether it is more than rounding; and how many outputs of transformers are
the same in batches of 32 as one by one.
"""

import argparse
import copy
import json
import platform
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from turns import Side, answer_cases, in_turns

from ramekin import load_task, read_records, render, task_names
from ramekin.infer import linear
from ramekin.infer.continuous_batch import ContinuousBatch
from ramekin.infer.ctranslate_engine import CTranslateEngine
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.export import export_model
from ramekin.infer.generate import decode
from ramekin.infer.layers import Layers
from ramekin.infer.request import Request
from ramekin.infer.writing import begin
from ramekin.tensors.tokenizer import EOS_ID, load_tokenizer, token_ids
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, load_model

NO_TOKEN = -1
SHAPES: dict[str, dict[str, Any]] = {
    "small": {},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
}
Rows = list[list[int]]
Ask = Callable[..., dict[str, Any]]


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
    # Its cache has as many layers as the encoder: a deeper decoder, as that of mini/base, does not fit.
    use_cache = model.config.num_layers >= model.config.num_decoder_layers
    found = model.generate(**padded(rows), max_new_tokens=new_tokens, use_cache=use_cache, **settings)
    return [row[1:] for row in found.tolist()]


def writer(side: str, args: argparse.Namespace) -> Callable[[Rows, int, int], Rows]:
    """What a side writes for (prompts, tokens each, samples a prompt; 0: greedy) as rows of tokens."""
    if side.startswith("ctranslate2"):
        engine = CTranslateEngine(args.folder / side.partition(" ")[2], threads=args.threads)
        return lambda rows, new_tokens, samples: translated(engine, rows, new_tokens, sampling(samples))
    prepare(args)
    model = build(args.shape)
    if side == "ramekin":
        return lambda rows, new_tokens, samples: [
            list(own)
            for outputs in decode(
                model, rows, decoding=sampling(samples), max_new_tokens=new_tokens, batch_tokens=10**9,
                eos_id=NO_TOKEN,
            )
            for own in outputs
        ]  # fmt: skip
    model.generation_config.eos_token_id = None
    drawn = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.95}
    plain = {"do_sample": False, "num_beams": 1}
    return lambda rows, new_tokens, samples: theirs(
        model, rows, new_tokens, **({"num_return_sequences": samples, **drawn} if samples else plain)
    )


def prepare(args: argparse.Namespace) -> None:
    """Make torch compute as it is asked for."""
    torch.set_num_threads(args.threads)
    if args.plain:
        linear._has_onednn = lambda weight: False


def sampling(samples: int) -> Decoding:
    """Greedy for 0."""
    return Decoding(num_samples=samples, sampling_temperature=1.0, top_p=0.95) if samples else GREEDY


def line(label: str, taken: Mapping[str, Sequence[float]], ours: str = "ramekin") -> dict[str, Any]:
    """A row of the table, printed; and its figures."""
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    ratios = {name: medians[name] / medians[ours] for name in medians if name != ours}
    low, high = min(taken[ours]), max(taken[ours])
    shown = "  ".join(f"{name} {medians[name]:.3f} s ({ratio:.2f})" for name, ratio in ratios.items())
    print(f"{label:34} {ours} {medians[ours]:.3f} s ({low:.3f} to {high:.3f})  {shown}")
    return {"case": label, "seconds": medians, "ratio": ratios, "range": [low, high]}


def seconds(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[float]]:
    """The wall seconds of each side, by round."""
    return {name: [each["wall"] for each in own] for name, own in answers.items()}


def greedy(sides: Mapping[str, Ask], rounds: int) -> list[dict[str, Any]]:
    """Batches of mixed lengths."""
    found = []
    for batch, new_tokens in ((1, 8), (1, 64), (8, 8), (8, 64), (16, 64), (32, 8), (32, 64)):
        answers = in_turns(sides, rounds, rows=prompts(batch), new_tokens=new_tokens, samples=0)
        pairs = zip(*(answers[name][0]["found"] for name in ("ramekin", "transformers")), strict=True)
        figures = line(f"batch {batch:2}, {new_tokens:2} new tokens", seconds(answers))
        found.append({**figures, "equal_rows": sum(a == b for a, b in pairs) / batch})
    return found


def translated(engine: CTranslateEngine, rows: Rows, new_tokens: int, decoding: Decoding) -> Rows:
    """What the CTranslate2 engine writes."""
    answers = engine.answer([Request(tuple(row), new_tokens, decoding) for row in rows])
    return [list(output.tokens) for outputs in answers for output in outputs]


def export(shape: str, tokenizer: Path, folder: Path) -> list[str]:
    """Write the model for CTranslate2, by what its matrices are held in; returns the sides' names."""
    model = build(shape)
    for quantization in ("float32", "int8"):
        output = folder / quantization
        export_model(model, output, tokenizer_folder=tokenizer, quantization=quantization, max_loss=1e9)
    return ["ctranslate2 float32", "ctranslate2 int8"]


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
    running = ContinuousBatch(layers, start_id=0, pad_id=0)
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


def sampled(sides: Mapping[str, Ask], args: argparse.Namespace) -> dict[str, Any]:
    """Samples of one long input."""
    rng = random.Random(1)
    ids = [[*(rng.randrange(3, 32000) for _ in range(767)), 1]]
    n = args.sampled_tokens
    answers = in_turns(sides, args.rounds, rows=ids, new_tokens=n, samples=16)
    figures = line(f"16 samples of 768 tokens, {n} new", seconds(answers))
    model = build(args.shape)
    memory = {
        "ramekin": cross_bytes_of_ours(model, ids, sampling(16)),
        "transformers": cross_bytes_of_transformers(model, ids, 16),
    }
    times = memory["transformers"] / memory["ramekin"]
    shown = "  ".join(f"{name} {size / 1e6:.1f} MB" for name, size in memory.items())
    print(f"{'cross-attention of 16 samples':34} {shown} ({times:.0f})")
    return {**figures, "cross_bytes": memory}


def task_prompts(folder: Path, count: int, names: Sequence[str]) -> Rows:
    """Prompts of tasks in a model's tokens, as many of each."""
    tokenizer = load_tokenizer(folder)
    tasks = [load_task(name) for name in names]
    each = -(-count // len(tasks))
    texts = [
        render(task, record, split="validation", row=row).inputs
        for task in tasks
        for row, record in enumerate(
            read_records(task.source, "validation", columns=task.columns, limit=each).rows
        )
    ]
    return [[*ids, EOS_ID] for ids in token_ids(tokenizer, texts[:count])]


def parity(model: Any, rows: Rows) -> dict[str, dict[str, Any]]:
    """How many outputs are those of transformers one by one, and how many of its own in batches are."""
    count = len(rows)
    model.generation_config.eos_token_id = EOS_ID
    exact = copy.deepcopy(model).double()
    figures: dict[str, dict[str, Any]] = {}
    for name, beams in (("greedy", 1), ("beam search of 4", 4)):
        settings = {"do_sample": False, "num_beams": beams, "early_stopping": False}
        ours = decode(model, rows, decoding=Decoding(num_beams=beams), max_new_tokens=24, batch_tokens=8192)
        batched = [
            ended(each)
            for start in range(0, count, 32)
            for each in theirs(model, rows[start : start + 32], 24, **settings)
        ]
        alone = [ended(theirs(model, [row], 24, **settings)[0]) for row in rows]
        parted = [place for place in range(count) if list(ours[place][0]) != alone[place]]
        lengths = [len(each) for each in alone]
        figures[name] = {
            "equal": count - len(parted),
            "transformers_batched_equal": sum(a == b for a, b in zip(alone, batched, strict=True)),
            "parted": [
                parting(exact, rows[place], list(ours[place][0]), alone[place], beams) for place in parted
            ],
        }
        print(
            f"{name}: {count - len(parted)} of {count} outputs equal, {min(lengths)} to {max(lengths)} tokens"
        )
        print(f"  transformers in batches of 32: {figures[name]['transformers_batched_equal']}")
        for place, told in zip(parted, figures[name]["parted"], strict=True):
            print(f"  prompt {place} parts at token {told['position']}: {told}")
    return figures


def ended(tokens: list[int]) -> list[int]:
    """Up to `</s>`."""
    return tokens[: tokens.index(EOS_ID) + 1] if EOS_ID in tokens else tokens


@torch.inference_mode()
def parting(exact: Any, row: list[int], ours: list[int], other: list[int], beams: int) -> dict[str, Any]:
    """Where two outputs part, and by how much in float64: the tokens' log-probabilities, or the beams'."""
    pairs = zip(ours, other, strict=False)
    position = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(other)))
    scores = []
    for tokens in (ours, other):
        logits = exact(
            input_ids=torch.tensor([row]), decoder_input_ids=torch.tensor([[0, *tokens[:-1]]])
        ).logits
        own = logits[0].log_softmax(-1)[torch.arange(len(tokens)), tokens]
        scores.append(float(own.mean() if beams > 1 else own[position]))
    return {
        "position": position,
        "ours": scores[0],
        "theirs": scores[1],
        "ours_higher": scores[0] - scores[1],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sampled-tokens", type=int, default=100)
    parser.add_argument("--parity", type=int, default=0, help="compare the tokens of so many prompts instead")
    parser.add_argument("--model", type=Path, help="with --parity: a checkpoint in place of a random model")
    parser.add_argument("--tasks", nargs="*", help="with --model: whose prompts; all built-in ones")
    parser.add_argument("--tokenizer", type=Path, help="a folder with T5's vocabulary: for CTranslate2")
    parser.add_argument("--plain", action="store_true", help="without oneDNN's matrix products")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        answer_cases(writer(args.side, args))
        return
    figures: dict[str, Any] = {
        "benchmark": "generate",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        **{name: value for name, value in vars(args).items() if name not in ("side", "folder")},
    }
    if args.parity:
        prepare(args)
        if args.model:
            tasks = args.tasks or [name for name in task_names() if name.startswith("mini/")]
            figures["equal"] = parity(load_model(args.model), task_prompts(args.model, args.parity, tasks))
        else:
            model = build(args.shape)
            with torch.no_grad():
                model.lm_head.weight[EOS_ID] *= 3.0  # so that outputs end after different numbers of tokens
            figures["equal"] = parity(model, prompts(args.parity, seed=7))
    else:
        with tempfile.TemporaryDirectory() as folder:
            names = ["ramekin", "transformers"]
            names += export(args.shape, args.tokenizer, Path(folder)) if args.tokenizer else []
            words = [f"--shape={args.shape}", f"--threads={args.threads}", f"--folder={folder}"]
            words += ["--plain"] if args.plain else []
            sides = {name: Side([__file__, f"--side={name}", *words]) for name in names}
            asks = {name: side.ask for name, side in sides.items()}
            figures["greedy"] = greedy(asks, args.rounds)
            figures["sampled"] = sampled(asks, args)
            for side in sides.values():
                side.end()
        ratio = figures["sampled"]["ratio"]
        figures["sampling_speedup_vs_transformers"] = ratio["transformers"]
        for name in names[2:]:
            figures[f"sampling_speedup_vs_transformers, {name}"] = ratio["transformers"] / ratio[name]
    print(json.dumps(figures, default=str))


if __name__ == "__main__":
    main()
