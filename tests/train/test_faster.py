import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ramekin.tensors.collate import collate
from ramekin.train.blocks import gradient_checkpointing
from ramekin.train.faster import faster_on_cpu, prepare_row_gradients
from ramekin.train.gradient import accumulate, cut_step
from ramekin.train.kernels import drop
from ramekin.train.objective import ObjectiveRecipe, build_objective
from ramekin.train.placement import Placement
from ramekin.train.team import Alone
from ramekin.weights.attach import IA3Recipe, LoraRecipe, PromptRecipe, attach_adapter
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, set_dropout

CPU = torch.device("cpu")
SIZES = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}


def family(kind, feed_forward="gated-gelu", *, tied=False, dropout=0.0):
    config = {**t5_config(**SIZES, feed_forward_proj=feed_forward), "model_type": kind}
    model = build_model(config, seed=3, tied=tied).train()
    set_dropout(model, dropout)
    return model


def step(model, items, budget=60, precision="fp32"):
    model.zero_grad(set_to_none=True)
    cut = cut_step(items, Alone(), max_tokens=budget)
    done = accumulate(
        model, build_objective(ObjectiveRecipe()), cut, Placement(CPU, precision), seed=0, step=0
    )
    losses = torch.cat([each.losses.values for each in done])
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def assert_same(ours, expected):
    torch.testing.assert_close(ours[0], expected[0], rtol=1e-5, atol=1e-6)
    assert ours[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert not ours[1][name].is_sparse
        # fp32 rounds at 6e-8 an addition; kernels with wider registers add in another order, 1.2e-5 seen.
        assert (ours[1][name] - gradient).norm() <= 3e-5 * gradient.norm(), name


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu", "gated-silu", "gelu_new"])
def test_losses_and_gradients_are_those_of_transformers(make_items, kind, feed_forward, tied):
    model, items = family(kind, feed_forward, tied=tied), make_items(12)
    expected = step(copy.deepcopy(model), items)
    with faster_on_cpu(model, CPU):
        assert_same(step(model, items), expected)


@pytest.mark.parametrize(
    "recipe",
    [LoraRecipe(rank=2), LoraRecipe(rank=2, dora=True), IA3Recipe(), PromptRecipe(num_virtual_tokens=3)],
    ids=["lora", "dora", "ia3", "prompt"],
)
def test_under_an_adapter_only_the_adapter_has_gradients(make_items, recipe):
    model, items = attach_adapter(family("t5"), recipe, seed=0).train(), make_items(8)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained.values():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    expected = step(copy.deepcopy(model), items)
    with faster_on_cpu(model, CPU):
        ours = step(model, items)
    assert_same(ours, expected)
    assert ours[1].keys() == trained.keys()


def test_a_trained_norm_alone_has_a_gradient(make_items):
    model, items = family("t5"), make_items(6)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "layer_norm" in name
    expected = step(copy.deepcopy(model), items)
    with faster_on_cpu(model, CPU):
        assert_same(step(model, items), expected)


def test_under_autocast_they_are_as_near_as_bf16_is(make_items):
    model, items = family("t5"), make_items(6)
    expected = step(copy.deepcopy(model), items)[0]
    rounded = step(copy.deepcopy(model), items, precision="bf16")[0]
    with faster_on_cpu(model, CPU):
        losses, gradients = step(model, items, precision="bf16")
    assert (losses - expected).norm() <= 1.5 * (rounded - expected).norm()
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())


def test_blocks_that_run_again_have_the_same_gradients(make_items):
    model, items = family("t5", dropout=0.3), make_items(8)
    with faster_on_cpu(model, CPU):
        expected = step(model, items)
        with gradient_checkpointing(model):
            assert_same(step(model, items), expected)


def test_masks_that_are_given_ready_made_are_kept_to(make_items):
    model, batch = family("t5"), collate(make_items(5))
    lengths = batch.attention_mask.sum(1)
    width = batch.input_ids.shape[1]
    seen = (torch.arange(width) < lengths[:, None])[:, None, None, :].expand(-1, 1, width, -1)
    expected = model.encoder(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    with faster_on_cpu(model, CPU):
        states = model.encoder(batch.input_ids, attention_mask=seen).last_hidden_state
    real = batch.attention_mask.bool()
    torch.testing.assert_close(states[real], expected[real])


def test_everything_is_put_back(make_items):
    model = family("t5")
    before = [type(module) for module in model.modules()]
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(KeyError), faster_on_cpu(model, CPU):
        assert [name for name, _ in model.named_parameters()] == names
        assert [type(module) for module in model.modules()] != before
        assert model.config._attn_implementation == "ramekin_cpu"
        raise KeyError
    assert [type(module) for module in model.modules()] == before
    assert model.encoder.config._attn_implementation == "sdpa"
    assert not any(module.sparse for module in model.modules() if isinstance(module, nn.Embedding))
    step(model, make_items(2))


def test_other_devices_are_left_alone():
    model = family("t5")
    before = [type(module) for module in model.modules()]
    with faster_on_cpu(model, torch.device("cuda")):
        assert [type(module) for module in model.modules()] == before


def test_evaluation_in_between_is_that_of_transformers(make_items):
    model, batch = family("t5", dropout=0.5).eval(), collate(make_items(6))
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    expected = model(**given, labels=batch.labels).logits
    answers = model.generate(**given, max_new_tokens=5)
    with faster_on_cpu(model, CPU):
        model.train().eval()
        assert torch.equal(model(**given, labels=batch.labels).logits, expected)
        assert torch.equal(model.generate(**given, max_new_tokens=5), answers)


def test_rows_wait_for_no_gradient_where_the_embedding_is_whole():
    model = family("t5")
    prepare_row_gradients(model)
    assert model.shared.weight.grad is None


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_asked_share_and_the_mean(rate):
    torch.manual_seed(5)
    dropped = drop(torch.ones(400, 500), rate)
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 200_000) ** 0.5)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-3)
    assert float(dropped.double().mean()) == pytest.approx(1.0, abs=4 * (rate / (1 - rate) / 200_000) ** 0.5)
    by_lane = (dropped.flatten() == 0).double().view(-1, 4).mean(0)
    assert by_lane.tolist() == pytest.approx([rate] * 4, abs=0.01), "all four numbers of a draw are uniform"


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.floats(0, 0.99), st.integers(0, 9))
def test_dropout_is_a_function_of_the_generator(shape, rate, seed):
    states = torch.arange(1.0, 1 + torch.Size(shape).numel()).view(shape).requires_grad_()
    torch.manual_seed(seed)
    one = drop(states, rate)
    torch.manual_seed(seed)
    assert torch.equal(one, drop(states, rate))
    (gradient,) = torch.autograd.grad(one.sum(), states)
    torch.testing.assert_close(gradient * states, one)


def test_dropout_of_neighbouring_seeds_is_independent():
    def kept(seed):
        torch.manual_seed(seed)
        return (drop(torch.ones(100_000), 0.5) > 0).double()

    agreement = float((kept(0) == kept(1)).double().mean())
    assert agreement == pytest.approx(0.5, abs=0.01)
