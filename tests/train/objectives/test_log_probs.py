import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from ramekin.train.objectives import log_probs as module
from ramekin.train.objectives.log_probs import log_probs


def drawn(targets, vocab, *, dtype=torch.float64, scale=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(targets, vocab, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, vocab, (targets,), generator=generator)
    return logits.to(dtype).requires_grad_(), labels


@given(st.integers(1, 7), st.integers(2, 9), st.floats(0.1, 30), st.integers(0, 99))
def test_the_derivatives_are_those_of_finite_differences(targets, vocab, scale, seed):
    logits, labels = drawn(targets, vocab, scale=scale, seed=seed)
    assert torch.autograd.gradcheck(lambda x: tuple(log_probs(x, labels)), (logits,))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("numbers", [1, 20, 1 << 19], ids=["row by row", "some rows", "at once"])
def test_it_is_torchs_cross_entropy(monkeypatch, smoothing, numbers):
    monkeypatch.setattr(module, "_CPU_NUMBERS", numbers)
    (ours, labels), (theirs, _) = drawn(11, 7), drawn(11, 7)
    weights = torch.linspace(-1, 2, 11, dtype=torch.float64)
    found = log_probs(ours, labels)
    values = -(1 - smoothing) * found.of_label - smoothing * found.mean
    expected = cross_entropy(theirs, labels, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(values, expected, rtol=1e-13, atol=1e-13)
    (values @ weights).backward()
    (expected @ weights).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-14)


def test_one_of_the_two_may_be_left_alone():
    for part in (0, 1):
        logits, labels = drawn(4, 5)
        log_probs(logits, labels)[part].sum().backward()
        same, _ = drawn(4, 5)
        plain = torch.log_softmax(same, -1)
        (plain.gather(1, labels[:, None]) if part == 0 else plain.mean(-1)).sum().backward()
        torch.testing.assert_close(logits.grad, same.grad)


def test_bf16_is_computed_in_fp32():
    logits, labels = drawn(6, 40, dtype=torch.bfloat16)
    found = log_probs(logits, labels)
    exact = torch.log_softmax(logits.detach().double(), -1).gather(1, labels[:, None]).squeeze(1)
    assert found.of_label.dtype == found.mean.dtype == torch.float32
    torch.testing.assert_close(found.of_label, exact.float(), rtol=1e-6, atol=1e-6)
    found.of_label.sum().backward()
    assert logits.grad.dtype == torch.bfloat16


def test_near_certainty_has_its_digits():
    """log p = (x - max) - log sum(exp(x - max)), not x - logsumexp(x), whose digits are those of x."""
    logits = torch.tensor([[100.0, 86.0, 80.0]])
    found = log_probs(logits, torch.tensor([0])).of_label
    exact = torch.log_softmax(logits.double(), -1)[0, 0]
    assert found.item() == pytest.approx(exact.item(), abs=1.2e-7)


def peak_copies(loss, *, targets=400, vocab=32128):
    """The most that was allocated at once, forward and backward, in tensors of (targets, vocab) in fp32."""
    logits, labels = torch.randn(targets, vocab), torch.randint(0, vocab, (targets,))

    def run():
        loss((logits * 1.0).requires_grad_(), labels).sum().backward()

    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    held = most = 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / (4 * targets * vocab)


def test_two_tensors_of_logits_are_all_that_is_held():
    ours = peak_copies(lambda logits, labels: log_probs(logits, labels).of_label)
    theirs = peak_copies(lambda logits, labels: cross_entropy(logits, labels, reduction="none"))
    assert ours < 2.2
    assert theirs > 2.9
