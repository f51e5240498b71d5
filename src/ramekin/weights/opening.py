"""From a name to a model ready to run: whole checkpoints and adapters alike.

This module joins `locate`, `seq2seq`, `adapter` and `adapter_base`; it computes nothing itself.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from ramekin.weights.adapter import merge_adapter
from ramekin.weights.adapter_base import check_base, locate_base
from ramekin.weights.adapter_folder import read_adapter
from ramekin.weights.beside import has_tokenizer
from ramekin.weights.layout import is_adapter
from ramekin.weights.lineage import Lineage, read_lineage
from ramekin.weights.locate import locate_checkpoint
from ramekin.weights.seq2seq import Precision, load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Opened", "check_base", "locate_base", "open_model"]


@final
@dataclass(frozen=True, slots=True)
class Opened:
    """A model in memory and the folders it came from."""

    model: "PreTrainedModel"
    """A plain model in evaluation mode; an adapter is already merged in, a soft prompt is read by it."""
    folder: Path
    """The folder of the name that was opened."""
    base_folder: Path | None
    """The base's folder when the name was an adapter's."""
    tokenizer_folder: Path
    """The folder that holds the tokenizer: the checkpoint's own, else its base's."""
    lineage: Lineage | None
    """Where it came from; None for a checkpoint that ramekin did not make."""


def open_model(
    name: str | Path,
    *,
    hub_root: Path | None = None,
    base: str | Path | None = None,
    verify: bool = True,
    device: str = "cpu",
    dtype: Precision = "fp32",
    revision: str | None = None,
) -> Opened:
    """Open a checkpoint or an adapter by its name.

    Args:
        name: a folder, or a hub id.
        hub_root: a folder of checkpoints named by hub id, looked in before the hub.
        base: the base of an adapter, instead of the one it records.
        verify: compare hashes with the manifest.
        device: where the model goes.
        dtype: `fp32` or `bf16`.
        revision: the hub revision of `name`.

    Raises:
        WeightsError: nothing of that name, a damaged folder, or an adapter whose base is missing or not its
            own.
    """
    folder = locate_checkpoint(name, hub_root=hub_root, revision=revision)
    if not is_adapter(folder):
        model = load_model(folder, verify=verify, device=device, dtype=dtype)
        return Opened(model, folder, None, folder, read_lineage(folder))
    adapter = read_adapter(folder, verify=verify)
    base_folder = locate_base(folder, adapter, base=base, hub_root=hub_root)
    model = load_model(base_folder, verify=verify, device=device, dtype=dtype)
    merge_adapter(model, adapter, where=str(folder))
    tokenizer_folder = folder if has_tokenizer(folder) else base_folder
    return Opened(model, folder, base_folder, tokenizer_folder, read_lineage(folder))
