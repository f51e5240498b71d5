"""An adapter that was merged, as PEFT and transformers open it, and beside PEFT's own way to add adapters."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ramekin.merge.extraction import merge_to_adapter
from ramekin.merge.inputs import ModelInput
from ramekin.weights.adapter import LoraRecipe, attach_lora, save_adapter
from ramekin.weights.checkpoint import save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.factors import read_factors
from ramekin.weights.lineage import Lineage, Parent, weights_sha256
from ramekin.weights.opening import open_model
from ramekin.weights.seq2seq import build_model, tensors_of

# PEFT reads an attribute that transformers 5 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

SIZES = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}


def tiny() -> Any:
    return build_model(t5_config(**SIZES), seed=0, tied=False)  # type: ignore[arg-type]


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 33, 12, 1], [7, 8, 1, 0, 0]])
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids, decoder_input_ids=ids[:, :3]).logits
    return found


@pytest.fixture
def road(tmp_path: Path) -> tuple[Path, list[ModelInput]]:
    """A base and two adapters of it, as training saves them."""
    base = tmp_path / "base"
    save_checkpoint(tiny(), base, tokenizer_folder=None, lineage=Lineage(kind="dense", operation="build"))
    models = []
    for place, recipe in enumerate((LoraRecipe(rank=2), LoraRecipe(rank=3, alpha=5, targets=("q", "wo")))):
        wrapped = attach_lora(tiny(), recipe, seed=place)
        generator = torch.Generator().manual_seed(place)
        with torch.no_grad():
            for parameter in wrapped.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        parent = Parent(str(base), weights_sha256(base), "base")
        lineage = Lineage(kind="adapter", operation="finetune", base=str(base), parents=(parent,))
        save_adapter(wrapped, tmp_path / f"ad{place}", base=str(base), lineage=lineage)
        models.append(ModelInput(f"ad{place}", tmp_path / f"ad{place}"))
    return base, models


def test_the_sum_is_that_of_pefts_concatenation(road: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    _, models = road
    wrapped = PeftModel.from_pretrained(tiny(), str(models[0].folder), adapter_name="a")
    wrapped.load_adapter(str(models[1].folder), adapter_name="b")
    weights = [0.7, -0.4]
    wrapped.add_weighted_adapter(["a", "b"], weights, "sum", combination_type="cat")
    wrapped.set_adapter("sum")
    settings = {"scaling_factor": 1.0, "weights": weights}
    report = merge_to_adapter(
        "task_arithmetic", base=None, models=models, output=tmp_path / "sum", settings=settings, rank=5
    )
    assert report.adapter is not None and report.adapter["residual"]["whole"] < 1e-6  # type: ignore[index]
    for name, change in read_factors(tmp_path / "sum").changes.items():
        module = wrapped.get_submodule(f"base_model.model.{name.removesuffix('.weight')}")
        torch.testing.assert_close(
            torch.from_numpy(change.dense()), module.get_delta_weight("sum").detach(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("with_base", [False, True])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties_merging"])
def test_it_opens_by_its_name_and_in_peft(road: Any, tmp_path: Path, method: str, with_base: bool) -> None:
    from peft import PeftModel

    base, models = road
    output = tmp_path / "merged"
    merge_to_adapter(
        method, base=base if with_base else None, models=models, output=output, settings={}, rank=4
    )
    opened = open_model(output)  # its base by the name it recorded, recognised by its hash
    assert opened.base_folder == base and opened.lineage is not None
    expected = tiny()
    with torch.no_grad():
        for name, change in read_factors(output).changes.items():
            tensors_of(expected)[name].add_(torch.from_numpy(change.dense()))
    torch.testing.assert_close(logits(opened.model), logits(expected), rtol=1e-4, atol=1e-4)
    theirs = PeftModel.from_pretrained(tiny(), str(output))
    torch.testing.assert_close(logits(theirs), logits(expected), rtol=1e-3, atol=1e-3)
