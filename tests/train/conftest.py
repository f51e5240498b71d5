import contextlib
import json
import random
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance
from ramekin.train.recipe import Recipe
from ramekin.train.team import AbstractTeam
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

VOCAB = 64


def make_items(n, *, seed=0, longest_input=20, longest_target=5):
    rng = random.Random(seed)

    def ids(longest):
        return (*(rng.randrange(3, VOCAB) for _ in range(rng.randint(1, longest))), 1)

    return [
        Encoded(
            ids(longest_input),
            ids(longest_target),
            Provenance(f"toy/{'wet' if n % 2 else 'dry'}", "ask", "train", n),
        )
        for n in range(n)
    ]


def make_pairs(n, *, seed=0, **longest):
    """Items with a label of a token or two at the end of their inputs, and with another one in its place."""
    rng = random.Random(f"pairs {seed}")

    def under_a_label(item):
        return (*item.input_ids[:-1], *(rng.randrange(3, VOCAB) for _ in range(rng.randint(1, 2))), 1)

    return [
        replace(item, input_ids=under_a_label(item), wrong_input_ids=under_a_label(item))
        for item in make_items(n, seed=seed, **longest)
    ]


def make_model(*, seed=1, tied=False, **sizes):
    small = {"vocab_size": VOCAB, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return build_model(t5_config(**{**small, **sizes}), seed=seed, tied=tied)


def make_recipe(**changes):
    values = {"max_steps": 6, "global_batch": 8, "micro_batch_tokens": 64, "learning_rate": 1e-2, **changes}
    return Recipe(**values)


class Member(AbstractTeam):
    """One of several processes that adds nothing up: its share can be looked at."""

    def __init__(self, size, rank):
        self._size, self._rank = size, rank

    size = property(lambda self: self._size)
    rank = property(lambda self: self._rank)

    def add(self, numbers):
        return numbers

    def any(self, flag):
        return flag

    def lowest(self, number):
        return number

    def from_first(self, value):
        return value

    def tensor_from_first(self, tensor):
        return tensor

    def together(self):
        return contextlib.nullcontext()


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(name="make_items")
def _make_items():
    return make_items


@pytest.fixture(name="make_pairs")
def _make_pairs():
    return make_pairs


@pytest.fixture(name="make_model")
def _make_model():
    return make_model


@pytest.fixture(name="make_member")
def _make_member():
    return Member


@pytest.fixture(name="make_recipe")
def _make_recipe():
    return make_recipe


def events(folder, kind="step"):
    lines = map(json.loads, (Path(folder) / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


@pytest.fixture(name="events")
def _events():
    """The events of a kind in a run's journal."""
    return events


@pytest.fixture(name="logged")
def _logged():
    """A number of every step in a run's journal."""
    return lambda folder, key="loss": [event[key] for event in events(folder)]


@pytest.fixture(name="processes", scope="package")
def _processes(tmp_path_factory):
    """Gives `size` processes that train together, the same to all tests unless one of them has died."""
    made = {}
    start = runpy.run_path(str(Path(__file__).with_name("processes.py")))["Processes"]

    def processes(size):
        if size not in made or any(member.poll() is not None for member in made[size].members):
            made[size] = start(size, tmp_path_factory.mktemp("processes"))
        return made[size]

    yield processes
    for each in made.values():
        each.close()


@pytest.fixture(name="alone")
def _alone(processes):
    return processes(1)


@pytest.fixture(name="two")
def _two(processes):
    return processes(2)
