"""What the header tells of an adapter is what reading its tensors tells, and it takes no torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import WeightsError
from ramekin.weights.adapter import IA3Recipe, LoraRecipe, PromptRecipe, attach_adapter, save_adapter
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.adapter_header import read_adapter_header, read_recorded_base
from ramekin.weights.checkpoint import Lineage, Parent

RECIPES = {
    "lora": LoraRecipe(rank=3, alpha=6),
    "rslora": LoraRecipe(rank=4, alpha=6, rslora=True, targets=("q", "wi_0")),
    "dora": LoraRecipe(rank=2, alpha=6, dora=True),
    "ia3": IA3Recipe(),
    "prompt": PromptRecipe(3),
}


def _saved(folder: Path, model: Any, recipe: Any) -> Path:
    lineage = Lineage(
        kind="adapter", operation="x", base="org/b", parents=(Parent("org/b", "ab" * 32, "base"),)
    )
    save_adapter(attach_adapter(model, recipe, seed=0), folder, base="org/b", lineage=lineage)
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_it_tells_what_the_tensors_are(tmp_path: Path, tiny: Callable[..., Any], name: str) -> None:
    folder = _saved(tmp_path / name, tiny(), RECIPES[name])
    adapter, header, recorded = read_adapter(folder), read_adapter_header(folder), read_recorded_base(folder)
    assert header.kind == adapter.kind
    assert header.sides == {key: change.shape for key, change in adapter.changes.items()}
    assert (
        (recorded.base, recorded.base_sha256) == (adapter.base, adapter.base_sha256) == ("org/b", "ab" * 32)
    )
    recipe = RECIPES[name]
    if isinstance(recipe, LoraRecipe):
        scale = 6 / recipe.rank ** (0.5 if recipe.rslora else 1)
        assert set(header.ranks.values()) == {recipe.rank} and set(header.scales.values()) == {scale}
        assert header.ranks.keys() == header.scales.keys() == header.sides.keys()
    else:
        assert not header.ranks and not header.scales


def test_it_refuses_what_reading_refuses(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    folder = _saved(tmp_path / "a", tiny(), RECIPES["lora"])
    config = json.loads((folder / "adapter_config.json").read_text())
    for keys, kind in (({"bias": "all"}, "adapter-variant"), ({"peft_type": "LOHA"}, "adapter-kind")):
        (folder / "adapter_config.json").write_text(json.dumps({**config, **keys}))
        messages = []
        for read in (read_adapter_header, lambda folder: read_adapter(folder, verify=False)):
            with pytest.raises(WeightsError) as caught:
                read(folder)
            messages.append(str(caught.value))
            assert caught.value.kind == kind
        assert messages[0] == messages[1]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({"x.lora_A.weight": torch.ones(3, 16)}, folder / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match="not the A or B of a linear layer"):
        read_adapter_header(folder)


def test_neither_torch_nor_peft_is_loaded(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    folder = _saved(tmp_path / "a", tiny(), RECIPES["dora"])
    code = (
        "import sys; from pathlib import Path; from ramekin.weights.adapter_header import read_adapter_header;"
        "read_adapter_header(Path(sys.argv[1])); print([m for m in ('torch', 'peft') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(folder)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "[]\n"
