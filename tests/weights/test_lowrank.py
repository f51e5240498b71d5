"""An adapter is read as exactly what PEFT would add, or refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ramekin.errors import WeightsError
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.change import Decomposed, LowRank
from ramekin.weights.lowrank import low_rank_changes

Make = Callable[..., Any]
A, B, M = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
Q = "base_model.model.encoder.block.0.layer.0.SelfAttention.q"
V = "base_model.model.decoder.block.1.layer.1.EncDecAttention.v"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter as another tool writes it: no manifest."""
    torch.manual_seed(0)
    tensors = {
        Q + A: torch.randn(4, 16),
        Q + B: torch.randn(16, 4),
        V + A: torch.randn(4, 16),
        V + B: torch.randn(16, 4),
    }
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, **keys: Any) -> None:
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "base_model_name_or_path": "google/flan-t5-base"}
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def test_every_pair_is_a_change_of_a_file_key(folder: Path) -> None:
    adapter = read_adapter(folder)
    assert adapter.base == "google/flan-t5-base" and adapter.base_sha256 is None
    q = "encoder.block.0.layer.0.SelfAttention.q.weight"
    assert set(adapter.changes) == {q, "decoder.block.1.layer.1.EncDecAttention.v.weight"}
    tensors = load_file(folder / "adapter_model.safetensors")
    delta = adapter.changes[q]
    assert delta.scale == 1.5 and delta.shape == (16, 16)
    assert torch.equal(delta.a, tensors[Q + A]) and torch.equal(delta.b, tensors[Q + B])
    assert torch.allclose(delta.dense(), 1.5 * tensors[Q + B] @ tensors[Q + A])


@pytest.mark.parametrize(
    ("keys", "scale_q", "scale_v"),
    [
        ({"lora_alpha": 8}, 2.0, 2.0),
        ({"use_rslora": True, "lora_alpha": 8}, 4.0, 4.0),
        ({"alpha_pattern": {"q": 12}}, 3.0, 1.5),
        ({"alpha_pattern": {"encoder.*.q": 12, "q": 99}}, 3.0, 1.5),
        ({"alpha_pattern": {"SelfAttention.q": 2, "v": 1}}, 0.5, 0.25),
        ({"alpha_pattern": {"encoder.block.0.layer.0.SelfAttention.q": 2}}, 0.5, 1.5),
        (
            {"alpha_pattern": {"block.0": 2, "elfAttention.q": 2}},
            1.5,
            1.5,
        ),  # a pattern matches whole trailing names
    ],
)
def test_the_scale_follows_alpha_rank_and_patterns(
    folder: Path, keys: dict[str, Any], scale_q: float, scale_v: float
) -> None:
    configure(folder, **keys)
    deltas = read_adapter(folder).changes
    assert [
        delta.scale for delta in (deltas[min(deltas, key=lambda n: n[0] != "e")], deltas[min(deltas)])
    ] == [
        scale_q,
        scale_v,
    ]


def test_ranks_may_differ_by_pattern(folder: Path) -> None:
    def narrow(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({V + A: torch.ones(2, 16), V + B: torch.ones(16, 2)})

    retensor(folder, narrow)
    configure(folder, rank_pattern={"v": 2})
    deltas = read_adapter(folder).changes
    assert sorted((delta.a.shape[0], delta.scale) for delta in deltas.values()) == [(2, 3.0), (4, 1.5)]
    configure(folder)
    with pytest.raises(
        WeightsError, match=r"another rank than its configuration: .*EncDecAttention\.v: expected rank 4"
    ):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"use_dora": True, "use_rslora": True, "use_bdlora": {"x": 1}}, "FILE#use_bdlora"),
        ({"lora_bias": True}, "FILE#lora_bias"),
        ({"bias": "all"}, "FILE#bias"),
        ({"modules_to_save": ["lm_head"]}, "FILE#modules_to_save"),
        ({"fan_in_fan_out": True}, "FILE#fan_in_fan_out"),
        ({"init_lora_weights": "pissa_niter_4"}, "FILE#init_lora_weights"),
        ({"init_lora_weights": "olora"}, "FILE#init_lora_weights"),
        ({"init_lora_weights": ["x"]}, "FILE#init_lora_weights"),
        ({"trainable_token_indices": [1]}, "FILE#trainable_token_indices"),
        ({"layer_replication": [[0, 1]]}, "FILE#layer_replication"),
        ({"alora_invocation_tokens": [3]}, "FILE#alora_invocation_tokens"),
        ({"some_variant_of_tomorrow": {"on": True}}, "FILE#some_variant_of_tomorrow"),
        ({"lora_alpha": "8"}, "cannot be: FILE#lora_alpha: expected a number above 0, got '8'"),
        ({"lora_alpha": None}, "FILE#lora_alpha"),
        ({"r": 0}, "FILE#r: expected a number above 0"),
        ({"r": True}, "FILE#r"),
        ({"rank_pattern": ["q"]}, "patterns are not an object: FILE#rank_pattern"),
        ({"alpha_pattern": {"(": 1}}, "not a regular expression: FILE#alpha_pattern"),
        ({"alpha_pattern": {"(a+)+b": 1}}, "pattern of the adapter is too complex: FILE#alpha_pattern"),
        ({"alpha_pattern": {"q" * 400: 1}}, "pattern of the adapter is too complex"),
        ({"base_model_name_or_path": 3}, "is not text: FILE#base_model_name_or_path"),
    ],
)
def test_what_would_not_merge_exactly_is_refused_by_key(
    folder: Path, keys: dict[str, Any], sentence: str
) -> None:
    configure(folder, **keys)
    with pytest.raises(WeightsError) as caught:
        read_adapter(folder)
    assert sentence.replace("FILE", str(folder / "adapter_config.json")) in str(caught.value)


@pytest.mark.parametrize("key", ["use_dora", "lora_bias", "modules_to_save", "eva_config", "anything_else"])
def test_what_is_switched_off_is_accepted(folder: Path, key: str) -> None:
    configure(
        folder,
        **{key: None},
        bias="none",
        init_lora_weights="gaussian",
        target_modules=["q"],
        lora_dropout=0.1,
    )
    assert len(read_adapter(folder).changes) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda t: t.pop(Q + B),
            "one of A and B without the other: FILE#encoder.block.0.layer.0.SelfAttention.q",
        ),
        (
            lambda t: t.update({"base_model.model.lm_head.weight": torch.ones(2, 2)}),
            "not the A or B of a linear",
        ),
        (
            lambda t: t.update({"base_model.model.shared.lora_embedding_A": torch.ones(2, 2)}),
            "not the A or B",
        ),
        (lambda t: t.update({"q" + A: torch.ones(2, 2)}), "not the A or B of a linear layer: FILE#q.lora_A"),
        (lambda t: t.update({Q + A: torch.ones(4, 16, 1)}), "not the A or B"),
        (lambda t: t.update({Q + A: torch.ones(3, 16)}), "another rank than its configuration"),
        (lambda t: t[V + A].view(-1)[0].fill_(float("nan")), "not finite: FILE#" + V),
        (lambda t: t.clear(), "holds no tensors: FILE"),
    ],
)
def test_tensors_that_are_no_pairs_are_refused(folder: Path, change: Any, sentence: str) -> None:
    retensor(folder, change)
    with pytest.raises(WeightsError) as caught:
        read_adapter(folder)
    assert sentence.replace("FILE", str(folder / "adapter_model.safetensors")) in str(caught.value)


def test_lengths_make_a_pair_dora(folder: Path) -> None:
    lengths = {Q + M: torch.rand(16), V + M: torch.rand(16)}
    retensor(folder, lambda tensors: tensors.update(lengths))
    configure(folder, use_dora=True, use_rslora=True)
    adapter = read_adapter(folder)
    assert adapter.kind == "dora"
    change = adapter.changes["encoder.block.0.layer.0.SelfAttention.q.weight"]
    assert isinstance(change, Decomposed) and torch.equal(change.magnitude, lengths[Q + M])
    assert change.low_rank.scale == 3.0 and change.shape == (16, 16)
    configure(folder)
    with pytest.raises(WeightsError, match="not the A or B of a linear layer: .*lora_magnitude_vector"):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("lengths", "got"), [(None, "none"), (torch.ones(15), r"\[15\]"), (torch.ones(16, 1), "not the A or B")]
)
def test_a_dora_without_the_right_lengths_is_refused(
    folder: Path, lengths: torch.Tensor | None, got: str
) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[V + M] = torch.ones(16)
        if lengths is not None:
            tensors[Q + M] = lengths

    retensor(folder, change)
    configure(folder, use_dora=True)
    with pytest.raises(
        WeightsError, match=rf"{got}|expected lora_magnitude_vector \[16\], got {got}"
    ) as caught:
        read_adapter(folder)
    assert "SelfAttention.q" in str(caught.value)


def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="no safetensors weights: .*pickled adapters are not opened"):
        read_adapter(folder)
    (folder / "adapter_config.json").unlink()
    for verify in (True, False):
        with pytest.raises(WeightsError):
            read_adapter(folder, verify=verify)
    with pytest.raises(WeightsError, match="holds no adapter.*adapter_config.json"):
        read_adapter(folder, verify=False)


def test_rsloras_rank_is_exact_for_any_rank() -> None:
    tensors = {"base_model.model.q" + A: torch.ones(3, 2), "base_model.model.q" + B: torch.ones(2, 3)}
    (delta,) = low_rank_changes(Path("x"), tensors, {"r": 3, "lora_alpha": 1, "use_rslora": True}).values()
    assert delta.scale == pytest.approx(3**-0.5, rel=1e-15)
    assert LowRank(delta.a, delta.b, 2.0).dense().tolist() == [[6.0, 6.0], [6.0, 6.0]]
