"""`ramekin merge adapter_rank=…` as a user types it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

Run = Callable[..., tuple[int, str, str]]

BASE = "base=google/flan-t5-base"
LAYERS = [f"{stack}.block.{layer}.layer.0.SelfAttention.{kind}" for stack in ("encoder", "decoder") for layer in range(2) for kind in "qv"]  # fmt: skip


def adapter(name: str, *, seed: int, rank: int = 2, layers: Sequence[str] = LAYERS, **keys: object) -> str:
    """An adapter of the tiny base, as another tool writes it."""
    rng, folder = np.random.default_rng(seed), Path(name)
    tensors = {}
    for layer in layers:
        tensors[f"base_model.model.{layer}.lora_A.weight"] = rng.standard_normal((rank, 16), dtype=np.float32)
        tensors[f"base_model.model.{layer}.lora_B.weight"] = rng.standard_normal((16, rank), dtype=np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 4,
        "base_model_name_or_path": "google/flan-t5-base",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config | keys))
    return name


@pytest.fixture(autouse=True)
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))
    adapter("one", seed=1)
    adapter("two", seed=2, rank=3)


TWO = ("merge", "method=task_arithmetic", "models=[one,two]", "output=sum")


@pytest.mark.parametrize("base", [(), (BASE,)])
def test_adapters_become_one_that_opens_by_its_name(ramekin: Run, base: tuple[str, ...]) -> None:
    code, out, err = ramekin(*TWO, *base, "adapter_rank=8")
    assert code == 0, err
    assert "an adapter of rank 8 at most, on 8 matrices" in out
    assert "left out, as a share of the length of the change: " in out
    config = json.loads(Path("sum/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "google/flan-t5-base" and config["r"] == 5
    code, out, err = ramekin("merge", "method=task_arithmetic", BASE, "models=[sum]", "output=dense")
    assert code == 0 and Path("dense/model.safetensors").is_file(), err


def test_json_has_the_residual_of_every_matrix(ramekin: Run) -> None:
    code, out, err = ramekin(*TWO, "adapter_rank=2", "--json")
    assert code == 0, err
    told = json.loads(out)["adapter"]
    assert set(told["by_tensor"]) == {f"{layer}.weight" for layer in LAYERS}
    assert 0 < told["residual"]["median"] <= told["residual"]["worst"] < 1 and told["in_factors"] is True


@pytest.mark.parametrize("base", [(), (BASE,)])
def test_a_dry_run_says_that_an_adapter_is_made(ramekin: Run, base: tuple[str, ...]) -> None:
    code, out, err = ramekin(*TWO, *base, "adapter_rank=4", "--dry-run")
    assert code == 0 and not Path("sum").exists(), err
    assert "an adapter of rank 4 at most, on 8 matrices at most, without the base's weights" in out
    assert "1,024 parameters in 16 tensors, written as float32" in out  # 8 matrices of 16 x 4 and 4 x 16


def test_checkpoints_become_an_adapter_where_the_rest_is_dropped(ramekin: Run) -> None:
    words = ("merge", "method=task_arithmetic", BASE, "models=[tanganke/flan-t5-base_glue-rte]", "output=rte")
    code, _, err = ramekin(*words, "adapter_rank=4")
    assert code != 0 and "no LoRA can hold" in err and "adapter_rest=drop" in err and not Path("rte").exists()
    code, out, err = ramekin(*words, "adapter_rank=4", "adapter_rest=drop")
    assert code == 0 and "were dropped" in out, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("adapter_rank=0",), "adapter_rank"),
        (("adapter_rest=drop",), "is for an output that is an adapter; add adapter_rank=16"),
        (("adapter_rank=4", "max_shard_size=5GB"), "an adapter is one file"),
        (("adapter_rnk=4",), "adapter_rank"),
    ],
)
def test_words_that_cannot_be(ramekin: Run, words: tuple[str, ...], message: str) -> None:
    code, _, err = ramekin(*TWO, *words)
    assert code != 0 and message in err


def test_what_needs_the_base_says_so(ramekin: Run) -> None:
    adapter("dora", seed=3, use_dora=True)
    code, _, err = ramekin(
        "merge", "method=task_arithmetic", "models=[one,dora]", "output=x", "adapter_rank=4"
    )
    assert code != 0 and "depends on the base's values" in err and "add base=" in err


def test_knots_on_the_command_line(ramekin: Run) -> None:
    words = ("merge", "method=ties_merging", "models=[one,two]", "align=knots", "align.values=v")
    code, out, err = ramekin(*words, "output=knots", "adapter_rank=8", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["settings"]["align"] == {"name": "knots", "values": "v", "preset": "none"}
    assert told["adapter"]["residual"]["worst"] < 1e-6
    code, out, err = ramekin(*words, BASE, "output=dense", "--dry-run")
    assert code == 0 and "align=knots" in out, err
    code, _, err = ramekin("merge", "method=tsv_merge", BASE, "models=[one,two]", "align=knots", "output=x")
    assert code != 0 and "goes matrix by matrix itself" in err
    code, _, err = ramekin("merge", "method=dare", BASE, "models=[one,two]", "align=knot", "output=x")
    assert code != 0 and "knots" in err


def test_the_check_knows_that_an_adapter_needs_no_base(ramekin: Run) -> None:
    words = ("merge", "check", "method=task_arithmetic", "models=[one,two]")
    code, out, err = ramekin(*words, "adapter_rank=8")
    assert code == 0 and "nothing found: 2 models for task_arithmetic, 8 tensors" in out, out + err
    code, out, _ = ramekin(*words)
    assert code == 2 and "[base-needed]" in out
    adapter("far", seed=3, base_model_name_or_path="google/t5-v1_1-base")
    code, out, _ = ramekin(*words[:3], "models=[one,far]", "adapter_rank=8")
    assert code == 4 and "trained on different bases" in out
    code, out, _ = ramekin(*words, BASE, "align=knots", "--json")
    assert code == 0 and json.loads(out)["errors"] == 0
