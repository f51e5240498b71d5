"""Layers of a configuration: chosen options, then a file, then words."""

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.layers import layered, values_of


def test_words_lie_over_a_file_and_both_over_the_options() -> None:
    theirs = values_of("train", ["adapter=lora"])["adapter"]
    assert theirs["kind"] == "lora"
    file = {("adapter", "rank"): 3, ("adapter", "alpha"): 5, ("seed",): 4}
    found = layered("train", ["adapter=lora"], file, {("adapter", "rank"): 7})
    assert found["adapter"] == {**theirs, "rank": 7, "alpha": 5} and found["seed"] == 4


def test_another_option_than_a_recipes_begins_from_its_own_values() -> None:
    recipe = ["recipe=glue/lora_base"]
    assert values_of("train", recipe)["adapter"]["kind"] == "lora"
    found = layered("train", recipe, {}, {("adapter", "kind"): "ia3"})
    assert found["adapter"] == values_of("train", ["adapter=ia3"])["adapter"]
    same = layered("train", recipe, {}, {("adapter", "kind"): "lora", ("adapter", "rank"): 2})
    assert same["adapter"] == {**values_of("train", recipe)["adapter"], "rank": 2}


def test_what_hydra_cannot_compose_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match="the configuration cannot be composed"):
        layered("train", ["adapter=nothing"], {}, {})
