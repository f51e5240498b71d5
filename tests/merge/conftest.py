"""A small world of checkpoints for the tests of `merge`: T5-shaped files of a few thousand numbers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ramekin.merge.inputs import ModelInput
from ramekin.weights.config import config_to_save, t5_config
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.statistics import KindFacts, StatisticsFacts, write_arrays, write_statistics

Tensors = dict[str, torch.Tensor]
SIZES = {"vocab_size": 40, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 8 elements, so that small tensors have several chunks."""
    for module in ("stream", "gram", "sums"):
        monkeypatch.setattr(f"ramekin.merge.{module}.BLOCK", 8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def t5_shapes(*, tied: bool = False, vocab_size: int = 40, d_model: int = 8) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (vocab_size, d_model)}
    if not tied:
        shapes["lm_head.weight"] = (vocab_size, d_model)
    for stack in ("encoder", "decoder"):
        for name in "qkvo":
            shapes[f"{stack}.block.0.layer.0.SelfAttention.{name}.weight"] = (8, d_model)
        shapes[f"{stack}.block.0.layer.1.DenseReluDense.wi_0.weight"] = (12, d_model)
        shapes[f"{stack}.block.0.layer.0.layer_norm.weight"] = (d_model,)
    return shapes


def random_tensors(seed: int, **kind: Any) -> Tensors:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=rng) for name, shape in t5_shapes(**kind).items()}


class World:
    """Writes checkpoints under a temporary folder and reads merges back."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(
        self,
        name: str,
        tensors: Tensors | None = None,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        shards: int = 1,
        config: Mapping[str, object] | None = None,
        **kind: Any,
    ) -> Path:
        tensors = random_tensors(seed, **kind) if tensors is None else tensors
        tensors = {key: tensor.to(dtype).clone().contiguous() for key, tensor in tensors.items()}
        folder = self.root / name
        folder.mkdir(parents=True)
        tied = "lm_head.weight" not in tensors
        sizes = {**SIZES, "vocab_size": len(tensors.get("shared.weight", range(40)))}
        made = config_to_save(t5_config(**sizes), tied=tied, scaled=tied, dtype="float32")  # type: ignore[arg-type]
        (folder / "config.json").write_text(json.dumps({**made, **(config or {})}))
        if shards == 1:
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
            return folder
        weight_map = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            names = sorted(tensors)[shard::shards]
            save_file({n: tensors[n] for n in names}, folder / file, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(names, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return folder

    def tuned(self, name: str, base: Tensors, *, seed: int, scale: float = 0.1, **more: Any) -> ModelInput:
        rng = torch.Generator().manual_seed(1000 + seed)
        tensors = {k: t + scale * torch.randn(t.shape, generator=rng) for k, t in base.items()}
        return ModelInput(name, self.save(name, tensors, **more))

    def adapter(
        self, name: str, names: Sequence[str], shapes: Mapping[str, tuple[int, ...]], *, seed: int = 0,
        base: str | None = "base", rank: int = 2, alpha: float = 6.0,
    ) -> Path:  # fmt: skip
        rng = torch.Generator().manual_seed(seed)
        tensors = {}
        for target in names:
            rows, width = shapes[target]
            module = f"base_model.model.{target.removesuffix('.weight')}"
            tensors[f"{module}.lora_A.weight"] = torch.randn(rank, width, generator=rng)
            tensors[f"{module}.lora_B.weight"] = torch.randn(rows, rank, generator=rng)
        folder = self.root / name
        folder.mkdir(parents=True)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "base_model_name_or_path": base}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return folder

    def statistics(self, name: str, kind: Any, model: Path, arrays: Mapping[str, Any], **facts: Any) -> Path:
        """A folder of one kind of statistics of a model, as if collected."""
        folder = self.root / name
        folder.mkdir(parents=True)
        write_arrays(folder / f"{kind}.safetensors", {key: np.asarray(each) for key, each in arrays.items()})
        kinds = {kind: KindFacts((f"{kind}.safetensors",))}
        given = {"model": model.name, "model_sha256": weights_sha256(model), "kinds": kinds, **facts}
        write_statistics(folder, StatisticsFacts(**given))
        return folder

    def load(self, folder: Path) -> Tensors:
        return dict(load_file(folder / "model.safetensors"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def family(world: World) -> tuple[Path, list[ModelInput]]:
    """A base and three models tuned from it."""
    base = random_tensors(0)
    folder = world.save("base", base)
    return folder, [world.tuned(f"m{seed}", base, seed=seed) for seed in range(3)]


def naive_ties(
    base: Tensors, tuned: Sequence[Tensors], *, scaling_factor: float, keep_count: Callable[[int], int],
    scope: str, merge_func: str, times: Mapping[str, int] | None = None, zero_sign: int | None = None,
) -> Tensors:  # fmt: skip
    """TIES by the book, on flat vectors in memory, with sorting: shares no code with the package."""
    times = times or {}
    groups = [list(base)] if scope == "model" else [[name] for name in base]
    merged: Tensors = {}
    for group in groups:
        repeated = [name for name in group for _ in range(times.get(name, 1) if scope == "model" else 1)]
        flat_base = torch.cat([base[name].flatten() for name in repeated])
        rows = []
        for model in tuned:
            delta = torch.cat([model[name].flatten() for name in repeated]) - flat_base
            count = keep_count(delta.numel())
            cut = delta.abs().sort(descending=True).values[count - 1] if count else float("inf")
            rows.append(torch.where(delta.abs() >= cut, delta, torch.zeros(())))
        total = torch.zeros_like(flat_base)
        for row in rows:
            total = total + row
        sign = total.sign()
        majority = float(sign.double().sum().sign()) if zero_sign is None else float(zero_sign)
        sign[sign == 0] = majority
        merged_flat = torch.zeros_like(flat_base)
        counts = torch.zeros_like(flat_base)
        for row in rows:
            agrees = torch.where(sign > 0, row > 0, row < 0)
            chosen = torch.where(agrees, row, torch.zeros(()))
            if merge_func == "max":
                merged_flat = torch.maximum(merged_flat, chosen.abs())
            else:
                merged_flat = merged_flat + chosen
            counts += agrees
        if merge_func == "max":
            merged_flat = merged_flat * sign
        if merge_func == "mean":
            merged_flat = merged_flat / counts.clamp(min=1)
        position = 0
        for name in repeated:
            part = merged_flat[position : position + base[name].numel()].view_as(base[name])
            merged[name] = base[name] + scaling_factor * part
            position += base[name].numel()
    return merged


@pytest.fixture(scope="session")
def reference() -> Callable[..., Tensors]:
    return naive_ties
