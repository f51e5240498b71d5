import dataclasses

import pytest
import torch
from torch.func import functional_call

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.train.adamerging import AdaMergingRecipe, first_token_entropy, learn_coefficients
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

INPUTS = [[[5, 9, 3, 1], [7, 1], [4, 4, 8, 8, 2, 1]], [[11, 6, 1], [3, 12, 10, 1]]]
SIZES = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2}


def _model(*, tied: bool = False):
    config = t5_config(**SIZES, num_decoder_layers=2, feed_forward_proj="gated-gelu")
    return build_model(config, seed=0, tied=tied)


def _deltas(model, count: int = 2, scale: float = 0.05):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            n: scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)
            for n, p in model.named_parameters()
        }
        for _ in range(count)
    ]


def _groups(model) -> dict[str, int]:
    names = dict(model.named_parameters())
    return {name: 1 if name.startswith("decoder") else 0 for name in names}


def _by_the_book(model, inputs) -> torch.Tensor:
    """Entropies one input at a time, without padding: shares no code with the package."""
    found = []
    for ids in inputs:
        logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[0]])).logits[0, 0]
        p = torch.softmax(logits.double(), -1)
        found.append(-(p * p.log()).sum())
    return torch.stack(found)


@pytest.mark.parametrize("tied", [True, False])
def test_the_entropy_is_that_of_each_input_after_the_start_token(tied: bool) -> None:
    model = _model(tied=tied)
    inputs = [row for rows in INPUTS for row in rows]
    with torch.no_grad():
        assert torch.allclose(
            first_token_entropy(model, inputs).double(), _by_the_book(model, inputs), atol=1e-5
        )


@pytest.mark.parametrize("tied", [True, False])
def test_one_step_follows_the_gradient_of_autograd_through_the_merge(tied: bool) -> None:
    model = _model(tied=tied).double()
    deltas = [{n: d.double() for n, d in each.items()} for each in _deltas(model)]
    base = {n: p.detach().clone() for n, p in model.named_parameters()}
    groups = _groups(model)
    coefficients = torch.full((2, 2), 0.3, dtype=torch.float64, requires_grad=True)
    merged = {
        n: b + sum(coefficients[groups[n], i] * each[n] for i, each in enumerate(deltas))
        for n, b in base.items()
    }

    def call(ids):
        arguments = {"input_ids": torch.tensor([ids]), "decoder_input_ids": torch.tensor([[0]])}
        logits = functional_call(model, merged, args=(), kwargs=arguments, tie_weights=True).logits[0, 0]
        return torch.distributions.Categorical(logits=logits).entropy()

    loss = sum(torch.stack([call(ids) for ids in rows]).mean() for rows in INPUTS)
    (expected,) = torch.autograd.grad(loss, coefficients)
    seen = []
    # A batch of all inputs, so that nothing is drawn; Adam's first step is the sign, so the gradient is looked at.
    step = torch.optim.Adam.step
    torch.optim.Adam.step = lambda self, *a: (
        seen.append(self.param_groups[0]["params"][0].grad.clone()),
        step(self, *a),
    )[1]
    try:
        learned = learn_coefficients(
            model, deltas, groups, [INPUTS[0], INPUTS[1] * 3], AdaMergingRecipe(steps=1, batch_size=6)
        )
    finally:
        torch.optim.Adam.step = step
    # Six of three inputs are each of them twice, and of six, three times two, each of them too.
    assert torch.allclose(seen[0], expected, rtol=1e-4, atol=1e-7)
    assert sum(learned.entropies[0]) == pytest.approx(float(loss.detach()), rel=1e-5)
    moved = torch.tensor(learned.coefficients, dtype=torch.float64) - 0.3
    assert torch.equal(moved.sign(), -expected.sign()) and torch.allclose(
        moved.abs(), torch.tensor(1e-3, dtype=torch.float64), rtol=1e-3
    )


def test_entropy_falls_and_the_model_has_the_learned_merge() -> None:
    model = _model()
    base = {n: p.detach().clone() for n, p in model.named_parameters()}
    deltas, groups = _deltas(model, scale=0.3), _groups(model)
    recipe = AdaMergingRecipe(steps=40, learning_rate=0.02, batch_size=3)
    steps: list[float] = []
    learned = learn_coefficients(model, deltas, groups, INPUTS, recipe, on_step=steps.append)
    assert len(learned.entropies) == len(steps) == 40
    assert steps == [pytest.approx(sum(each) / 2) for each in learned.entropies]
    assert sum(steps[-5:]) < sum(steps[:5]) - 0.1
    assert all(0 <= c <= 1 for row in learned.coefficients for c in row)
    for name, parameter in model.named_parameters():
        merged = base[name] + sum(
            learned.coefficients[groups[name]][i] * each[name] for i, each in enumerate(deltas)
        )
        assert torch.allclose(parameter, merged, atol=1e-6) and parameter.grad is None


def test_the_same_seed_learns_the_same_and_another_order_something_else() -> None:
    found = []
    for seed in (0, 0, 1):
        model = _model()
        recipe = AdaMergingRecipe(steps=5, batch_size=1, seed=seed)
        found.append(learn_coefficients(model, _deltas(model), _groups(model), INPUTS, recipe))
    assert found[0] == found[1] and found[0].entropies != found[2].entropies


def test_coefficients_stay_between_0_and_1_unless_they_may_leave() -> None:
    for clamp in (True, False):
        model = _model()
        recipe = AdaMergingRecipe(steps=10, learning_rate=0.3, initial=0.9, clamp=clamp)
        learned = learn_coefficients(model, _deltas(model, scale=0.3), _groups(model), INPUTS, recipe)
        values = [c for row in learned.coefficients for c in row]
        assert (min(values) >= 0 and max(values) <= 1) is clamp


def test_a_model_that_changes_nothing_stays_where_it_began() -> None:
    model = _model()
    deltas = [{name: torch.zeros_like(each) for name, each in _deltas(model)[0].items()}]
    learned = learn_coefficients(model, deltas, _groups(model), INPUTS, AdaMergingRecipe(steps=3))
    assert {c for row in learned.coefficients for c in row} == {0.3}


def test_what_cannot_be_learned_is_refused() -> None:
    model = _model()
    deltas, groups, recipe = _deltas(model), _groups(model), AdaMergingRecipe(steps=1)
    with pytest.raises(UsageError, match="not those of the model: shared.weight"):
        short = {name: place for name, place in groups.items() if name != "shared.weight"}
        learn_coefficients(model, deltas, short, INPUTS, recipe)
    with pytest.raises(DataError, match="no inputs to adapt to: task 1"):
        learn_coefficients(model, deltas, groups, [INPUTS[0], []], recipe)
    with pytest.raises(UsageError, match="above 0"):
        learn_coefficients(model, deltas, groups, INPUTS, dataclasses.replace(recipe, steps=0))
    wild = [{**deltas[0], "shared.weight": torch.full_like(deltas[0]["shared.weight"], float("inf"))}]
    with pytest.raises(WeightsError, match="entropy of a merge is not finite"):
        learn_coefficients(model, wild, groups, INPUTS, recipe)
