import torch

from ramekin.tensors.collate import collate
from ramekin.train.objectives.flipped import FlippedLikelihood
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import sum_by_example


def test_losses_sum_by_example(make_model, make_items, make_pairs):
    model = make_model()
    for objective, items in ((Likelihood(), make_items(5)), (FlippedLikelihood(3.0, 1e-6), make_pairs(5))):
        batch = collate(items)
        sums = sum_by_example(objective(model, batch).values, batch, num_examples=5)
        alone = torch.stack([objective(model, collate([item])).values.sum() for item in items])
        torch.testing.assert_close(sums, alone)


def test_detached_losses_have_no_graph(make_model, make_items):
    losses = Likelihood(0.1)(make_model(), collate(make_items(3)))
    assert losses.values.requires_grad and not losses.detached().values.requires_grad
    assert not losses.parts["likelihood"].requires_grad
