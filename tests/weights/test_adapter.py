"""Adapters: PEFT opens ours, ours is merged as PEFT merges it, and the head stays."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter import (
    AdapterRecipe,
    IA3Recipe,
    LoraRecipe,
    PromptRecipe,
    attach_adapter,
    attach_lora,
    is_adapter,
    load_adapter,
    merge_adapter,
    merge_attached,
    read_adapter,
    save_adapter,
)
from ramekin.weights.change import LowRank
from ramekin.weights.checkpoint import Lineage, Parent, save_checkpoint, verify_checkpoint
from ramekin.weights.seq2seq import (
    copy_model,
    load_model,
    parameter_counts,
    set_dropout,
    tensors_of,
    tie_state,
)

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]
LINEAGE = Lineage(
    kind="adapter", operation="finetune", base="org/base", parents=(Parent("org/base", "ab", "base"),)
)


RANK_4 = LoraRecipe(rank=4)


def trained(model: Any, recipe: AdapterRecipe = RANK_4, seed: int = 0) -> Any:
    """A model with an adapter that does something: all but A has moved."""
    wrapped = attach_adapter(copy_model(model), recipe, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad and "lora_A" not in name:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return wrapped


def peft_opens(base: Any, folder: Path) -> Any:
    import warnings

    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        return PeftModel.from_pretrained(copy_model(base), folder).eval()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


RECIPES = [
    pytest.param(LoraRecipe(rank=4), id="plain"),
    pytest.param(LoraRecipe(rank=3, alpha=7.0, rslora=True), id="rsLoRA"),
    pytest.param(
        LoraRecipe(rank=2, alpha=0.5, targets=("q", "k", "v", "o", "wi_0", "wi_1", "wo")), id="all layers"
    ),
    pytest.param(LoraRecipe(rank=3, dora=True, rslora=True, targets=("all-linear",)), id="DoRA"),
    pytest.param(IA3Recipe(), id="IA3"),
    pytest.param(IA3Recipe(targets=("o", "wo", r"decoder\..*\.q"), feed_forward=("o",)), id="IA3 elsewhere"),
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("model_type", "tied"), [("t5", True), ("t5", False), ("umt5", False), ("mt5", False)]
)
def test_our_merge_is_pefts_and_the_head_stays(
    tiny: Make, logits: Logits, tmp_path: Path, recipe: AdapterRecipe, model_type: str, tied: bool
) -> None:
    base = tiny(tied=tied, model_type=model_type)
    wrapped = trained(base, recipe)
    expected = logits(wrapped)
    assert relative(logits(base), expected) > 1e-3
    save_adapter(wrapped, tmp_path / "a", base="org/base", lineage=LINEAGE)
    loaded = load_adapter(base, tmp_path / "a")
    assert relative(logits(loaded), expected) < 1e-5
    assert relative(logits(peft_opens(base, tmp_path / "a")), expected) == 0.0
    assert tie_state(loaded) == tie_state(base)
    assert torch.equal(loaded.lm_head.weight, base.lm_head.weight)
    theirs = peft_opens(base, tmp_path / "a").merge_and_unload()
    for name, tensor in tensors_of(loaded).items():
        assert relative(tensor, dict(theirs.named_parameters())[name].detach()) < 1e-6, name
    assert torch.equal(logits(merge_attached(wrapped)), logits(loaded))
    again = copy_model(loaded)
    again.tie_weights()
    assert torch.equal(logits(again), logits(loaded))


def test_the_merge_is_exact_against_double_precision(tiny: Make, tmp_path: Path) -> None:
    base = tiny(d_model=32)
    save_adapter(trained(base, LoraRecipe(rank=8)), tmp_path / "a", base="b", lineage=LINEAGE)
    loaded, deltas = tensors_of(load_adapter(base, tmp_path / "a")), read_adapter(tmp_path / "a").changes
    for name, tensor in tensors_of(base).items():
        if name not in deltas:
            assert torch.equal(loaded[name], tensor)
            continue
        delta = deltas[name]
        assert isinstance(delta, LowRank)
        exact = tensor.double() + delta.scale * delta.b.double() @ delta.a.double()
        assert relative(loaded[name].double(), exact) < 1e-6


def test_a_bf16_base_is_merged_in_fp32_and_rounded_once(tiny: Make, saved: Make, tmp_path: Path) -> None:
    model = tiny()
    base = load_model(saved(model=model), dtype="bf16")
    save_adapter(trained(model), tmp_path / "a", base="b", lineage=LINEAGE)
    loaded, deltas = tensors_of(load_adapter(base, tmp_path / "a")), read_adapter(tmp_path / "a").changes
    for name, delta in deltas.items():
        assert torch.equal(loaded[name], delta.merged(tensors_of(base)[name].float()).bfloat16())


@pytest.mark.parametrize("recipe", [RANK_4, IA3Recipe(), PromptRecipe(num_virtual_tokens=3)])
def test_merging_leaves_base_and_adapter_as_they_were(
    tiny: Make, logits: Logits, tmp_path: Path, recipe: AdapterRecipe
) -> None:
    base = tiny()
    wrapped = trained(base, recipe)
    before, attached = logits(base), logits(wrapped)
    save_adapter(wrapped, tmp_path / "a", base="b", lineage=LINEAGE)
    load_adapter(base, tmp_path / "a")
    merged = merge_attached(wrapped)
    assert torch.equal(logits(base), before) and torch.equal(logits(wrapped), attached)
    assert all(parameter.requires_grad for parameter in merged.parameters())
    assert not [name for name, _ in merged.named_parameters() if "lora" in name or "ia3" in name]


def test_a_merged_adapter_can_be_saved_and_opened(
    tiny: Make, logits: Logits, library_load: Make, tmp_path: Path
) -> None:
    merged = merge_attached(trained(tiny()))
    save_checkpoint(merged, tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE)
    for opened in (load_model(tmp_path / "x"), library_load(tmp_path / "x")):
        assert torch.equal(logits(opened), logits(merged))


def test_attaching_is_decided_by_the_seed_and_changes_nothing_yet(tiny: Make, logits: Logits) -> None:
    model = tiny()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = (attach_lora(copy_model(model), LoraRecipe(), seed=1) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    other = attach_lora(copy_model(model), LoraRecipe(), seed=2)
    assert torch.equal(logits(one), logits(model))
    pairs = zip(one.named_parameters(), two.named_parameters(), other.named_parameters(), strict=True)
    for (name, a), (_, b), (_, c) in pairs:
        assert torch.equal(a, b)
        assert torch.equal(a, c) is ("lora_A" not in name)


def test_only_the_adapter_is_trained(tiny: Make, logits: Logits) -> None:
    model = tiny()
    wrapped = attach_lora(copy_model(model), LoraRecipe(rank=2), seed=0).train()
    trainable = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        wrapped(input_ids=torch.tensor([[5, 1]]), labels=torch.tensor([[7, 1]])).loss.backward()
        optimizer.step()
    assert relative(logits(wrapped.eval()), logits(model)) > 0
    frozen = dict(wrapped.get_base_model().named_parameters())
    for name, parameter in model.named_parameters():
        inside = name.replace(".q.weight", ".q.base_layer.weight").replace(
            ".v.weight", ".v.base_layer.weight"
        )
        assert torch.equal(frozen[inside], parameter)
    head = wrapped.get_base_model().lm_head.weight
    assert torch.equal(head, model.lm_head.weight) and head is not wrapped.get_base_model().shared.weight


def test_the_models_dropout_is_not_the_adapters(tiny: Make) -> None:
    wrapped = attach_lora(tiny(), LoraRecipe(rank=2, dropout=0.25), seed=0)
    set_dropout(wrapped, 0.05)
    rates = {("lora_" in n, m.p) for n, m in wrapped.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {(True, 0.25), (False, 0.05)}


def test_the_default_on_the_small_flan_shape_has_the_known_number_of_parameters(flan_small: Any) -> None:
    counts = parameter_counts(attach_lora(copy_model(flan_small), LoraRecipe(), seed=0))
    assert counts.trainable == 688_128
    assert counts.all == 76_961_152 + 688_128


def test_the_folder_is_pefts_plus_a_manifest(tiny: Make, tmp_path: Path) -> None:
    wrapped = trained(tiny(), LoraRecipe(rank=4, alpha=8, targets=("v", "q", "wo")))
    save_adapter(wrapped, tmp_path / "a", base="org/base", lineage=LINEAGE)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "ramekin.json",
    }
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base" and config["inference_mode"] is True
    assert config["target_modules"] == ["q", "v", "wo"] and config["peft_type"] == "LORA"
    assert (config["r"], config["lora_alpha"], config["task_type"]) == (4, 8, "SEQ_2_SEQ_LM")
    assert is_adapter(tmp_path / "a")
    verify_checkpoint(tmp_path / "a")
    adapter = read_adapter(tmp_path / "a")
    assert (adapter.base, adapter.base_sha256) == ("org/base", "ab")
    save_adapter(wrapped, tmp_path / "b", base="org/base", lineage=LINEAGE)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_changed_adapter_is_not_opened(tiny: Make, tmp_path: Path) -> None:
    base = tiny()
    save_adapter(trained(base), tmp_path / "a", base="b", lineage=LINEAGE)
    path = tmp_path / "a" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"changed or damaged: .*adapter_model\.safetensors"):
        load_adapter(base, tmp_path / "a")
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match=r"truncated: .*adapter_model\.safetensors#base_model"):
        load_adapter(base, tmp_path / "a")


def test_an_adapter_of_another_base_is_refused_with_both_named(
    tiny: Make, logits: Logits, tmp_path: Path
) -> None:
    save_adapter(trained(tiny()), tmp_path / "a", base="org/base", lineage=LINEAGE)
    wide, shallow = tiny(d_model=32), tiny(num_layers=1)
    before = logits(shallow)
    with pytest.raises(
        WeightsError, match=r"does not fit its base: .*/a#.*expected \[16, 32\].*trained on 'org/base'"
    ):
        load_adapter(wide, tmp_path / "a")
    with pytest.raises(WeightsError, match=r"its base does not have: .*/a#.*block\.1.*trained on 'org/base'"):
        merge_adapter(shallow, read_adapter(tmp_path / "a"), where=str(tmp_path / "a"))
    assert torch.equal(logits(shallow), before)


def test_what_is_not_finite_is_never_saved(tiny: Make, tmp_path: Path) -> None:
    wrapped = trained(tiny())
    next(p for n, p in wrapped.named_parameters() if "lora_B" in n).data[0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"not finite: base_model\.model\..*lora_B"):
        save_adapter(wrapped, tmp_path / "a", base="b", lineage=LINEAGE)
    assert list(tmp_path.iterdir()) == []


def test_an_adapted_model_is_not_saved_as_a_whole_one(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a plain encoder-decoder model.*merge an adapter"):
        save_checkpoint(trained(tiny()), tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rank": 0}, "adapter.rank: expected an integer from 1, got 0"),
        ({"rank": 2.0}, "adapter.rank"),
        ({"alpha": 0}, "adapter.alpha: expected a number above 0"),
        ({"alpha": float("nan")}, "adapter.alpha"),
        ({"dropout": 1.0}, "adapter.dropout: expected 0 ≤ dropout < 1"),
        ({"targets": ()}, "adapter.targets"),
        ({"targets": "qv"}, "adapter.targets: expected a list of layer names"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match="a LoRA setting cannot be") as caught:
        LoraRecipe(**settings)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("wi", "did you mean 'wi_"),
        (
            "lm_head",
            "of k, o, q, v, wi_0, wi_1, wo, all-linear, or an expression for whole names, got 'lm_head'",
        ),
        ("query", "got 'query'"),
    ],
)
def test_a_target_that_is_no_layer_is_refused(tiny: Make, target: str, sentence: str) -> None:
    with pytest.raises(UsageError, match="target names no layer") as caught:
        attach_lora(tiny(), LoraRecipe(targets=("q", target)), seed=0)
    assert sentence in str(caught.value)


def test_nothing_is_logged_or_printed(
    tiny: Make, tmp_path: Path, caplog: Any, capfd: Any, saved: Make
) -> None:
    with caplog.at_level(logging.INFO):
        folder = saved(model=tiny())
        base = load_model(folder)
        save_adapter(trained(base), tmp_path / "a", base="b", lineage=LINEAGE)
        load_adapter(base, tmp_path / "a")
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
