"""`tiny/base`: a T5 of a few hundred thousand random weights, for trying recipes without network or GPU.

It has T5 1.1's architecture; its vocabulary is trained on the prompts of every built-in task's sample row.
All recipes share it: it is made once, kept in the user's cache under a name that hashes what shaped it, and
made again when it is not there. It has learned nothing.
"""

import hashlib
import json
import string
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ramekin.catalog import Catalog
from ramekin.recipes.bases.names import TINY_BASE
from ramekin.recipes.places import cache_root
from ramekin.recipes.progress import AbstractProgress
from ramekin.text.render import render_or_skip

__all__ = ["ensure_tiny_base"]

_SHAPE: Final[Mapping[str, Any]] = MappingProxyType(
    {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
)
_VOCAB_SIZE = 2048


def ensure_tiny_base(progress: AbstractProgress) -> Path:
    """The folder of `tiny/base`, made now if it is not there yet."""
    folder = cache_root() / f"tiny-base-{_fingerprint()[:16]}"
    if not (folder / "ramekin.json").is_file():
        with progress.stage(f"make {TINY_BASE}"):
            _make(folder)
    return folder


def _make(folder: Path) -> None:
    from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer
    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.config import t5_config
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.seq2seq import build_model

    tokenizer = train_tokenizer(_texts(), vocab_size=_VOCAB_SIZE)
    rows = -(-len(tokenizer) // 64) * 64
    model = build_model(t5_config(vocab_size=rows, **_SHAPE), seed=0, tied=False)
    lineage = Lineage(kind="dense", operation="random", settings=dict(_SHAPE), seed=0)
    with tempfile.TemporaryDirectory() as made:
        save_tokenizer(tokenizer, Path(made))
        save_checkpoint(model, folder, tokenizer_folder=Path(made), lineage=lineage, overwrite=True)


def _texts() -> list[str]:
    """What a model would read and write for the sample row of every built-in task, by every template."""
    catalog = Catalog()
    found: list[str] = [string.printable.strip()]
    for task in catalog.values():
        assert task.sample is not None, f"{task.name} has a sample row, as every built-in task"
        for template in task.templates:
            example = render_or_skip(task, task.sample, template=template, split="sample", row=0)
            if example is not None:
                found += [example.inputs, example.targets]
    return list(dict.fromkeys(found))


def _fingerprint() -> str:
    """Of the task files, which hold the sample rows and templates, the shape and the versions."""
    import ramekin

    made_by = [dict(_SHAPE), _VOCAB_SIZE, ramekin.__version__, version("torch")]
    digest = hashlib.sha256(json.dumps(made_by).encode())
    for path in sorted((Path(str(files("ramekin.catalog"))) / "tasks").rglob("*.yaml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
