"""An IA3 folder is read as the rows and columns that PEFT scales, or refused with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import WeightsError
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.change import Rescaled

K = "base_model.model.encoder.block.0.layer.0.SelfAttention.k.ia3_l"
WO = "base_model.model.encoder.block.0.layer.1.DenseReluDense.wo.ia3_l"


def write(folder: Path, tensors: dict[str, torch.Tensor], **keys: Any) -> Path:
    config = {"peft_type": "IA3", "target_modules": ["k", "wo"], "feedforward_modules": ["wo"]}
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))
    return folder


def test_vectors_are_changes_of_file_keys(tmp_path: Path) -> None:
    rows, columns = torch.rand(16, 1), torch.rand(1, 24)
    adapter = read_adapter(write(tmp_path, {K: rows, WO: columns}, base_model_name_or_path="org/base"))
    assert (adapter.kind, adapter.base, adapter.prompt) == ("ia3", "org/base", None)
    k, wo = adapter.changes.values()
    assert list(adapter.changes) == [
        "encoder.block.0.layer.0.SelfAttention.k.weight",
        "encoder.block.0.layer.1.DenseReluDense.wo.weight",
    ]
    assert isinstance(k, Rescaled) and torch.equal(k.vector, rows) and k.shape == (16, None)
    assert isinstance(wo, Rescaled) and torch.equal(wo.vector, columns) and wo.shape == (None, 24)


@pytest.mark.parametrize(
    ("tensors", "keys", "sentence"),
    [
        ({K: torch.ones(16, 1)}, {"modules_to_save": ["lm_head"]}, "adapter_config.json#modules_to_save"),
        ({K: torch.ones(16, 1)}, {"fan_in_fan_out": True}, "adapter_config.json#fan_in_fan_out"),
        ({K: torch.ones(16, 2)}, {}, "is not the IA3 vector of a linear layer: FILE#" + K),
        ({K: torch.ones(16)}, {}, "expected base_model.model.….ia3_l of [out, 1] or [1, in], got [16]"),
        ({K + ".weight": torch.ones(16, 1)}, {}, "is not the IA3 vector"),
        ({"k.ia3_l": torch.ones(16, 1)}, {}, "is not the IA3 vector"),
        ({K: torch.full((16, 1), float("inf"))}, {}, "not finite: FILE#" + K),
        ({}, {}, "holds no tensors: FILE"),
    ],
)
def test_what_would_not_merge_exactly_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        read_adapter(write(tmp_path, tensors, **keys))
    assert sentence.replace("FILE", str(tmp_path / "adapter_model.safetensors")) in str(caught.value)
