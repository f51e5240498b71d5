"""The kinds of folder that are read, each by its own module's rules (tested there)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ramekin.errors import WeightsError
from ramekin.weights.adapter import (
    AdapterRecipe,
    IA3Recipe,
    LoraRecipe,
    PromptRecipe,
    attach_adapter,
    save_adapter,
)
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.checkpoint import Lineage, Parent

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (LoraRecipe(rank=2), "lora"),
        (LoraRecipe(rank=2, rslora=True), "lora"),
        (LoraRecipe(rank=2, dora=True), "dora"),
        (IA3Recipe(), "ia3"),
        (PromptRecipe(num_virtual_tokens=2), "prompt"),
    ],
)
def test_every_kind_that_can_be_attached_is_read_back(
    tiny: Make, tmp_path: Path, recipe: AdapterRecipe, kind: str
) -> None:
    wrapped = attach_adapter(tiny(), recipe, seed=0)
    lineage = Lineage(kind="adapter", operation="x", base="org/b", parents=(Parent("org/b", "ab", "base"),))
    save_adapter(wrapped, tmp_path / "a", base="org/b", lineage=lineage)
    adapter = read_adapter(tmp_path / "a")
    assert (adapter.kind, adapter.base, adapter.base_sha256) == (kind, "org/b", "ab")
    assert bool(adapter.changes) is (kind != "prompt") and (adapter.prompt is None) is (kind != "prompt")


@pytest.mark.parametrize("kind", ["LOHA", "PREFIX_TUNING", None, ["LORA"]])
def test_another_kind_is_refused(tmp_path: Path, kind: object) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": kind}))
    with pytest.raises(WeightsError, match="kind of adapter is not supported: .*#peft_type") as caught:
        read_adapter(tmp_path)
    assert f"expected one of LORA, IA3, PROMPT_TUNING, got {kind!r}" in str(caught.value)
