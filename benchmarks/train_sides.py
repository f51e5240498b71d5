"""One side of `benchmarks/train.py`, in a process of its own: it trains only when it is told to.

Reads a job as one line of JSON, trains until its first steps are behind it, says `ready`, and for every line
that comes in takes the asked number of steps and writes what they took. Both sides have the same model, the
same examples, AdamW (fused) and dropout 0.1; each draws its batches from the examples in its own way.
"""

import json
import math
import random
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ramekin.tensors.encode import Encoded

EXAMPLES = 6400  # four of the Trainer's mega-batches of 50 x 32, within which it sorts by length
PEER_BATCH = 32
LEARNING_RATE = 1e-4
SHAPES: dict[str, dict[str, int]] = {
    "d256": {"d_model": 256, "d_kv": 64, "d_ff": 512, "num_layers": 4, "num_heads": 4},
    "flan-t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
}


@dataclass
class Job:
    """What a side is to do."""

    side: str
    """`ramekin`, or the Trainer's `train_sampling_strategy`."""
    global_batch: int
    warmup_steps: int
    total_steps: int
    shape: str
    micro_batch_tokens: int
    threads: int
    seed: int
    data: str | None = None
    tokenizer: str | None = None


@dataclass
class Turn:
    """What some steps took, and what they saw."""

    cpu: float = 0.0
    wall: float = 0.0
    examples: int = 0
    input_tokens: int = 0
    target_tokens: int = 0
    positions: int = 0
    """Tokens that were computed, padding included."""
    peak_mb: float = field(default=0.0)


class Baton:
    """Counts what a model is given and gives the turn back after the asked number of steps."""

    def __init__(self, job: Job, channel: Any) -> None:
        self.job, self.channel, self.step, self.left = job, channel, 0, job.warmup_steps
        self.turn = Turn()

    def watch(self, model: Any) -> None:
        """Count the tokens of every forward pass."""
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _model: Any, _args: Any, given: dict[str, Any]) -> None:
        mask, targets = given["attention_mask"], given.get("labels")
        if targets is None:
            targets = given["decoder_input_ids"]
            # The start token is the padding token, and stands where the last target token is missing.
            self.turn.target_tokens += int((targets != 0).sum()) + targets.shape[0]
        else:
            self.turn.target_tokens += int((targets != -100).sum())
        self.turn.examples += mask.shape[0]
        self.turn.input_tokens += int(mask.sum())
        self.turn.positions += mask.numel() + targets.numel()

    def step_done(self) -> None:
        """After every optimizer step."""
        self.step, self.left = self.step + 1, self.left - 1
        if self.left:
            return
        if self.step > self.job.warmup_steps:
            self.turn.cpu = time.process_time() - self.cpu
            self.turn.wall = time.perf_counter() - self.wall
            self.turn.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.channel.write(json.dumps(asdict(self.turn)) + "\n")
        else:
            self.channel.write("ready\n")
        self.channel.flush()
        if self.step == self.job.total_steps:
            return
        self.left, self.turn = int(sys.stdin.readline()), Turn()
        self.cpu, self.wall = time.process_time(), time.perf_counter()


def make_items(count: int, *, vocab: int, seed: int) -> list[Encoded]:
    """Random tokens of realistic lengths: inputs log-normal 20-250, targets mostly 2-5 and at most 30."""
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


def read_items(count: int, *, data: Path, tokenizer: Path, seed: int) -> list[Encoded]:
    """Rows of every built-in task that the folder has, each under a template of its own, in drawn order."""
    from ramekin.catalog import Catalog
    from ramekin.sources.records import read_records, splits_at_hand
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.text.reading import belongs
    from ramekin.text.render import render

    tasks = [task for task in Catalog().values() if task.source.world is None]
    splits = {task.name: splits_at_hand(task.source, data) for task in tasks}
    tasks = [task for task in tasks if splits[task.name]]
    rng, examples = random.Random(seed), []
    for task in tasks:
        split = splits[task.name][0]
        rows = read_records(task.source, split, columns=task.columns, data_root=data).rows
        places = [place for place, row in enumerate(rows) if belongs(task, row, where=task.name)]
        for place in rng.choices(places, k=-(-count // len(tasks))):
            name = rng.choice(list(task.templates))
            made = render(task, rows[place], template=name, split=split, row=place)
            examples += [made] if made is not None else []
    rng.shuffle(examples)
    return list(encode(examples[:count], load_tokenizer(tokenizer)).items)


def items_of(job: Job) -> list[Encoded]:
    if job.data is None:
        return make_items(EXAMPLES, vocab=32128, seed=job.seed)
    assert job.tokenizer is not None
    return read_items(EXAMPLES, data=Path(job.data), tokenizer=Path(job.tokenizer), seed=job.seed)


def make_model(shape: str) -> Any:
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model

    return build_model(t5_config(**SHAPES[shape]), seed=0, tied=False)


def train_ramekin(job: Job, baton: Baton) -> None:
    from ramekin.train.events import StepDone
    from ramekin.train.loop import finetune
    from ramekin.train.recipe import Recipe

    recipe = Recipe(
        max_steps=job.total_steps,
        global_batch=job.global_batch,
        micro_batch_tokens=job.micro_batch_tokens,
        learning_rate=LEARNING_RATE,
        precision="fp32",
        seed=job.seed,
    )
    model = make_model(job.shape)
    baton.watch(model)

    def tick(event: Any) -> None:
        if isinstance(event, StepDone):
            baton.step_done()

    with tempfile.TemporaryDirectory() as folder:
        finetune(model, items_of(job), recipe, run_dir=Path(folder), resume=False, progress=tick)


def peer_rows(items: list[Encoded]) -> list[dict[str, list[int]]]:
    """Examples as the Trainer takes them."""
    return [
        {
            "input_ids": list(item.input_ids),
            "attention_mask": [1] * len(item.input_ids),
            "labels": list(item.target_ids),
        }
        for item in items
    ]


def peer_trainer(model: Any, items: list[Encoded], folder: str, callback: Any, **settings: Any) -> Any:
    """A Seq2SeqTrainer as its documentation sets one up, quiet."""
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments

    from ramekin.tensors.tokenizer import train_tokenizer

    arguments = Seq2SeqTrainingArguments(
        output_dir=folder,
        learning_rate=LEARNING_RATE,
        optim="adamw_torch_fused",
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **settings,
    )
    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=peer_rows(items),
        # It only pads; any tokenizer with <pad> 0 does.
        data_collator=DataCollatorForSeq2Seq(train_tokenizer(["a b c d"] * 9, vocab_size=40), model=model),
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_peer(job: Job, baton: Baton) -> None:
    from transformers import TrainerCallback

    class Tick(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            baton.step_done()

    model = make_model(job.shape)
    baton.watch(model)
    with tempfile.TemporaryDirectory() as folder:
        peer_trainer(
            model,
            items_of(job),
            folder,
            Tick(),
            max_steps=job.total_steps,
            per_device_train_batch_size=PEER_BATCH,
            gradient_accumulation_steps=job.global_batch // PEER_BATCH,
            train_sampling_strategy=job.side,
            seed=job.seed,
        ).train()


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    channel, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed stays out of the answers
    import torch

    torch.set_num_threads(job.threads)
    baton = Baton(job, channel)
    (train_ramekin if job.side == "ramekin" else train_peer)(job, baton)


if __name__ == "__main__":
    main()
