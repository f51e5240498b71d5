"""What PEFT is asked for: the layers, the number of parameters, the start."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.attach import (
    AdapterRecipe,
    IA3Recipe,
    LoraRecipe,
    PromptRecipe,
    attach_adapter,
    attach_ia3,
    attach_lora,
    attach_prompt,
)
from ramekin.weights.seq2seq import copy_model, parameter_counts

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]
ALL = ("q", "k", "v", "o", "wi_0", "wi_1", "wo")


@pytest.mark.parametrize(
    ("recipe", "count"),
    [
        (LoraRecipe(), 688_128),
        (LoraRecipe(targets=("all-linear",)), 2_555_904),
        (LoraRecipe(targets=ALL), 2_555_904),
        (LoraRecipe(dora=True), 688_128 + 48 * 384),
        (LoraRecipe(targets=(r"encoder\..*\.q",)), 8 * 16 * (512 + 384)),
        (IA3Recipe(), 48 * 384 + 16 * 1024),
        (PromptRecipe(), 20 * 512),
    ],
)
def test_the_small_flan_shape_has_the_known_number_of_trained_parameters(
    recipe: AdapterRecipe, count: int
) -> None:
    with torch.device("meta"):  # shapes alone
        model = T5ForConditionalGeneration(
            T5Config(
                d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_heads=6, feed_forward_proj="gated-gelu"
            )
        )
    assert parameter_counts(attach_adapter(model, recipe, seed=0)).trainable == count


@pytest.mark.parametrize(
    "recipe",
    [
        LoraRecipe(rank=2),
        LoraRecipe(rank=2, dora=True),
        LoraRecipe(rank=2, targets=("all-linear",)),
        IA3Recipe(),
    ],
)
def test_a_fresh_adapter_changes_nothing_and_the_seed_decides_it(
    tiny: Make, logits: Logits, recipe: AdapterRecipe
) -> None:
    model = tiny()
    before = torch.random.get_rng_state()
    one, two = (attach_adapter(copy_model(model), recipe, seed=1) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(logits(one), logits(model), rtol=0, atol=2e-6)
    other = attach_adapter(copy_model(model), recipe, seed=2)
    pairs = zip(one.named_parameters(), two.named_parameters(), other.named_parameters(), strict=True)
    for (name, a), (_, b), (_, c) in pairs:
        assert torch.equal(a, b)
        assert torch.equal(a, c) is ("lora_A" not in name)
    trained = {name for name, p in one.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or "ia3_" in name for name in trained)


def test_peft_is_given_short_names_where_they_will_do(tiny: Make) -> None:
    def targets(recipe: LoraRecipe) -> set[str]:
        return set(attach_lora(tiny(), recipe, seed=0).peft_config["default"].target_modules)

    assert targets(LoraRecipe(targets=("v", "q"))) == {"q", "v"}
    assert targets(LoraRecipe(targets=("all-linear",))) == set(ALL)
    only = targets(LoraRecipe(targets=(r"decoder\.block\.0\..*\.q",)))
    assert only == {
        f"decoder.block.0.layer.{n}.{a}.q" for n, a in ((0, "SelfAttention"), (1, "EncDecAttention"))
    }


@pytest.mark.parametrize(
    ("recipe", "inside"),
    [
        (IA3Recipe(), {"wo"}),
        (IA3Recipe(targets=("o", "wo"), feed_forward=("o",)), {"o"}),  # PEFT alone would take 'wo' for 'o'
        (IA3Recipe(targets=("all-linear",), feed_forward=("wi_0", "o")), {"o", "wi_0"}),
        (IA3Recipe(targets=("k",), feed_forward=()), set()),
    ],
)
def test_the_inputs_of_the_named_layers_are_scaled(tiny: Make, recipe: IA3Recipe, inside: set[str]) -> None:
    wrapped = attach_ia3(tiny(), recipe)
    layers = {n.rpartition(".")[2]: m for n, m in wrapped.named_modules() if hasattr(m, "is_feedforward")}
    assert {name for name, layer in layers.items() if layer.is_feedforward} == inside
    for layer in layers.values():
        assert (layer.ia3_l["default"].shape[0] == 1) is layer.is_feedforward


def test_feed_forward_layers_are_targets(tiny: Make) -> None:
    with pytest.raises(
        UsageError, match=r"not among its targets: adapter\.feed_forward: expected some of k, v"
    ):
        attach_ia3(tiny(), IA3Recipe(targets=("k", "v"), feed_forward=("wo",)))
    with pytest.raises(UsageError, match=r"names no layer of the model: adapter\.feed_forward"):
        attach_ia3(tiny(), IA3Recipe(feed_forward=("w0",)))


def test_a_prompt_starts_from_the_given_tokens_over_and_over(tiny: Make) -> None:
    model = tiny()
    wrapped = attach_prompt(model, PromptRecipe(num_virtual_tokens=5, initial_ids=(9, 4)), seed=0)
    vectors = wrapped.prompt_encoder["default"].embedding.weight
    assert torch.equal(vectors, model.shared.weight[[9, 4, 9, 4, 9]])
    assert {name for name, p in wrapped.named_parameters() if p.requires_grad} == {
        "base_model.encoder.soft_prompt.embedding.weight"
    }
    with pytest.raises(UsageError, match="not in the vocabulary: initial_ids: expected below 64, got 64"):
        attach_prompt(tiny(), PromptRecipe(initial_ids=(64,)), seed=0)


def test_a_prompt_starts_from_drawn_tokens_that_are_words(tiny: Make) -> None:
    def drawn(seed: int, count: int = 20) -> list[int]:
        model = tiny()
        wrapped = attach_prompt(model, PromptRecipe(num_virtual_tokens=count), seed=seed)
        rows = wrapped.prompt_encoder["default"].embedding.weight.detach()
        return [int((model.shared.weight == row).all(dim=1).nonzero()) for row in rows]

    before = torch.random.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(set(drawn(1))) == 20 and min(drawn(1, 61)) == 3
    assert len(drawn(1, 70)) == 70  # more than there are words


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: IA3Recipe(targets=()), "an IA3 setting cannot be: adapter.targets: expected a list"),
        (lambda: IA3Recipe(feed_forward="wo"), "adapter.feed_forward: expected a list"),  # type: ignore[arg-type]
        (
            lambda: PromptRecipe(num_virtual_tokens=0),
            "adapter.num_virtual_tokens: expected an integer from 1",
        ),
        (lambda: PromptRecipe(initial_ids=(-1,)), "adapter.initial_ids: expected token ids"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(make: Make, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert sentence in str(caught.value)


@pytest.mark.parametrize("recipe", [LoraRecipe(rank=2), IA3Recipe(), PromptRecipe()])
def test_a_model_that_reads_a_prompt_takes_no_other_adapter(tiny: Make, recipe: AdapterRecipe) -> None:
    model = tiny()
    attach_prompt(model, PromptRecipe(), seed=0)
    with pytest.raises(
        WeightsError, match="reads a soft prompt.*take the base that the prompt was trained on"
    ):
        attach_adapter(model, recipe, seed=0)
