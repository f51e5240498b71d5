"""The text of tokens that a model wrote, whole or piece by piece.

Transformers leaves out every special token, `<unk>` and T5's sentinels among them, so that what a model could
not write vanishes without a word. Here only `<pad>` and `</s>` are left out, and `<unk>` shows as `⁇`.
(Scoring decodes as the systems do whose rules it follows: `tokenizer.decode`.) Knows nothing of models.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from ramekin.tensors.tokenizer import EOS_ID, PAD_ID, UNK_ID

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["UNKNOWN", "TextStream", "cut_at_stop", "written_text"]

UNKNOWN: Final = "⁇"
"""What stands for a character that the vocabulary does not have."""
_BROKEN: Final = "\ufffd"
"""What a part of a character's bytes decodes to."""


def written_text(tokenizer: "PreTrainedTokenizerFast", ids: Sequence[int]) -> str:
    """The text of some tokens, all that was written shown."""
    backend = tokenizer.backend_tokenizer
    known = [backend.id_to_token(token) for token in ids if token not in (PAD_ID, EOS_ID, UNK_ID)]
    if len(known) < len(ids):
        known = [
            UNKNOWN if token == UNK_ID else backend.id_to_token(token)
            for token in ids
            if token not in (PAD_ID, EOS_ID)
        ]
    # The model's vocabulary may be larger than the tokenizer's: such a token has no text.
    text: str = backend.decoder.decode([UNKNOWN if token is None else token for token in known])
    return text


def cut_at_stop(text: str, stops: Sequence[str]) -> str | None:
    """What stands before the first stop string in a text; None if there is none.

    >>> cut_at_stop("yes. And no; so", (";", ". "))
    'yes'
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


@final
class TextStream:
    """The text of an output as it gets longer.

    What may still change is held back: the beginning of a stop string, bytes that are no character yet. All
    pieces together are the text that the output has in the end.

    Args:
        tokenizer: of the model.
        stops: strings that the text ends before.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._ids: list[int] = []
        self._told = 0

    def add(self, ids: Sequence[int], *, is_last: bool = False) -> str:
        """Take the next tokens; returns the text that is certain now and was not before.

        Args:
            ids: at least one token unless it is the last call.
            is_last: whether no more tokens come, so that nothing is held back.
        """
        self._ids += ids
        text = written_text(self._tokenizer, self._ids)
        cut = cut_at_stop(text, self._stops)
        if cut is not None:
            text = cut
        elif not is_last:
            text = text.rstrip(_BROKEN)
            text = text[: len(text) - max((_overlap(text, stop) for stop in self._stops), default=0)]
        piece = text[self._told :]
        self._told += len(piece)
        return piece


def _overlap(text: str, stop: str) -> int:
    """How much of a stop string's beginning the text ends with."""
    return next((size for size in range(min(len(stop), len(text)), 0, -1) if text.endswith(stop[:size])), 0)
