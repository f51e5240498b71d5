"""The published paper-to-question training, whole, on papers of the built-in world."""

import itertools
import json
import re
from pathlib import Path

import pytest

from ramekin.recipes import train
from ramekin.recipes.compose import compose
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.schema import TrainConfig
from ramekin.sources.world import generate
from ramekin.tensors.tokenizer import load_tokenizer

EPOCHS, STEPS_AN_EPOCH, BATCH = 10, 46, 16


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 that has learned nothing, with a vocabulary of the papers' words and of the mark."""
    from ramekin.catalog import load_task
    from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer
    from ramekin.text.render import render
    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.config import t5_config
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.seq2seq import build_model

    task = load_task("mini/papers")
    texts = []
    for row, record in enumerate(generate("papers", "train", n=200, seed=0)):
        example = render(task, record, split="train", row=row)
        texts += [example.inputs, example.targets]
    folder = tmp_path_factory.mktemp("small")
    save_tokenizer(train_tokenizer(texts, vocab_size=320), folder / "tokenizer")
    vocabulary = len(load_tokenizer(folder / "tokenizer"))
    shape = t5_config(vocab_size=vocabulary, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    save_checkpoint(
        build_model(shape, seed=0, tied=False), folder / "model", tokenizer_folder=folder / "tokenizer",
        lineage=Lineage(kind="dense", operation="random", seed=0),
    )  # fmt: skip
    return folder / "model"


def test_the_mark_survives_the_vocabulary(small_model: Path) -> None:
    tokenizer = load_tokenizer(small_model)
    for row in generate("papers", "validation", n=50, seed=0):
        target = f"{row['question']} [SEP] {row['answer']}"
        assert tokenizer.decode(tokenizer(target)["input_ids"], skip_special_tokens=True) == target


def test_the_published_training_on_papers_in_small(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its numbers as they are: 460 steps of 16 rows, 46 an epoch, evaluated after each."""
    monkeypatch.chdir(tmp_path)
    words = ["recipe=papers/question_answer", "task=mini/papers", f"model={small_model}", f"limit={STEPS_AN_EPOCH * BATCH}",
             "eval_limit=32", "threads=1", "output=run"]  # fmt: skip
    config = compose("train", TrainConfig, words)
    numbers = config.training
    assert (numbers.learning_rate, numbers.beta1, numbers.beta2, numbers.epsilon) == (1e-4, 0.9, 0.999, 1e-8)
    assert (numbers.schedule, numbers.warmup_steps, numbers.epochs, numbers.global_batch) == (
        "linear",
        184,
        10,
        16,
    )
    assert config.seed == 42
    told = train.execute(config, SilentProgress()).to_json()
    assert told["steps"] == EPOCHS * STEPS_AN_EPOCH

    (table,) = json.loads(Path("run/report.json").read_text())["validations"]
    points = table["points"]
    assert [(point["step"], point["epoch"]) for point in points] == [(46 * i, i) for i in range(1, 11)]
    training = [point["training"] for point in points]
    assert training[0] is None and training[1] is not None
    assert training[1:9:2] == training[2:10:2], "each stands in two rows"
    for losses in (training[1::2], [point["validation"] for point in points]):
        assert all(later < earlier for earlier, later in itertools.pairwise(losses)), losses
    assert (
        points[-1]["validation"] < 0.9 * points[0]["validation"]
        and told["validation_loss"] == points[-1]["validation"]
    )

    lines = [line for line in Path("run/report.md").read_text().splitlines() if line.startswith("|")]
    start = next(i for i, line in enumerate(lines) if "Training Loss" in line)
    assert [cell.strip() for cell in lines[start].strip("|").split("|")] == [
        "Training Loss",
        "Epoch",
        "Step",
        "Validation Loss",
    ]
    rows = lines[start + 2 : start + 12]
    assert re.fullmatch(r"\|\s+No log \|\s+1\.00 \|\s+46 \|\s+\d\.\d{4} \|", rows[0])
    assert all(
        re.fullmatch(r"\|\s+\d\.\d{4} \|\s+\d+\.00 \|\s+\d+ \|\s+\d\.\d{4} \|", row) for row in rows[1:]
    )
    page = Path("run/report.html").read_text()
    assert "<td>No log</td><td>1.00</td><td>46</td>" in page and "Validation Loss</th>" in page
    logged = [json.loads(line) for line in Path("run/events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in logged if event["event"] == "step"] == [92 * i for i in range(1, 6)]
