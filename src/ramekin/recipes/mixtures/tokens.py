"""The vocabulary of a mixture's examples, by the model's name or its own folder."""

from pathlib import Path

from ramekin.files import sha256_file
from ramekin.recipes.mixtures.shards import Tokens
from ramekin.recipes.models import locate_tokenizer
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress

__all__ = ["tokenizer_sha256", "tokens_of"]


def tokens_of(
    model: str | None,
    tokenizer: Path | None,
    places: Places,
    progress: AbstractProgress,
    *,
    max_input_tokens: int,
    max_target_tokens: int,
    input_eos: bool,
) -> Tokens:
    """How examples become tokens: by the vocabulary of a folder, or of a model.

    Raises:
        WeightsError: there is no such model, or no vocabulary with it.
    """
    folder = tokenizer
    if folder is None:
        assert model is not None
        folder = locate_tokenizer(model, places, progress)
    return Tokens(folder, tokenizer_sha256(folder), max_input_tokens, max_target_tokens, input_eos)


def tokenizer_sha256(folder: Path) -> str:
    """Of the file that makes the vocabulary.

    Raises:
        WeightsError: there is none.
    """
    from ramekin.tensors.tokenizer import vocabulary_file

    return sha256_file(vocabulary_file(folder))
