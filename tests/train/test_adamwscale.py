"""The equations are checked in `test_optimizers`, beside those of the others."""

import pytest
import torch

from ramekin.errors import UsageError
from ramekin.train.adamwscale import AdamWScale
from ramekin.train.loop import finetune
from ramekin.weights.parameters import tensors_of


def test_a_closure_computes_the_gradient_and_its_loss_is_returned():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamWScale([weight], lr=0.1)

    def loss():
        optimizer.zero_grad()
        value = weight.sum()
        value.backward()
        return value.item()

    assert optimizer.step(loss) == 3.0
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9), rtol=0, atol=1e-5)
    optimizer.zero_grad()
    assert optimizer.step() is None
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9), rtol=0, atol=1e-5)


def test_the_update_is_relative_to_the_tensor():
    """Scaling a tensor and leaving its gradient scales its update."""
    small, large = (torch.nn.Parameter(torch.arange(1.0, 9.0) * size) for size in (1.0, 16.0))
    optimizer = AdamWScale([small, large], lr=0.1)
    for parameter in (small, large):
        parameter.grad = torch.linspace(-1, 1, 8)
    optimizer.step()
    assert torch.equal(small.detach() * 16, large.detach())


@pytest.mark.parametrize(
    "setting",
    [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"betas": (-0.1, 0.9)}, {"eps": 0.0}, {"weight_decay": -1.0}],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(UsageError, match=f"cannot be: {next(iter(setting))}: expected"):
        AdamWScale([torch.nn.Parameter(torch.ones(1))], **setting)


def test_a_stopped_run_resumes_to_the_same_bits(make_model, make_items, make_recipe, tmp_path):
    recipe = make_recipe(optimizer="adamwscale", weight_decay=0.01, warmup_steps=2, checkpoint_every=2)

    def train(name, progress=None):
        model = make_model()
        finetune(model, make_items(24), recipe, run_dir=tmp_path / name, resume=True, progress=progress)
        return tensors_of(model)

    def die(event):
        if event.step == 5:
            raise KeyError("the power failed")

    straight = train("straight")
    with pytest.raises(KeyError, match="power"):
        train("stopped", die)
    resumed = train("stopped")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in straight.items())
