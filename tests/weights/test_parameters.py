"""A model's tensors have the names of its file, each once, and go in and out unchanged."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED
from ramekin.weights.parameters import copy_structure, parameter_counts, set_dropout, set_tensors, tensors_of

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]


def is_one_embedding(model: Any) -> bool:
    return model.encoder.embed_tokens.weight is model.shared.weight is model.decoder.embed_tokens.weight


def test_frozen_parameters_are_not_trainable(tiny: Make) -> None:
    model = tiny()
    model.shared.weight.requires_grad_(False)
    counts = parameter_counts(model)
    assert counts.all - counts.trainable == 64 * 16


@pytest.mark.parametrize("tied", [True, False])
def test_tensors_go_out_and_in_by_their_file_names(tiny: Make, logits: Logits, tied: bool) -> None:
    source, target = tiny(tied=tied, seed=1), tiny(tied=tied, seed=2)
    tensors = tensors_of(source)
    assert (HEAD in tensors) is not tied
    assert sum(tensor.numel() for tensor in tensors.values()) == parameter_counts(source).all
    set_tensors(target, tensors)
    assert torch.equal(logits(target), logits(source)) and is_one_embedding(target)
    tensors_of(target)[SHARED].zero_()
    assert not target.encoder.embed_tokens.weight.any()  # the live tensor


@pytest.mark.parametrize("tied", [True, False])
def test_a_structure_is_tied_as_its_model_is_and_holds_nothing(tiny: Make, tied: bool) -> None:
    model = tiny(tied=tied)
    model.lm_head.weight.requires_grad_(False)
    structure, sources = copy_structure(model)
    empty, whole = dict(structure.named_parameters()), dict(model.named_parameters())
    assert {p.device.type for p in empty.values()} == {"meta"}
    assert {name: id(sources[p]) for name, p in empty.items()} == {name: id(p) for name, p in whole.items()}
    assert all(p.requires_grad == whole[name].requires_grad for name, p in empty.items())
    assert (structure.lm_head.weight is structure.shared.weight) is tied and is_one_embedding(structure)
    assert structure.config is not model.config


def test_wrong_tensors_are_refused_and_nothing_is_written(tiny: Make, logits: Logits) -> None:
    model = tiny()
    expected = logits(model)
    good = {name: torch.zeros_like(tensor) for name, tensor in tensors_of(model).items()}
    cases = [
        (
            {**good, "shared.wieght": good[SHARED]},
            "no tensor of this name: shared.wieght.*did you mean 'shared.weight'",
        ),
        ({**good, EMBEDDING_ALIASES[0]: good[SHARED]}, "no tensor of this name: encoder.embed_tokens.weight"),
        (
            {name: t for name, t in good.items() if name != HEAD},
            "is not given: lm_head.weight: got 1 missing",
        ),
        (
            {**good, SHARED: torch.zeros(65, 16)},
            r"another shape.*shared\.weight: expected \[64, 16\], got \[65, 16\]",
        ),
    ]
    for tensors, sentence in cases:
        with pytest.raises(WeightsError, match=sentence):
            set_tensors(model, tensors)
        assert torch.equal(logits(model), expected)


def test_a_model_whose_embedding_came_apart_has_no_tensors(tiny: Make) -> None:
    model = tiny()
    model.decoder.embed_tokens.weight = torch.nn.Parameter(model.shared.weight.detach().clone())
    with pytest.raises(WeightsError, match=r"no longer one tensor: decoder\.embed_tokens\.weight"):
        tensors_of(model)
    with pytest.raises(WeightsError, match="not a plain encoder-decoder model"):
        tensors_of(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


def test_dropout_is_set_everywhere(tiny: Make) -> None:
    model = tiny(dropout_rate=0).train()
    inputs = {"input_ids": torch.arange(2, 12)[None], "decoder_input_ids": torch.arange(2, 8)[None]}
    still = [model(**inputs).logits for _ in range(2)]
    assert torch.equal(*still)
    set_dropout(model, 0.3)
    rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
    rates |= {m.dropout for m in model.modules() if isinstance(getattr(m, "dropout", None), float)}
    assert rates == {0.3} and model.config.dropout_rate == 0.3
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)
    set_dropout(model, 0.0)
    assert torch.equal(model(**inputs).logits, still[0])
    for rate in (1.0, -0.1):
        with pytest.raises(UsageError, match="dropout rate cannot be"):
            set_dropout(model, rate)
