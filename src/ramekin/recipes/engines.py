"""Engines by the names of models: what `generate` and `serve` write with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from ramekin.infer.engine import AbstractEngine
from ramekin.recipes.models import locate_tokenizer, open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["Backend", "OpenEngine", "open_engine"]

Backend = Literal["auto", "torch", "ctranslate2"]


@final
@dataclass(frozen=True, slots=True)
class OpenEngine:
    """A model that is ready to write."""

    name: str
    engine: AbstractEngine
    tokenizer: "PreTrainedTokenizerFast"
    backend: str
    folder: Path
    weights: str
    """A fingerprint of the weights and the configuration."""
    ignored: tuple[str, ...] = ()
    """Settings of the checkpoint's own generation configuration that are not read."""
    model: "PreTrainedModel | None" = None
    """What a torch engine reads."""
    parent: str | None = None
    """The base that the model's lineage names."""


def open_engine(
    name: str,
    places: Places,
    progress: AbstractProgress,
    *,
    base: str | None = None,
    backend: Backend = "auto",
    device: str = "cpu",
    batch_tokens: int,
    beside: Sequence[OpenEngine] = (),
) -> OpenEngine:
    """Open a model to write with.

    Args:
        name: a folder, a hub id, an adapter, or a base that is made on the spot.
        places: where names are looked up.
        progress: told when a base is being made.
        base: for an adapter, the base to use instead of the one it recorded.
        backend: `auto` takes what the folder is made for.
        device: where a torch model goes.
        batch_tokens: of all running requests together.
        beside: others in memory; tensors that are equal to theirs are kept once.

    Raises:
        UsageError: the backend cannot open such a folder.
        WeightsError: there is no such model, or it cannot be read.
    """
    from ramekin.infer.generate import ignored_settings
    from ramekin.infer.kept import fingerprint
    from ramekin.infer.torch_engine import TorchEngine
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.weights.sharing import share_equal_tensors

    opened = open_named(name, places, progress, base=base, device=device)
    tokenizer = load_tokenizer(locate_tokenizer(name, places, progress, base=base))
    ignored = tuple(f"{key}={value}" for key, value in ignored_settings(opened.model).items())
    weights = fingerprint(opened.model)
    share_equal_tensors([*(each.model for each in beside if each.model is not None), opened.model])
    engine = TorchEngine(opened.model, tokenizer, batch_tokens=batch_tokens)
    parent = opened.lineage.base if opened.lineage is not None else None
    return OpenEngine(name, engine, tokenizer, "torch", opened.folder, weights, ignored, opened.model, parent)
