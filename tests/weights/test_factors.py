"""The factors of LoRA adapters in numpy: the same numbers as `adapter_folder` reads, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ramekin.errors import WeightsError
from ramekin.weights.adapter import AdapterRecipe, IA3Recipe, LoraRecipe, attach_adapter, save_adapter
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.checkpoint import Lineage, Parent
from ramekin.weights.factors import Factors, is_plain_lora, read_factors

Make = Callable[..., Any]
Q = "base_model.model.encoder.block.0.layer.0.SelfAttention.q"


@pytest.fixture
def save(tiny: Make, tmp_path: Path) -> Make:
    """Save an adapter of the tiny model whose factors are random."""

    def write(recipe: AdapterRecipe, name: str = "ad") -> Path:
        wrapped = attach_adapter(tiny(), recipe, seed=0)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        lineage = Lineage(
            kind="adapter", operation="x", base="org/b", parents=(Parent("org/b", "ab", "base"),)
        )
        save_adapter(wrapped, tmp_path / name, base="org/b", lineage=lineage)
        return tmp_path / name

    return write


def foreign(folder: Path, dtype: torch.dtype = torch.float32, **keys: Any) -> Path:
    """An adapter as another tool writes it: no manifest."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    pair = {"A": torch.randn(4, 16, generator=generator), "B": torch.randn(8, 4, generator=generator)}
    save_file(
        {f"{Q}.lora_{k}.weight": v.to(dtype) for k, v in pair.items()}, folder / "adapter_model.safetensors"
    )
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "base_model_name_or_path": "google/flan-t5-base"}
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))
    return folder


@pytest.mark.parametrize("rslora", [False, True])
def test_the_same_numbers_as_with_torch(save: Make, rslora: bool) -> None:
    folder = save(LoraRecipe(rank=3, alpha=5, rslora=rslora))
    ours, theirs = read_factors(folder), read_adapter(folder)
    assert (ours.base, ours.base_sha256, ours.kind) == ("org/b", "ab", "lora")
    assert set(ours.changes) == set(theirs.changes) and is_plain_lora(folder)
    rows = np.random.default_rng(0).standard_normal((4, 16), dtype=np.float32)
    for name, change in theirs.changes.items():
        own = ours.changes[name]
        assert (
            own.shape == change.shape and own.fits(change.shape) and not own.fits((3, 16)) and own.rank == 3
        )
        assert own.scale == change.scale  # type: ignore[union-attr]
        np.testing.assert_array_equal(own.merged_rows(rows, 2), change.merged_rows(rows, 2))
        np.testing.assert_allclose(own.dense(), change.dense().numpy(), rtol=1e-6, atol=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_is_read_as_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = foreign(tmp_path / "ad", dtype)
    (change,) = read_factors(folder).changes.values()
    tensors = load_file(folder / "adapter_model.safetensors")
    assert change.b.dtype == np.float32 and change.scale == 1.5
    np.testing.assert_array_equal(change.b, tensors[f"{Q}.lora_B.weight"].float().numpy())
    np.testing.assert_array_equal(change.a, tensors[f"{Q}.lora_A.weight"].float().numpy())


@pytest.mark.parametrize(
    ("recipe", "got"), [(LoraRecipe(rank=2, dora=True), "a DoRA"), (IA3Recipe(), "'IA3'")]
)
def test_other_kinds_are_no_factors(save: Make, recipe: AdapterRecipe, got: str) -> None:
    folder = save(recipe)
    assert not is_plain_lora(folder)
    with pytest.raises(WeightsError, match="no product of two factors") as caught:
        read_factors(folder)
    assert got in str(caught.value)


def test_a_variant_that_cannot_be_merged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="#bias: expected"):
        read_factors(foreign(tmp_path / "ad", bias="all"))


def test_values_that_are_not_finite_or_not_floating_are_refused(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "ad")
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[f"{Q}.lora_A.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        read_factors(folder)
    save_file(
        {key: value.to(torch.int8) for key, value in tensors.items()}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(WeightsError, match="not of a floating-point type"):
        read_factors(folder)


def test_a_changed_file_is_noticed(save: Make) -> None:
    path = save(LoraRecipe(rank=2)) / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="changed or damaged"):
        read_factors(path.parent)
    assert read_factors(path.parent, verify=False).changes


def test_no_torch_is_needed(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "ad")
    code = (
        "import sys; from pathlib import Path; from ramekin.weights.factors import read_factors; "
        f"read_factors(Path({str(folder)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_dense_is_the_product() -> None:
    found = Factors(np.asarray([[2.0], [1.0]], np.float32), np.asarray([[1.0, 3.0]], np.float32), 0.5)
    assert found.dense().tolist() == [[1.0, 3.0], [0.5, 1.5]]
