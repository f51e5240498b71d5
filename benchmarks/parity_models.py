"""Small models for the comparisons with FusionBench and mergekit, and how a peer is run beside them.

A base of each T5 kind and models tuned from it. A delta is normal, and in the matrices of layers partly of
low rank, one part shared by all models and one of its own, so that models agree and singular values differ.
A part of it is zero and that of normalisations is rounded, so that values tie and cancel.
"""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ramekin.merge.inputs import ModelInput
from ramekin.merge.matrices import is_matrix
from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.seq2seq import build_model, set_tensors, tensors_of
from ramekin.weights.statistics import (
    KindFacts,
    StatisticsFacts,
    StatisticsKind,
    write_arrays,
    write_statistics,
)

Tensors = Mapping[str, torch.Tensor]

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "flan (own head, gated)": {"tied": False, "feed_forward_proj": "gated-gelu"},
    "t5 1.0 (tied, relu)": {"tied": True, "feed_forward_proj": "relu"},
}
SIZES: Mapping[str, Any] = {
    "vocab_size": 512,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 96,
    "num_layers": 3,
    "num_heads": 4,
}

SPREAD = 0.02
RANK = 4
ZEROS = 0.3


def make_models(
    folder: Path, kind: Mapping[str, Any], num_models: int
) -> tuple[Path, list[ModelInput], Callable[[str, Tensors], ModelInput]]:
    """A base and models tuned from it.

    Returns:
        The base's folder, the models, and a function that saves other tensors under a name.
    """
    shape = {key: value for key, value in kind.items() if key != "tied"}
    model = build_model(t5_config(**SIZES, **shape), seed=0, tied=kind["tied"])

    def save(name: str, tensors: Tensors) -> ModelInput:
        set_tensors(model, tensors)
        lineage = Lineage(kind="dense", operation="parity")
        save_checkpoint(model, folder / name, tokenizer_folder=None, lineage=lineage)
        return ModelInput(name, folder / name)

    tensors = {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
    base = save("base", tensors)
    models = [save(f"tuned-{seed}", tuned(tensors, seed)) for seed in range(num_models)]
    return base.folder, models, save


def tuned(base: Tensors, seed: int) -> dict[str, torch.Tensor]:
    """The base plus a delta of its own.

    Args:
        base: every tensor by its name.
        seed: another one, another delta; what is shared is the same for all.
    """
    rng, shared = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(1_000_000)
    found = {}
    for name, tensor in base.items():
        delta = torch.randn(tensor.shape, generator=rng)
        if is_matrix(name, tuple(tensor.shape)):
            delta += product(tensor.shape, shared) + product(tensor.shape, rng)
        delta[torch.rand(tensor.shape, generator=rng) < ZEROS] = 0.0
        delta *= SPREAD
        if "layer_norm" in name:
            delta = (delta * 64).round() / 64
        found[name] = tensor + delta
    return found


def low_rank(base: Tensors, seed: int) -> dict[str, torch.Tensor]:
    """The base plus a delta that is of low rank in every matrix of a layer, as of a LoRA adapter."""
    rng = torch.Generator().manual_seed(seed)
    return {
        name: tensor
        + SPREAD
        * (
            product(tensor.shape, rng)
            if is_matrix(name, tuple(tensor.shape))
            else torch.randn(tensor.shape, generator=rng)
        )
        for name, tensor in base.items()
    }


def shortened(base: Tensors, model: Tensors, share: float = 1e-3) -> dict[str, torch.Tensor]:
    """The base plus a share of a model's delta: the length of what few steps of training change."""
    return {name: tensor + share * (model[name] - tensor) for name, tensor in base.items()}


def turned(model: Tensors) -> dict[str, torch.Tensor]:
    """Tensors that point nearly the way of a model's, or nearly the opposite way, in several degrees."""
    found = {}
    for place, (name, tensor) in enumerate(model.items()):
        rng = torch.Generator().manual_seed(place)
        aside = torch.randn(tensor.shape, generator=rng) * tensor.norm() / tensor.numel() ** 0.5
        sign = -1.2 if place % 8 < 5 else 1.2
        found[name] = sign * (tensor + (0.3, 0.04, 0.02, 0.003)[place % 4] * aside)
    return found


def save_statistics(folder: Path, model: ModelInput, tensors: Tensors, seed: int) -> dict[str, Path]:
    """Made-up Fisher information and Gram matrices of a model, in ramekin's folder of statistics.

    Returns:
        The file of each kind.
    """
    rng = torch.Generator().manual_seed(seed)
    fisher, grams = {}, {}
    for name, tensor in tensors.items():
        logarithms = 2 * torch.randn(tensor.shape, generator=rng) + seed - 9
        fisher[name] = (torch.randn(tensor.shape, generator=rng) ** 2 * logarithms.exp()).numpy()
        if is_matrix(name, tuple(tensor.shape)):
            width = tensor.shape[1]
            mixing = torch.eye(width) + 0.3 * torch.randn(width, width, generator=rng)
            inputs = torch.randn(4 * width, width, generator=rng) @ mixing
            grams[name] = (inputs.T @ inputs / len(inputs)).numpy()
    folder.mkdir()
    write_arrays(folder / "fisher.safetensors", fisher)
    write_arrays(folder / "gram.safetensors", grams)
    facts = KindFacts(("gram.safetensors",))
    kinds: dict[StatisticsKind, KindFacts] = {
        "fisher": KindFacts(("fisher.safetensors",)),
        "gram": facts,
        "propagated_gram": facts,
    }
    sha256 = weights_sha256(model.folder)
    write_statistics(folder, StatisticsFacts(model=model.name, model_sha256=sha256, kinds=kinds))
    return {kind: folder / own.files[0] for kind, own in kinds.items()}


def product(shape: Sequence[int], rng: torch.Generator, rank: int = RANK) -> torch.Tensor:
    """A random matrix `(out, in)` of low rank, its elements of a variance of about 1."""
    left, right = torch.randn(shape[0], rank, generator=rng), torch.randn(rank, shape[1], generator=rng)
    made: torch.Tensor = left @ right / rank**0.5
    return made


def difference(ours: Tensors, name: str, theirs: torch.Tensor) -> torch.Tensor:
    """Absolute differences of a tensor; a peer's state_dict repeats the embedding under its other names."""
    return (ours[own_name(name, ours)] - theirs).abs()


def own_name(name: str, ours: Tensors) -> str:
    """The name of ours under which a tensor of a peer is kept."""
    is_alias = name in EMBEDDING_ALIASES or (name == HEAD and HEAD not in ours)
    return SHARED if is_alias and name not in ours else name


def run_peer(peer: str, driver: str, job: Mapping[str, Any], folder: Path) -> str:
    """Run a driver in the peer's python; its standard output."""
    (folder / "driver.py").write_text(driver)
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [peer, str(folder / "driver.py"), str(folder / "job.json")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
    return done.stdout
