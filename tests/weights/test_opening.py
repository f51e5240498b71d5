"""A name becomes a model, whatever kind of folder it names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ramekin.errors import WeightsError
from ramekin.weights.adapter import LoraRecipe, attach_lora, merge_attached, save_adapter
from ramekin.weights.adapter_folder import Adapter
from ramekin.weights.checkpoint import Lineage, Parent, weights_sha256
from ramekin.weights.opening import check_base, open_model
from ramekin.weights.seq2seq import copy_model

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]


@pytest.fixture
def hub_root(tmp_path: Path, saved: Make, tiny: Make) -> Path:
    """A base and an adapter of it, named by hub id."""
    saved("hub/org/base", model=tiny(seed=1))
    saved("hub/org/other", model=tiny(seed=2))
    return tmp_path / "hub"


def adapt(hub_root: Path, model: Any, *, base: str, sha256: str | None, name: str = "org/lora") -> Any:
    wrapped = attach_lora(copy_model(model), LoraRecipe(rank=2), seed=0).eval()
    for key, parameter in wrapped.named_parameters():
        if "lora_B" in key:
            parameter.data.fill_(0.1)
    parents = (Parent(base, sha256, "base"),)
    lineage = Lineage(kind="adapter", operation="finetune", base=base, parents=parents)
    save_adapter(wrapped, hub_root / name, base=base, lineage=lineage)
    return wrapped


def test_a_whole_checkpoint(hub_root: Path, tiny: Make, logits: Logits) -> None:
    for name in ("org/base", str(hub_root / "org/base"), hub_root / "org/base"):
        opened = open_model(name, hub_root=hub_root)
        assert torch.equal(logits(opened.model), logits(tiny(seed=1)))
        assert opened.folder == opened.tokenizer_folder == hub_root / "org/base"
        assert (
            opened.base_folder is None and opened.lineage is not None and opened.lineage.operation == "build"
        )
    (hub_root / "org/base/ramekin.json").unlink()
    assert open_model("org/base", hub_root=hub_root, dtype="bf16").lineage is None


def test_an_adapter_is_opened_on_the_base_it_records(hub_root: Path, tiny: Make, logits: Logits) -> None:
    wrapped = adapt(hub_root, tiny(seed=1), base="org/base", sha256=weights_sha256(hub_root / "org/base"))
    opened = open_model("org/lora", hub_root=hub_root)
    assert torch.equal(logits(opened.model), logits(merge_attached(wrapped)))
    assert opened.base_folder == opened.tokenizer_folder == hub_root / "org/base"
    assert opened.lineage is not None and opened.lineage.kind == "adapter"
    (hub_root / "org/lora/tokenizer.json").write_text("{}")
    opened = open_model("org/lora", hub_root=hub_root, base=hub_root / "org/base", verify=False)
    assert opened.tokenizer_folder == hub_root / "org/lora"


def test_another_base_is_refused_by_its_weights(hub_root: Path, tiny: Make) -> None:
    adapt(hub_root, tiny(seed=1), base="org/base", sha256=weights_sha256(hub_root / "org/base"))
    for base in ("org/other", hub_root / "org/other"):
        with pytest.raises(
            WeightsError, match=r"trained on another base: .*expected 'org/base', got '.*org/other'"
        ):
            open_model("org/lora", hub_root=hub_root, base=base)


def test_another_base_is_refused_by_its_name_when_no_hash_is_known(
    hub_root: Path, tiny: Make, logits: Logits
) -> None:
    adapt(hub_root, tiny(seed=1), base="org/base", sha256=None)
    with pytest.raises(
        WeightsError, match=r"another base.*expected 'org/base', got 'org/other'.*base=org/base"
    ):
        open_model("org/lora", hub_root=hub_root, base="org/other")
    opened = open_model("org/lora", hub_root=hub_root, base=hub_root / "org/other")  # a folder may hold any
    assert opened.base_folder == hub_root / "org/other"


def test_a_base_that_is_missing_or_unknown_is_named(hub_root: Path, tiny: Make, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    adapt(hub_root, tiny(seed=1), base="org/bose", sha256=None)
    with pytest.raises(WeightsError, match=r"cannot get a checkpoint.*co/org/bose.*did you mean 'org/base'"):
        open_model("org/lora", hub_root=hub_root)
    adapt(hub_root, tiny(seed=1), base="", sha256=None, name="org/orphan")
    with pytest.raises(WeightsError, match="records no base: .*fix: name it: base=…"):
        open_model("org/orphan", hub_root=hub_root)


def test_an_adapter_is_not_a_base(hub_root: Path, tiny: Make) -> None:
    adapt(hub_root, tiny(seed=1), base="org/base", sha256=None)
    adapt(hub_root, tiny(seed=1), base="org/lora", sha256=None, name="org/second")
    with pytest.raises(WeightsError, match="an adapter, not a whole model"):
        open_model("org/second", hub_root=hub_root)


def test_without_record_any_base_is_tried(tmp_path: Path) -> None:
    check_base(tmp_path, Adapter(None, None, {}), name="org/base", base_folder=tmp_path)
