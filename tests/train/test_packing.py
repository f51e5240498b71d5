"""Packing within a step and within a run: other rows, the same gradient, the same losses."""

from dataclasses import replace

import pytest
import torch

from ramekin.errors import ResourceError, UsageError
from ramekin.tensors.collate import collate
from ramekin.train.feed import Listed
from ramekin.train.gradient import accumulate, cut_step, measure, within_memory
from ramekin.train.loop import finetune
from ramekin.train.objective import FlippedLikelihood, Likelihood, ObjectiveRecipe
from ramekin.train.placement import Placement
from ramekin.train.team import Alone
from ramekin.weights.adapter import LoraRecipe, attach_lora

CPU = Placement(torch.device("cpu"), "fp32")
FLIPPED = FlippedLikelihood(3.0, 1e-6)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def norm_of(model):
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])


def packed(model, items, budget, *, objective=None, team=None):
    model.zero_grad(set_to_none=True)
    cut = cut_step(items, team or Alone(), max_tokens=budget, packing=True)
    done = accumulate(model, objective or Likelihood(), cut, CPU, seed=0, step=0)
    return cut, done, gradients(model)


def reference(model, items, objective):
    """One padded batch, an example a row."""
    model.zero_grad(set_to_none=True)
    values = objective(model, collate(items)).values
    (values.sum() / sum(len(item.target_ids) for item in items)).backward()
    return gradients(model)


def assert_same_gradient(ours, expected):
    assert ours.keys() == expected.keys()
    for name in expected:
        assert (ours[name] - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def places_of(cut):
    return sorted(place for batch in cut.batches for place in cut.places(batch))


@pytest.mark.parametrize("objective", [Likelihood(0.1), FLIPPED], ids=["smoothed", "flipped"])
@pytest.mark.parametrize("budget", [1, 60, 200, 100_000])
def test_the_gradient_is_that_of_one_padded_batch(make_model, make_items, make_pairs, budget, objective):
    items = (make_pairs if objective == FLIPPED else make_items)(16)
    model = make_model(num_layers=2)
    cut, done, ours = packed(model, items, budget, objective=objective)
    assert places_of(cut) == list(range(16))
    assert any(len(row) > 1 for row in cut.rows) == (budget > 1)
    assert_same_gradient(ours, reference(model, items, objective))
    measured = measure(done, norm_of(model), cut, CPU, Alone(), objective.parts)
    alone = [objective(model, collate([item])) for item in items]
    assert measured.by_example == pytest.approx([each.values.sum().item() for each in alone], rel=1e-6)
    tokens = cut.count.target_tokens
    for name, mean in measured.parts.items():
        assert mean * tokens == pytest.approx(sum(each.parts[name].item() for each in alone), rel=1e-5)


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_the_shares_of_all_processes_add_up_to_the_gradient(
    make_model, make_items, make_member, size, budget
):
    model, items = make_model(), make_items(16)
    cuts, summed = [], {}
    for rank in range(size):
        cut, _, ours = packed(model, items, budget, team=make_member(size, rank))
        cuts.append(cut)
        for name, gradient in ours.items():
            summed[name] = summed.get(name, 0) + gradient
    assert_same_gradient(summed, reference(model, items, Likelihood()))
    assert sorted(place for cut in cuts for place in places_of(cut)) == list(range(16))
    assert len({len(cut.batches) for cut in cuts}) == 1, "an equal number of micro-batches to each"
    assert len({cut.count for cut in cuts}) == 1


def test_the_count_is_of_real_and_padded_tokens(make_model, make_items, make_pairs):
    for items in (make_items(24), make_pairs(24)):
        objective = FLIPPED if items[0].wrong_input_ids else Likelihood()
        cut, done, _ = packed(make_model(), items, 400, objective=objective)
        plain = cut_step(items, Alone(), max_tokens=400).count
        assert cut.count.computed_tokens == plain.computed_tokens == sum(item.tokens for item in items)
        assert cut.count.padded_tokens == sum(
            d.batch.input_ids.numel() + d.batch.labels.numel() for d in done
        )
        assert cut.count.padding_share < plain.padding_share


# -- memory


class Small:
    """An objective on a device that takes so many padded positions at a time."""

    parts = ()

    def __init__(self, capacity):
        self.capacity = capacity

    def __call__(self, model, batch):
        if batch.input_ids.numel() + batch.labels.numel() > self.capacity:
            raise torch.OutOfMemoryError("too much")
        return Likelihood()(model, batch)


@pytest.mark.parametrize("capacity", [30, 90])
def test_too_little_memory_makes_smaller_rows_and_keeps_the_gradient(make_model, make_items, capacity):
    model, items = make_model(), make_items(16)
    cut = cut_step(items, Alone(), max_tokens=100_000, packing=True)
    done, enough = within_memory(model, Small(capacity), cut, CPU, seed=0, step=0, max_tokens=100_000)
    assert enough <= capacity
    assert sorted(place for each in done for place in each.places) == list(range(16))
    assert_same_gradient(gradients(model), reference(model, items, Likelihood()))


def test_one_long_example_among_short_ones_that_never_fits_is_named(make_model, make_items):
    """Halving comes to an end though the largest micro-batch, which is that example, can be cut no further."""
    items = [*make_items(1, longest_input=200, seed=3), *make_items(9, longest_input=3, longest_target=2)]
    assert items[0].tokens > 4 * max(item.tokens for item in items[1:])
    cut = cut_step(items, Alone(), max_tokens=10_000, packing=True)
    with pytest.raises(ResourceError, match="a single example does not fit"):
        within_memory(make_model(), Small(3), cut, CPU, seed=0, step=0, max_tokens=10_000)


# -- a run


@pytest.fixture(name="train")
def _train(make_model, make_items, make_recipe, tmp_path, events):
    def train(run, *, packing, model=None, items=None, objective=None, **changes):
        model = model or make_model()
        recipe = make_recipe(**{"dropout": 0.0, "micro_batch_tokens": 100, "packing": packing, **changes})
        report = finetune(
            model,
            items or make_items(24),
            recipe,
            run_dir=tmp_path / run,
            resume=True,
            objective=objective,
        )
        return model, report, events(tmp_path / run)

    return train


def test_a_packed_run_is_an_unpacked_one_with_less_padding(train):
    model, report, lines = train("packed", packing=True)
    other, plain, others = train("plain", packing=False)
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in others], rel=1e-4)
    assert [line["tasks"].keys() for line in lines] == [line["tasks"].keys() for line in others]
    for key in ("examples", "input_tokens", "target_tokens"):
        assert getattr(report, key) == getattr(plain, key)
    assert report.padding_share < plain.padding_share
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_the_log_says_how_many_rows_a_step_had(train):
    _, _, lines = train("packed", packing=True)
    assert all(1 <= line["rows"] < 8 for line in lines)
    _, _, lines = train("plain", packing=False)
    assert not any("rows" in line for line in lines)


def test_an_adapter_trains_packed_as_unpacked(train, make_model):
    def adapted():
        return attach_lora(make_model(), LoraRecipe(rank=2), seed=2)

    _, _, lines = train("packed", packing=True, model=adapted())
    _, _, others = train("plain", packing=False, model=adapted())
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in others], rel=1e-4)


@pytest.mark.parametrize("name", ["channel", "flipped"])
def test_an_objective_trains_packed_as_unpacked(train, make_pairs, make_items, name):
    """Turned round, as the channel's examples come to the loop, inputs are short and targets long."""
    turned = [replace(item, input_ids=item.target_ids, target_ids=item.input_ids) for item in make_items(24)]
    settings = {
        "items": make_pairs(24) if name == "flipped" else turned,
        "objective": ObjectiveRecipe(name=name, label_smoothing=0.1 if name == "channel" else 0.0),
    }
    _, report, lines = train("packed", packing=True, **settings)
    _, plain, others = train("plain", packing=False, **settings)
    assert report.padding_share < plain.padding_share
    for key in ("loss", "likelihood"):
        assert [line[key] for line in lines] == pytest.approx([line[key] for line in others], rel=1e-4)
    for name, task in report.tasks.items():
        assert task.target_tokens == plain.tasks[name].target_tokens
        assert task.loss == pytest.approx(plain.tasks[name].loss, rel=1e-4)


def test_bf16_trains_packed_as_near_to_fp32_as_unpacked(train):
    losses = {
        (packing, precision): [line["loss"] for line in lines]
        for packing in (False, True)
        for precision in ("fp32", "bf16")
        for _, _, lines in [train(f"{packing} {precision}", packing=packing, precision=precision)]
    }
    assert losses[True, "bf16"] != losses[True, "fp32"]
    for packing in (False, True):
        assert losses[packing, "bf16"] == pytest.approx(losses[False, "fp32"], rel=0.02)


def test_blocks_run_again_give_the_same_bits(train):
    (one, *_), (other, *_) = (
        train(str(again), packing=True, dropout=0.2, gradient_checkpointing=again) for again in (False, True)
    )
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def test_equal_packed_runs_are_bitwise_equal(train):
    (one, *_), (other, *_) = train("one", packing=True), train("other", packing=True)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def test_a_run_is_not_continued_otherwise_than_it_was_begun(train):
    train("run", packing=True)
    with pytest.raises(UsageError, match="expected recipe.packing=True, got recipe.packing=False"):
        train("run", packing=False)


def test_the_order_of_the_data_knows_nothing_of_packing(make_items, make_model, make_recipe, tmp_path):
    asked = []

    class Watched:
        feed = Listed(make_items(24))
        identity, epoch_examples = feed.identity, feed.epoch_examples

        def examples(self, step, *, seed, global_batch):
            found = self.feed.examples(step, seed=seed, global_batch=global_batch)
            asked.append([item.provenance.row for item in found])
            return found

    for packing in (True, False):
        finetune(
            make_model(),
            Watched(),
            make_recipe(packing=packing),
            run_dir=tmp_path / str(packing),
            resume=False,
        )
    half = len(asked) // 2
    assert asked[:half] == asked[half:]


def test_a_model_that_cannot_be_packed_is_refused_before_the_first_step(train, make_model, tmp_path):
    model = make_model()
    model.config.model_type = "bart"
    with pytest.raises(UsageError, match="distances alone"):
        train("run", packing=True, model=model)
    assert not (tmp_path / "run").exists()
