"""Adapters written from arrays open in PEFT and in ramekin, layer by layer at their own rank."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.files import sha256_file
from ramekin.weights.adapter import load_adapter
from ramekin.weights.factors import read_factors
from ramekin.weights.lora_folder import lora_config, lora_plan, write_lora
from ramekin.weights.seq2seq import tensors_of
from ramekin.weights.writing import planned_bytes

# PEFT reads an attribute that transformers 5 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

Make = Callable[..., Any]
ATTENTION = "encoder.block.{}.layer.0.SelfAttention.{}.weight"


def changes(model: Any, names: Iterable[str], ranks: Iterable[int]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tensors, found = tensors_of(model), {}
    for name, rank in zip(names, ranks, strict=True):
        out, width = tensors[name].shape
        b = rng.standard_normal((out, rank), dtype=np.float32)
        found[name] = (b, rng.standard_normal((rank, width), dtype=np.float32))
    return found


LAYERS = [ATTENTION.format(0, "q"), ATTENTION.format(1, "q"), ATTENTION.format(0, "v")]


@pytest.mark.parametrize(
    ("names", "ranks"),
    [
        (LAYERS, [2, 2, 2]),
        (LAYERS, [3, 1, 3]),  # whole names, one of another rank
        ([ATTENTION.format(1, "o"), "decoder.block.0.layer.2.DenseReluDense.wo.weight"], [4, 1]),
        (["lm_head.weight", LAYERS[0]], [2, 5]),
    ],
)
def test_peft_and_ramekin_compute_the_same(
    tiny: Make, logits: Make, tmp_path: Path, names: list[str], ranks: list[int]
) -> None:
    from peft import PeftModel

    model = tiny()
    made = changes(model, names, ranks)
    known = [name for name, tensor in tensors_of(model).items() if tensor.dim() == 2]
    digests = write_lora(tmp_path, made, dtype="F32", base="org/base", known=known)
    assert digests == {"adapter_model.safetensors": sha256_file(tmp_path / "adapter_model.safetensors")}
    expected = tiny()
    with torch.no_grad():
        for name, (b, a) in made.items():
            tensors_of(expected)[name].add_(torch.from_numpy(b @ a))
    ours = logits(load_adapter(model, tmp_path, verify=False))
    torch.testing.assert_close(ours, logits(expected), rtol=1e-5, atol=1e-5)
    theirs = logits(PeftModel.from_pretrained(tiny(), str(tmp_path)).eval())
    torch.testing.assert_close(theirs, logits(expected), rtol=1e-4, atol=1e-4)
    assert (theirs - logits(tiny())).abs().max() > 0.1
    read = read_factors(tmp_path)
    assert {name: change.rank for name, change in read.changes.items()} == dict(
        zip(names, ranks, strict=True)
    )
    assert {change.scale for change in read.changes.values()} == {1.0} and read.base == "org/base"


def test_last_names_stand_for_layers_where_they_mean_no_others() -> None:
    every = [ATTENTION.format(layer, kind) for layer in range(2) for kind in "qv"]
    ranks = dict.fromkeys(every, 4)
    assert lora_config(ranks, base=None, known=[*every, "lm_head.weight"])["target_modules"] == ["q", "v"]
    whole = sorted(name.removesuffix(".weight") for name in every)
    assert lora_config(ranks, base=None)["target_modules"] == whole  # who knows what else is called q
    other = [*every, "decoder.block.0.layer.0.SelfAttention.q.weight"]
    assert lora_config(ranks, base=None, known=other)["target_modules"] == whole


def test_ranks_that_are_not_the_most_frequent_are_named() -> None:
    config = lora_config({"a.q.weight": 4, "b.q.weight": 4, "a.v.weight": 2}, base="x")
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    assert config["rank_pattern"] == config["alpha_pattern"] == {r"a\.v": 2}


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_the_plan_is_the_size_of_the_file(tiny: Make, tmp_path: Path, dtype: str) -> None:
    made = changes(tiny(), LAYERS, [2, 3, 2])
    write_lora(tmp_path, made, dtype=dtype, base=None)
    shapes = {name: (b.shape[0], *a.shape) for name, (b, a) in made.items()}
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert planned_bytes(lora_plan(shapes, dtype=dtype)) == size
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] is None


def test_what_is_not_finite_is_not_written(tiny: Make, tmp_path: Path) -> None:
    made = changes(tiny(), LAYERS[:1], [2])
    made[LAYERS[0]][0][0, 0] = np.inf
    with pytest.raises(WeightsError, match="not finite"):
        write_lora(tmp_path, made, dtype="F32", base=None)
