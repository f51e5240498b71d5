"""Blocks run in another way compute the same, and run as before afterwards."""

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.tensors.collate import collate
from ramekin.train.blocks import blocks_as, compiled, gradient_checkpointing
from ramekin.train.loop import finetune
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.state import load_newest
from ramekin.weights.adapter import LoraRecipe, attach_lora
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, set_dropout

SIZES = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2}
COMPILER_WARNINGS = (  # torch's own, which it hides where warnings are not errors
    "ignore:The .grad attribute of a Tensor that is not a leaf Tensor",
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
)
KINDS = [("t5", False, False), ("t5", True, True), ("mt5", False, False), ("umt5", False, True)]


def make(model_type="t5", *, tied=False, adapter=False, num_layers=3):
    model = build_model(t5_config(model_type=model_type, num_layers=num_layers, **SIZES), seed=1, tied=tied)
    set_dropout(model, 0.2)
    return (attach_lora(model, LoraRecipe(rank=2, dropout=0.1), seed=0) if adapter else model).train()


def gradients(model, items, context):
    """Loss and gradients of one batch, dropout drawn from a seed, and the bytes kept for the backward pass."""
    kept = {}
    own = {p.data_ptr() for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with context, torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = Likelihood()(model, collate(items)).values.sum()
        loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return loss.detach(), found, sum(kept.values())


@pytest.mark.parametrize(("model_type", "tied", "adapter"), KINDS)
def test_running_blocks_again_gives_the_gradient_to_the_bit_with_less_memory(
    make_items, model_type, tied, adapter
):
    model, items = make(model_type, tied=tied, adapter=adapter), make_items(12)
    loss, expected, much = gradients(model, items, nullcontext())
    again, found, little = gradients(model, items, gradient_checkpointing(model))
    assert torch.equal(loss, again)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert little < 0.4 * much


def test_deeper_models_keep_little_more(make_items):
    items = make_items(12)
    kept = []
    for num_layers in (2, 6):
        model = make(num_layers=num_layers)
        kept.append(gradients(model, items, gradient_checkpointing(model))[2])
    plain = [gradients(make(num_layers=n), items, nullcontext())[2] for n in (2, 6)]
    assert kept[1] - kept[0] < 0.2 * (plain[1] - plain[0])


@pytest.mark.parametrize("adapter", [False, True])
def test_blocks_run_as_before_afterwards(make_items, adapter):
    model = make(adapter=adapter)
    before = {name: copy.copy(vars(module)) for name, module in model.named_modules()}
    for context in (gradient_checkpointing(model), compiled(model, backend="eager")):
        with pytest.raises(KeyError), context:
            assert list(dict(model.named_parameters())) == list(
                dict(make(adapter=adapter).named_parameters())
            )
            raise KeyError
        for name, module in model.named_modules():
            assert {**vars(module), "_compiled_call_impl": None} == {
                **before[name],
                "_compiled_call_impl": None,
            }
            assert module._compiled_call_impl is None


def test_in_evaluation_mode_nothing_is_run_again(make_items):
    model = make().eval()
    loss, expected, much = gradients(model, make_items(4), nullcontext())
    with gradient_checkpointing(model):
        again, _, same = gradients(model, make_items(4), nullcontext())
    assert torch.equal(loss, again) and same == much and expected


@pytest.mark.filterwarnings(*COMPILER_WARNINGS)
@pytest.mark.parametrize(
    ("depths", "adapter"),
    [
        ((1, 1), False),
        pytest.param((2, 3), False, marks=pytest.mark.slow),
        pytest.param((2, 3), True, marks=pytest.mark.slow),
    ],
)
def test_compiled_blocks_compute_the_same(make_items, depths, adapter):
    """Traced into a graph for each kind of block: a deeper model, and other lengths, need no more."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    counts = []  # of 30 rows: a length that happened to equal them would get a graph of its own
    for seed, num_layers in enumerate(depths):
        model, items = make(adapter=adapter, num_layers=num_layers), make_items(30, seed=seed)
        with compiled(model, backend=backend):
            _, found, _ = gradients(model, items, nullcontext())
        counts.append(len(graphs))
        _, expected, _ = gradients(model, items, nullcontext())
        assert expected.keys() == found.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-5)
    assert counts[0] > 0
    assert counts[1] == counts[0]


@pytest.mark.slow
@pytest.mark.filterwarnings(*COMPILER_WARNINGS)
@pytest.mark.parametrize(("again", "backend"), [(False, "inductor"), (True, "aot_eager")])
def test_blocks_compiled_to_machine_code_or_run_again_compute_the_same(make_items, again, backend):
    model, items = make(num_layers=1), make_items(6)
    _, expected, _ = gradients(model, items, nullcontext())
    with gradient_checkpointing(model) if again else nullcontext():
        _, found, _ = gradients(model, items, compiled(model, backend=backend))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5)


def test_a_recipe_says_how_blocks_run(make_items, make_recipe, monkeypatch):
    monkeypatch.setattr("ramekin.train.blocks.compiled", partial(compiled, backend="eager"))
    model = make()
    _, _, much = gradients(model, make_items(6), nullcontext())
    for on in (False, True):
        _, _, kept = gradients(model, make_items(6), blocks_as(make_recipe(gradient_checkpointing=on), model))
        assert (kept < much) is on
    with blocks_as(make_recipe(compile=True), model):
        assert all(block._compiled_call_impl is not None for block in model.decoder.block)


@pytest.mark.parametrize("adapter", [False, True])
def test_a_run_may_go_on_with_blocks_run_again_to_the_same_bits(make_items, make_recipe, tmp_path, adapter):
    """As one does that ran out of memory."""

    def train(name, progress=None, **changes):
        model = make(adapter=adapter, num_layers=1)
        recipe = make_recipe(checkpoint_every=2, dropout=0.2, **changes)
        finetune(model, make_items(24), recipe, run_dir=tmp_path / name, resume=True, progress=progress)
        assert not any(
            "gradient_checkpointing" in vars(block) for block in model.modules() if hasattr(block, "layer")
        )
        return {n: p.detach().clone() for n, p in model.named_parameters()}

    def die(event):
        if event.step == 3:
            raise MemoryError

    straight = train("straight")
    with pytest.raises(MemoryError):
        train("stopped", die)
    resumed = train("stopped", gradient_checkpointing=True)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in straight.items())


@pytest.mark.slow
@pytest.mark.filterwarnings(*COMPILER_WARNINGS)
def test_a_compiled_run_equals_another_to_rounding(make_items, make_recipe, tmp_path):
    """Evaluations, which call the encoder alone, too; names and files are those of any run.

    Without dropout, which compiled blocks draw otherwise than a model whose parts are made faster.
    """
    found = {}
    for on in (False, True):
        model, losses = make(num_layers=1), []

        def evaluate(model, step, losses=losses):
            losses.append(summed_loss(model, make_items(6, seed=9)))
            return {"loss": losses[-1]}

        recipe = make_recipe(compile=on, max_steps=3, eval_every=1, dropout=0.0)
        run = tmp_path / str(on)
        finetune(model, make_items(24), recipe, run_dir=run, resume=False, on_eval=evaluate)
        found[on] = losses, load_newest(run / "state").weights
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-4)
    assert found[True][1].keys() == found[False][1].keys()
    for name, tensor in found[False][1].items():
        torch.testing.assert_close(found[True][1][name], tensor, rtol=0, atol=1e-4)


def summed_loss(model, items):
    with torch.no_grad():
        return float(Likelihood()(model, collate(items)).values.sum())


def test_a_model_without_blocks_is_refused():
    with pytest.raises(WeightsError, match="no transformer blocks: Linear"), compiled(torch.nn.Linear(2, 2)):
        pass
