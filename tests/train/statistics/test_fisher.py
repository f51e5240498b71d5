from dataclasses import replace

import numpy as np
import pytest
import torch

from ramekin.errors import DataError, WeightsError
from ramekin.train.statistics.fisher import fisher_information
from ramekin.train.statistics.sampling import with_sampled_target


def by_the_book(model, items):
    """The mean over examples of the square of each example's own gradient, from the library's logits."""
    parameters = dict(model.named_parameters())
    total = {name: np.zeros(tuple(each.shape)) for name, each in parameters.items()}
    for item in items:
        model.zero_grad()
        target = torch.tensor([item.target_ids])
        logits = model(
            input_ids=torch.tensor([item.input_ids]),
            attention_mask=torch.ones(1, len(item.input_ids), dtype=torch.long),
            decoder_input_ids=torch.tensor([(0, *item.target_ids[:-1])]),
        ).logits
        likelihood = torch.distributions.Categorical(logits=logits).log_prob(target).sum()
        likelihood.backward()
        for name, each in parameters.items():
            total[name] += each.grad.numpy() ** 2
    model.zero_grad()
    return {name: each / len(items) for name, each in total.items()}


@pytest.mark.parametrize("tied", [False, True])
def test_is_the_mean_of_each_examples_squared_gradient(make_model, make_items, tied: bool) -> None:
    model, items = make_model(tied=tied, num_layers=2).double(), make_items(35)
    expected = by_the_book(model, items)
    found = fisher_information(model, items)
    assert found.keys() == expected.keys() and ("lm_head.weight" in found) != tied
    for name, each in found.items():
        assert each.dtype == torch.float64
        np.testing.assert_allclose(each.numpy(), expected[name], rtol=1e-9, atol=1e-20, err_msg=name)


def test_has_no_products_of_different_examples(make_model, make_items) -> None:
    model, (item, *_) = make_model().double(), make_items(1)
    once, twice = fisher_information(model, [item]), fisher_information(model, [item, item])
    for name, each in once.items():  # the square of their sum would be twice as large
        torch.testing.assert_close(twice[name], each, rtol=1e-12, atol=0)


def test_fp32_models_the_order_and_the_parts_make_no_difference(make_model, make_items) -> None:
    model, items = make_model(), make_items(6)
    whole = fisher_information(model, items)
    turned = fisher_information(model, items[::-1])
    parts = [fisher_information(model, items[:2]), fisher_information(model, items[2:])]
    exact = by_the_book(make_model().double(), items)
    for name, each in whole.items():
        torch.testing.assert_close(turned[name], each, rtol=1e-5, atol=1e-30)
        torch.testing.assert_close((2 * parts[0][name] + 4 * parts[1][name]) / 6, each, rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(each.numpy(), exact[name], rtol=1e-3, atol=1e-9, err_msg=name)


def test_leaves_the_model_as_it_was(make_model, make_items) -> None:
    model = make_model().train()
    model.lm_head.weight.requires_grad_(False)
    model.shared.weight.grad = torch.ones_like(model.shared.weight)
    told: list[None] = []
    found = fisher_information(model, make_items(3), on_example=lambda: told.append(None))
    assert model.training and not model.lm_head.weight.requires_grad and len(told) == 3
    grads = {name for name, each in model.named_parameters() if each.grad is not None}
    assert grads == {"shared.weight"} and bool((model.shared.weight.grad == 1).all())
    (
        model(input_ids=torch.ones(1, 2).long(), decoder_input_ids=torch.zeros(1, 1).long()).logits
    ).sum().backward()
    assert model.encoder.block[0].layer[0].layer_norm.weight.grad is not None  # no hook is left
    assert float(found["lm_head.weight"].sum()) > 0


def test_refuses_nothing_and_what_is_not_finite(make_model, make_items) -> None:
    with pytest.raises(DataError, match="no examples"):
        fisher_information(make_model(), [])
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match=r"likelihood of an example is not finite: .*toy/"):
        fisher_information(model, make_items(1))


def test_drawn_targets_follow_the_seed_and_the_example_alone(make_model, make_items) -> None:
    model, items = make_model().eval(), make_items(12)
    drawn = [with_sampled_target(model, item, seed=3, max_target_tokens=6) for item in items]
    again = [with_sampled_target(model, item, seed=3, max_target_tokens=6) for item in items[::-1]]
    assert drawn == again[::-1]
    assert drawn != [with_sampled_target(model, item, seed=4, max_target_tokens=6) for item in items]
    other = with_sampled_target(model, replace(items[0], target_ids=(5, 1)), seed=3, max_target_tokens=6)
    assert other.target_ids == drawn[0].target_ids
    assert all(1 <= len(item.target_ids) <= 6 and 1 not in item.target_ids[:-1] for item in drawn)
    assert any(item.target_ids[-1] != 1 for item in drawn)  # cut, of an untrained model


def test_drawn_targets_have_the_models_distribution(make_model, make_items) -> None:
    model = make_model(vocab_size=64).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(0.0)
        model.lm_head.weight[5:8].normal_(0, 2, generator=torch.Generator().manual_seed(0))
        (item,) = make_items(1)
        logits = model(
            input_ids=torch.tensor([item.input_ids]), decoder_input_ids=torch.tensor([[0]])
        ).logits[0, 0]
    draws = [
        with_sampled_target(
            model, replace(item, provenance=item.provenance._replace(row=row)), seed=0, max_target_tokens=1
        ).target_ids[0]
        for row in range(1500)
    ]
    shares = np.bincount(draws, minlength=64) / len(draws)
    expected = torch.softmax(logits, 0).numpy()
    spread = np.sqrt(expected * (1 - expected) / len(draws))
    assert (np.abs(shares - expected) < 5 * spread + 1e-3).all() and expected.max() > 3 * expected.min()
