"""A small world of models for the tests of `weights`: two layers, 64 words, random weights."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model

SIZES = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> Callable[..., Any]:
    """Build a tiny model: `tiny(tied=False, seed=0, model_type="t5", **sizes)`."""

    def build(*, tied: bool = False, seed: int = 0, **more: object) -> Any:
        return build_model(t5_config(**{**SIZES, **more}), seed=seed, tied=tied)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def flan_small() -> Any:
    """A model of Flan-T5-small's shape, to be left as it is."""
    return build_model(t5_config(), seed=0, tied=False)


@pytest.fixture
def logits() -> Callable[[Any], torch.Tensor]:
    """A model's logits on two padded inputs: `(2, 4, vocab)`."""

    def compute(model: Any) -> torch.Tensor:
        inputs = torch.tensor([[5, 9, 33, 12, 1], [7, 8, 1, 0, 0]])
        with torch.no_grad():
            out = model(
                input_ids=inputs,
                attention_mask=(inputs != 0).long(),
                decoder_input_ids=torch.tensor([[0, 4, 6, 8], [0, 9, 3, 2]]),
            )
        return out.logits  # type: ignore[no-any-return]

    return compute


@pytest.fixture
def saved(tmp_path: Path, tiny: Callable[..., Any]) -> Callable[..., Path]:
    """Save a tiny model under a name: `saved("base", tied=False, seed=0)`."""

    def save(name: str = "base", *, model: Any = None, **settings: Any) -> Path:
        lineage = Lineage(kind="dense", operation="build", seed=settings.get("seed", 0))
        folder = tmp_path / name
        save_checkpoint(model or tiny(**settings), folder, tokenizer_folder=None, lineage=lineage)
        return folder

    return save


@pytest.fixture
def library_load() -> Iterator[Callable[[Path], Any]]:
    """Open a folder as any user of transformers would, without its notes on ties and its progress bar."""
    import transformers

    logger = logging.getLogger("transformers.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    yield lambda folder: transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
    logger.setLevel(level)
