"""Training speed: ramekin's loop against transformers' Seq2SeqTrainer, same model, data and batch size.

    python benchmarks/train_speed.py                      a T5 of width 256, batches of 32
    python benchmarks/train_speed.py --global-batch 128   the Trainer accumulates batches of 32

Each side trains one epoch over the same examples; the sides take turns. The first step of each is not
counted (imports, allocation). CPU seconds are what the ratio is of: they hold on a machine that does other
things too; wall seconds are printed beside them. Prints a table and, last, one JSON line.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

Clock = list[tuple[float, float]]
"""(wall, CPU) seconds at the end of each step."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    items = make_items(options.examples, vocab=options.vocab, seed=options.seed)
    sides: dict[str, Callable[..., Clock]] = {"ramekin": train_ramekin, "trainer": train_trainer}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(options.rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            clock = sides[name](items, options, seed=number)
            measured[name].append(_rates(clock, options.global_batch))
            print(f"round {number + 1}: {name:<8} {_line(measured[name][-1])}", flush=True)
    medians = {
        name: {key: statistics.median(rate[key] for rate in rates) for key in rates[0]}
        for name, rates in measured.items()
    }
    for name, rate in medians.items():
        print(f"median:  {name:<8} {_line(rate)}")
    figures = {
        "benchmark": "train_speed",
        **{
            key: getattr(options, key)
            for key in ("global_batch", "micro_batch_tokens", "d_model", "layers", "vocab")
        },
        **{key: getattr(options, key) for key in ("examples", "rounds", "threads", "seed")},
        "examples_per_cpu_second": {name: round(rate["cpu"], 3) for name, rate in medians.items()},
        "examples_per_second": {name: round(rate["wall"], 3) for name, rate in medians.items()},
        "ratio_cpu": _ratio(measured, "cpu"),
        "ratio_wall": _ratio(measured, "wall"),
        "torch": torch.__version__,
    }
    print(json.dumps(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=160, help="examples of the epoch (160)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (3)")
    parser.add_argument("--global-batch", type=int, default=32, help="examples a step (32)")
    parser.add_argument("--micro-batch-tokens", type=int, default=512, help="ramekin's budget (512)")
    parser.add_argument("--d-model", type=int, default=256, help="width (256)")
    parser.add_argument("--layers", type=int, default=4, help="layers of each stack (4)")
    parser.add_argument("--vocab", type=int, default=32128, help="vocabulary (32128)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the data (0)")
    return parser


def make_items(count: int, *, vocab: int, seed: int) -> list:
    """Random tokens of realistic lengths: inputs log-normal 20-250, targets mostly 2-5 and at most 30."""
    from ramekin.tensors.encode import Encoded
    from ramekin.text.example import Provenance

    rng = random.Random(seed)
    origin = Provenance("toy/random", "ids", "train", 0)

    def ids(length: int) -> tuple[int, ...]:
        return (*(rng.randrange(3, vocab) for _ in range(length - 1)), 1)

    def item() -> Encoded:
        inputs = min(250, max(20, round(math.exp(rng.gauss(math.log(74), 0.6)))))
        targets = rng.randint(2, 5) if rng.random() < 0.65 else rng.randint(6, 30) // rng.choice((1, 2)) + 2
        return Encoded(ids(inputs), ids(min(30, targets)), origin)

    return [item() for _ in range(count)]


def make_model(options: argparse.Namespace):
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model

    width = options.d_model
    config = t5_config(
        vocab_size=options.vocab,
        d_model=width,
        d_kv=64,
        d_ff=2 * width,
        num_layers=options.layers,
        num_heads=max(1, width // 64),
    )
    return build_model(config, seed=0, tied=False)


def train_ramekin(items: list, options: argparse.Namespace, *, seed: int) -> Clock:
    from ramekin.train.events import StepDone
    from ramekin.train.loop import finetune
    from ramekin.train.recipe import Recipe

    clock: Clock = []

    def tick(event) -> None:
        if isinstance(event, StepDone):
            clock.append((time.perf_counter(), time.process_time()))

    recipe = Recipe(
        epochs=1,
        global_batch=options.global_batch,
        micro_batch_tokens=options.micro_batch_tokens,
        learning_rate=1e-4,
        precision="fp32",
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        finetune(make_model(options), items, recipe, run_dir=Path(folder), resume=False, progress=tick)
    return clock


def train_trainer(items: list, options: argparse.Namespace, *, seed: int) -> Clock:
    from transformers import (
        DataCollatorForSeq2Seq,
        PrinterCallback,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        TrainerCallback,
    )

    from ramekin.tensors.tokenizer import train_tokenizer

    clock: Clock = []

    class Tick(TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            clock.append((time.perf_counter(), time.process_time()))

    model = make_model(options)
    rows = [
        {
            "input_ids": list(i.input_ids),
            "attention_mask": [1] * len(i.input_ids),
            "labels": list(i.target_ids),
        }
        for i in items
    ]
    per_device = min(32, options.global_batch)
    with tempfile.TemporaryDirectory() as folder:
        settings = Seq2SeqTrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=options.global_batch // per_device,
            learning_rate=1e-4,
            optim="adamw_torch_fused",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=seed,
        )
        trainer = Seq2SeqTrainer(
            model=model,
            args=settings,
            train_dataset=rows,
            # It only pads; any tokenizer with <pad> 0 does.
            data_collator=DataCollatorForSeq2Seq(
                train_tokenizer(["a b c d"] * 9, vocab_size=40), model=model
            ),
            callbacks=[Tick()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def _rates(clock: Clock, global_batch: int) -> dict[str, float]:
    """Examples a second, the first step left out."""
    (wall, cpu), (wall_end, cpu_end) = clock[0], clock[-1]
    examples = (len(clock) - 1) * global_batch
    return {"wall": examples / (wall_end - wall), "cpu": examples / (cpu_end - cpu)}


def _ratio(measured: dict[str, list[dict[str, float]]], key: str) -> float:
    """The median over rounds of ramekin's rate by the Trainer's: each pair was measured close together."""
    pairs = zip(measured["ramekin"], measured["trainer"], strict=True)
    return round(statistics.median(ours[key] / theirs[key] for ours, theirs in pairs), 3)


def _line(rate: dict[str, float]) -> str:
    return f"{rate['cpu']:8.2f} examples per CPU second  {rate['wall']:8.2f} examples per second"


if __name__ == "__main__":
    sys.exit(main())
