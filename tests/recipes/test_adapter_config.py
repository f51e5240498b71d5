"""An adapter's configuration as what the library takes."""

from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.adapter_config import AdapterConfig
from ramekin.recipes.fine_tuning import adapter_recipe
from ramekin.tensors.tokenizer import load_tokenizer, token_ids
from ramekin.weights.attach import AdapterRecipe, IA3Recipe, LoraRecipe, PromptRecipe


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        (AdapterConfig(kind="lora"), LoraRecipe()),
        (AdapterConfig(kind="lora", rank=4, alpha=8, dora=True, targets=("o",)), LoraRecipe(4, 8, 0.0, ("o",), dora=True)),
        (AdapterConfig(kind="ia3"), IA3Recipe()),
        (AdapterConfig(kind="ia3", targets=("k",), feed_forward=()), IA3Recipe(("k",), ())),
        (AdapterConfig(kind="prompt"), PromptRecipe()),
    ],
)  # fmt: skip
def test_each_kind_is_its_recipe(
    tokenizer_folder: Path, config: AdapterConfig, recipe: AdapterRecipe
) -> None:
    """The defaults of the two are the same."""
    assert adapter_recipe(config, load_tokenizer(tokenizer_folder)) == recipe


def test_a_text_becomes_tokens(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    config = AdapterConfig(kind="prompt", num_virtual_tokens=7, text="is it so?")
    recipe = adapter_recipe(config, tokenizer)
    assert recipe == PromptRecipe(7, tuple(token_ids(tokenizer, ["is it so?"])[0]))
    assert isinstance(recipe, PromptRecipe) and len(recipe.initial_ids) > 1 and 1 not in recipe.initial_ids


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (AdapterConfig(), "no adapter to make"),
        (AdapterConfig(kind="prompt", text=" "), "has no tokens: adapter.text"),
    ],
)
def test_what_is_no_adapter_is_refused(tokenizer_folder: Path, config: AdapterConfig, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        adapter_recipe(config, load_tokenizer(tokenizer_folder))
