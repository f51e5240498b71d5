"""Engines by the names of models: what `generate` and `serve` write with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from ramekin.errors import UsageError
from ramekin.files import sha256_file
from ramekin.infer.engine import AbstractEngine
from ramekin.recipes.models import locate, locate_tokenizer, open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from ramekin.infer.linear import Packed

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
    """torch, or CTranslate2 with its version and what it computes in."""
    folder: Path
    ignored: tuple[str, ...] = ()
    """Settings of the checkpoint's own generation configuration that are not read."""
    model: "PreTrainedModel | None" = None
    """What a torch engine reads."""
    parent: str | None = None
    """The base that the model's lineage names."""
    packed: "Packed | None" = None
    """A torch engine's copies of weights, which models beside it may share."""

    def fingerprint(self) -> str:
        """The sha256 of all that decides the model's answers; the weights are read for it."""
        if self.model is not None:
            from ramekin.infer.kept import fingerprint

            return fingerprint(self.model)
        from ramekin.weights.layout import TRANSLATOR

        return sha256_file(self.folder / TRANSLATOR)


def open_engine(
    name: str,
    places: Places,
    progress: AbstractProgress,
    *,
    base: str | None = None,
    backend: Backend = "auto",
    device: str = "cpu",
    batch_tokens: int,
    threads: int = 0,
    untested: bool = False,
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
        threads: for arithmetic on a CPU, of CTranslate2; 0: its own choice.
        untested: whether a CTranslate2 folder of other tools is opened, which nobody has compared with its
            model.
        beside: others in memory; tensors that are equal to theirs are kept once.

    Raises:
        UsageError: the backend cannot open such a folder.
        WeightsError: there is no such model, or it cannot be read.
    """
    from ramekin.weights.layout import is_translator

    folder = locate(name, places, progress)
    if is_translator(folder) and backend != "torch":
        return _translated(name, folder, device, threads, batch_tokens, untested)
    if backend == "ctranslate2":
        raise UsageError(
            "the folder holds no model for CTranslate2",
            where=str(folder),
            fix=f"ramekin export model={name} output=DIR, then model=DIR",
        )
    from ramekin.infer.generate import ignored_settings
    from ramekin.infer.linear import Packed
    from ramekin.infer.torch_engine import TorchEngine
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.weights.sharing import share_equal_tensors

    opened = open_named(name, places, progress, base=base, device=device)
    tokenizer = load_tokenizer(locate_tokenizer(name, places, progress, base=base))
    ignored = tuple(f"{key}={value}" for key, value in ignored_settings(opened.model).items())
    share_equal_tensors([*(each.model for each in beside if each.model is not None), opened.model])
    packed = beside[0].packed if beside and beside[0].packed is not None else Packed()
    engine = TorchEngine(opened.model, tokenizer, batch_tokens=batch_tokens, packed=packed)
    return OpenEngine(
        name,
        engine,
        tokenizer,
        "torch",
        opened.folder,
        ignored,
        opened.model,
        opened.lineage.base if opened.lineage is not None else None,
        packed,
    )


def _translated(
    name: str, folder: Path, device: str, threads: int, batch_tokens: int, untested: bool
) -> OpenEngine:
    """A model for CTranslate2."""
    from importlib.metadata import version

    from ramekin.infer.ctranslate_engine import CTranslateEngine
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.weights.lineage import read_lineage

    engine = CTranslateEngine(
        folder, batch_tokens=batch_tokens, threads=threads, device=device, allow_untested=untested
    )
    lineage = read_lineage(folder)
    return OpenEngine(
        name,
        engine,
        load_tokenizer(folder),
        f"ctranslate2 {version('ctranslate2')} {engine.compute_type}",
        folder,
        parent=None if lineage is None else lineage.base,
    )
