"""Every objective learns what it says, on a task of a few words; held-out rows are scored.

A record is a word and noise, and its label says which kind of word it is. What an objective has learned shows
in the label under which its own quantity is highest: log P(l | x), log P(x | l), log P(I | x, l).
"""

import math
import random

import pytest
import torch

from ramekin.tensors.collate import collate
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance
from ramekin.train.loop import finetune
from ramekin.train.objective import Likelihood, ObjectiveRecipe, sum_by_example

LABELS = (3, 4)
WORDS, NOISE = range(10, 26), range(30, 50)
INSTRUCTION = (50, 51, 52)
END = 1


def rows(count, *, seed):
    """(record, label): even words are of the one label, odd words of the other."""
    rng = random.Random(seed)
    drawn = [(rng.choice(WORDS), rng.choice(NOISE)) for _ in range(count)]
    return [(record, LABELS[record[0] % 2]) for record in drawn]


def form(name, record, label, *, wrong=None):
    """The two sides of an example."""
    sides = {
        "direct": ((*INSTRUCTION, *record), (label,)),
        "channel": ((label,), (*INSTRUCTION, *record)),
        "flipped": ((*record, label), INSTRUCTION),
    }
    inputs, targets = sides[name]
    wrong_inputs = (*record, wrong, END) if wrong is not None else ()
    return Encoded((*inputs, END), (*targets, END), Provenance("toy/kind", "ask", "train", 0), wrong_inputs)


def accuracy(model, name):
    """How often the right label has the highest log-probability, over rows that were not trained on."""
    held_out = rows(60, seed=1)
    items = [form(name, record, label) for record, _ in held_out for label in LABELS]
    batch = collate(items)
    with torch.no_grad():
        losses = Likelihood()(model.eval(), batch).values
    best = sum_by_example(losses, batch, num_examples=len(items)).view(-1, 2).argmin(1)
    right = torch.tensor([LABELS.index(label) for _, label in held_out])
    return (best == right).double().mean().item()


@pytest.fixture(name="learn")
def _learn(make_model, make_recipe, tmp_path):
    def learn(objective, *, max_steps):
        denies = objective.needs_wrong_inputs
        items = [
            form(objective.name, record, label, wrong=sum(LABELS) - label if denies else None)
            for record, label in rows(300, seed=0)
        ]
        model = make_model(d_model=32, d_kv=16, d_ff=64)
        recipe = make_recipe(
            max_steps=max_steps, global_batch=32, micro_batch_tokens=512, learning_rate=1e-2, dropout=0.0
        )
        losses = []
        finetune(
            model,
            items,
            recipe,
            run_dir=tmp_path,
            resume=False,
            objective=objective,
            progress=losses.append,
        )
        return model, [each.loss for each in losses], losses[-1].parts

    return learn


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_direct_learns_the_answer(learn, smoothing):
    model, losses, parts = learn(ObjectiveRecipe(label_smoothing=smoothing), max_steps=50)
    assert losses[-1] < losses[0] / 4
    assert parts.get("likelihood", losses[-1]) < 0.2
    assert accuracy(model, "direct") > 0.95


def test_channel_learns_the_prompt_of_an_answer(learn):
    model, losses, _ = learn(ObjectiveRecipe(name="channel"), max_steps=50)
    # Of the prompt's six tokens one is drawn from 8 words and one from 20, whatever is learned.
    assert (math.log(8) + math.log(20)) / 6 * 0.9 < losses[-1] < 1.1 < losses[0] / 4
    assert accuracy(model, "channel") > 0.95


def test_flipped_learns_which_label_the_instruction_belongs_to(learn):
    model, losses, parts = learn(ObjectiveRecipe(name="flipped"), max_steps=90)
    assert losses[-1] < 0.3 < losses[0] / 10
    assert set(parts) == {"likelihood", "unlikelihood"} and max(parts.values()) < 0.1
    assert accuracy(model, "flipped") > 0.95


def test_without_unlikelihood_the_label_is_overlooked(learn):
    """The instruction is learned all the same, but it is as likely under either label."""
    model, losses, _ = learn(ObjectiveRecipe(name="flipped", unlikelihood_weight=0.0), max_steps=90)
    assert losses[-1] < 0.1
    assert accuracy(model, "flipped") < 0.75
