import dataclasses
import os
import signal
from collections import Counter

import pytest
import torch

from ramekin.errors import DataError, StoppedError
from ramekin.tensors.cache import write_shard
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance
from ramekin.train.events import StepDone
from ramekin.train.loop import finetune
from ramekin.train.mixture_feed import LeafShards, MixtureFeed


def shard(folder, task, size, *, variant=0):
    name = f"{task.replace('/', '-')}-{variant}.safetensors"
    items = (
        Encoded((row % 90 + 3, 1), (variant + 3, 1), Provenance(task, f"t{variant}", "train", row))
        for row in range(size)
    )
    write_shard(folder / name, items, task=task, split="train", vocab_size=100, about={})
    return name


@pytest.fixture(name="mixed")
def _mixed(tmp_path):
    def mixed(*, variants=2):
        leaves = [
            LeafShards(
                task,
                rate,
                tuple(shard(tmp_path, task, size - v, variant=v) for v in range(variants)),
                tuple(size - v for v in range(variants)),
                2,
            )
            for task, rate, size in (("toy/dry", 0.75, 40), ("toy/wet", 0.25, 7))
        ]
        return MixtureFeed(leaves, folder=tmp_path, epoch_examples=47)

    return mixed


def drawn(feed, steps, *, seed=0, global_batch=16):
    return [item for step in steps for item in feed.examples(step, seed=seed, global_batch=global_batch)]


def ids(items):
    return [item.provenance.id for item in items]


def test_tasks_are_drawn_at_their_rates_and_walked_whole(mixed):
    items = drawn(mixed(), range(200))
    counts = Counter(item.provenance.task for item in items)
    assert counts["toy/dry"] == pytest.approx(2400, abs=5)
    wet = [item for item in items if item.provenance.task == "toy/wet"]
    first, second, third = wet[:7], wet[7:13], wet[13:20]
    assert sorted(item.provenance.row for item in first) == list(range(7))
    assert {item.provenance.template for item in first} == {"t0"}
    assert sorted(item.provenance.row for item in second) == list(range(6)), "an epoch has its own rows"
    assert {item.provenance.template for item in second} == {"t1"}
    assert sorted(ids(third)) == sorted(ids(first))
    assert ids(third) != ids(first), "in another order"


def test_a_step_can_be_had_without_those_before(mixed):
    feed = mixed()
    in_order = [ids(drawn(feed, [step])) for step in range(120)]
    assert [ids(drawn(mixed(), [step])) for step in (119, 3, 64)] == [in_order[n] for n in (119, 3, 64)]


def test_the_size_of_steps_does_not_change_the_order(mixed):
    feed = mixed()
    assert ids(drawn(feed, range(32), global_batch=16)) == ids(drawn(feed, range(8), global_batch=64))
    assert ids(drawn(feed, range(4))) != ids(drawn(feed, range(4), seed=1))


def test_what_another_run_has_built_beside_does_not_change_which_feed_it_is(mixed, tmp_path):
    identity = mixed(variants=1).identity
    assert identity == mixed(variants=2).identity
    for change in ({"name": "toy/humid"}, {"rate": 0.5}, {"shards": ("other",)}, {"num_variants": 3}):
        leaves = [dataclasses.replace(leaf, **change) for leaf in mixed()._leaves]
        assert MixtureFeed(leaves, folder=tmp_path, epoch_examples=47).identity != identity


def test_a_rendering_that_was_not_made_is_named(mixed):
    feed = mixed(variants=1)
    assert len(drawn(feed, range(1))) == 16
    with pytest.raises(DataError, match=r"1 of 2 renderings .*: toy/wet; fix: build it for as many steps"):
        drawn(feed, range(20))


def test_the_identity_hangs_on_rates_and_shards(mixed, tmp_path):
    assert mixed().identity == mixed().identity
    other = MixtureFeed([LeafShards("toy/dry", 0.75, ("a",), (40,), 1)], folder=tmp_path, epoch_examples=40)
    another = MixtureFeed([LeafShards("toy/dry", 0.5, ("a",), (40,), 1)], folder=tmp_path, epoch_examples=40)
    assert other.identity != another.identity
    assert mixed().epoch_examples == 47


def test_a_run_on_a_mixture_resumes_bit_identical(mixed, make_model, make_recipe, tmp_path):
    recipe = make_recipe(max_steps=7, checkpoint_every=3)

    def train(run, progress=None):
        model = make_model(vocab_size=100)
        finetune(model, mixed(), recipe, run_dir=tmp_path / run, resume=True, progress=progress)
        return model.state_dict()

    def stop(event):
        if isinstance(event, StepDone) and event.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    straight = train("straight")
    with pytest.raises(StoppedError):
        train("stopped", stop)
    resumed = train("stopped")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
