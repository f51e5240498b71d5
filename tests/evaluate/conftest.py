"""A small world: a vocabulary, a random model, and tasks with options, numbers and free text."""

import random

import pytest
import torch

from ramekin.evaluate.runner import EvalSet
from ramekin.tensors.tokenizer import train_tokenizer
from ramekin.text.flip import flipped
from ramekin.text.render import PLAIN, render, render_spans
from ramekin.text.strict_yaml import Document
from ramekin.text.task_yaml import parse_task
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "bird",
    "fish",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "red",
    "blue",
    "old",
    "new",
]


def make_toy_task(name="toy/wet", **changes):
    base = {
        "description": "toy",
        "source": {
            "hub": "org/toy",
            "name": "wet",
            "local": "toy/wet",
            "splits": {"validation": "validation"},
        },
        "columns": {"text": "string", "label": "integer"},
        "answer": "label",
        "options": ["no", "yes"],
        "kind": "classification",
        "metrics": ["accuracy"],
        "templates": {"ask": "wet ? {{ text }} ||| {{ answer }}"},
    }
    return parse_task(name, Document({**base, **changes}, {}), where="toy.yaml")


def make_number_task(name="toy/near"):
    columns = {"text": "string", "label": "number"}
    return make_toy_task(
        name,
        columns=columns,
        options=[],
        kind="number",
        metrics=["spearman", "pearson"],
        templates={"ask": "near ? {{ text }} ||| {{ label | decimals(1) }}"},
    )


def make_text_task(name="toy/free"):
    columns = {"text": "string", "label": "string"}
    return make_toy_task(
        name,
        columns=columns,
        options=[],
        kind="text",
        metrics=["accuracy"],
        templates={"ask": "say {{ text }} ||| {{ label }}"},
    )


def make_choice_task(name="toy/pick"):
    columns = {"text": "string", "label": "integer", "choices": "list", "golds": "list"}
    return make_toy_task(
        name,
        columns=columns,
        options="choices",
        kind="multiple_choice",
        references="golds",
        metrics=["accuracy", "squad_f1"],
        templates={"ask": "pick {{ text }} ||| {{ answer }}"},
        turned_around={"ask_back": "ask {{ answer }} ||| {{ text }}"},
    )


def make_choice_set(rows, *, task=None, template="ask", split="validation"):
    """A set of (choices, label, golds); no two prompts are equal, since those would have one answer."""
    task = task or make_choice_task()
    examples = tuple(
        render(
            task,
            {
                "text": f"the {WORDS[row]} cat sat on a mat",
                "choices": choices,
                "label": label,
                "golds": golds,
            },
            template=template,
            split=split,
            row=row,
        )
        for row, (choices, label, golds) in enumerate(rows)
    )
    return EvalSet(task, template, split, examples, "toy")


def make_eval_set(task, labels, *, seed=0, split="validation"):
    """A set with one example a label and random texts."""
    rng = random.Random(f"{task.name} {seed}")
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(2, 14))) for _ in labels]
    examples = tuple(
        render(task, {"text": text, "label": label}, split=split, row=row)
        for row, (text, label) in enumerate(zip(texts, labels, strict=True))
    )
    return EvalSet(task, "ask", split, examples, "toy seed=0", skipped=2)


def make_flipped_set(task, labels, *, style=PLAIN, seed=0, split="validation"):
    """As `make_eval_set`, with the flipped form of every example."""
    rng = random.Random(f"{task.name} {seed}")
    rows = [
        {"text": " ".join(rng.choices(WORDS, k=rng.randrange(2, 14))), "label": label} for label in labels
    ]
    pairs = [render_spans(task, row, split=split, row=place, style=style) for place, row in enumerate(rows)]
    forms = tuple(flipped(rendered, example) for rendered, example in pairs)
    examples = tuple(example for _, example in pairs)
    template = next(iter(task.templates))
    return EvalSet(task, template, split, examples, "toy", flipped=forms, words=style.words)


@pytest.fixture(scope="session")
def tokenizer():
    rng = random.Random(0)
    numbers = [f"{n / 10:.1f}" for n in range(51)]
    lines = [
        " ".join(rng.choices([*WORDS, *numbers, "yes", "no", "wet", "near", "say", "?"], k=8))
        for _ in range(400)
    ]
    return train_tokenizer(lines, vocab_size=140)


@pytest.fixture
def model(tokenizer):
    """Random, but with logits far apart, and answers that end after different numbers of tokens."""
    config = t5_config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=3)
    model = build_model(config, seed=0, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name or "relative_attention_bias" in name:
                parameter.mul_(6.0)
        model.lm_head.weight[1] *= 4.0
    return model


@pytest.fixture
def sets():
    return (
        make_eval_set(make_toy_task(), [0, 1] * 9),
        make_eval_set(make_number_task(), [n / 4 for n in range(14)]),
        make_eval_set(make_text_task(), ["red cat", "old dog"] * 5),
    )


@pytest.fixture
def written(monkeypatch, tokenizer):
    """Let a test say what the model writes: `written([...])` gives the texts, in the order of the examples.

    An example that several answers are drawn for has a list of them.
    """
    import ramekin.infer.generate as module
    from ramekin.tensors.tokenizer import token_ids

    def say(texts, asked=None):
        def answer(model, inputs, **settings):
            if asked is not None:
                asked.update(settings)
            return [
                tuple((*ids, 1) for ids in token_ids(tokenizer, [each] if isinstance(each, str) else each))
                for each in texts
            ]

        monkeypatch.setattr(module, "decode", answer)

    return say


@pytest.fixture
def toy_task():
    """A task with options: `toy_task("toy/wet", metrics=[…])`."""
    return make_toy_task


@pytest.fixture
def number_task():
    """A task whose answers are numbers."""
    return make_number_task


@pytest.fixture
def text_task():
    """A task whose answers are free text."""
    return make_text_task


@pytest.fixture
def eval_set():
    """A set with one example a label: `eval_set(task, labels)`."""
    return make_eval_set


@pytest.fixture
def choice_set():
    """A multiple-choice set: `choice_set([(choices, label, golds), …])`."""
    return make_choice_set


@pytest.fixture
def flipped_set():
    """A set with the flipped form of its examples: `flipped_set(task, labels, style=…)`."""
    return make_flipped_set


@pytest.fixture
def ranked_sets():
    """Sets for both ranking directions: two labels, three labels, and options of each record's own."""
    three = make_toy_task("toy/hue", options=["red", "dark blue", "old"])
    return (
        make_flipped_set(make_toy_task(), [0, 1] * 9),
        make_flipped_set(three, [0, 2, 1, 1] * 3),
    )
