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
    """The text of an output as it gets longer, token by token.

    What may still change is held back: the beginning of a stop string, bytes that are no character yet. All
    pieces together are the text that the output has in the end.

    Args:
        tokenizer: of the model.
        stops: strings that the text ends before.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self._ids: list[int] = []
        self._window, self._read = 0, 0
        self._told = 0
        self.text = ""
        """What there is."""
        self.is_stopped = False
        """Whether a stop string came up."""

    def add(self, ids: Sequence[int], *, is_last: bool = False) -> str:
        """Take the next tokens; returns the text that is certain now and was not told before.

        Args:
            ids: at least one token unless it is the last call.
            is_last: whether no more tokens come, so that nothing is held back.
        """
        for token in ids:
            if not self.is_stopped:
                self._ids.append(token)
                self._read_on(is_last=False)
        if is_last and not self.is_stopped:
            self._read_on(is_last=True)
        held = 0 if is_last or self.is_stopped else max(map(self._overlap, self._stops), default=0)
        piece = self.text[self._told : len(self.text) - held]
        self._told += len(piece)
        return piece

    def _read_on(self, *, is_last: bool) -> None:
        """Take what the last tokens bring, if it is whole.

        They are decoded with the tokens before them that brought text: a token decoded alone would lose the
        space before it.
        """
        before = written_text(self._tokenizer, self._ids[self._window : self._read])
        now = written_text(self._tokenizer, self._ids[self._window :])
        if len(now) <= len(before) or (now.endswith(_BROKEN) and not is_last):
            return
        self._window, self._read = self._read, len(self._ids)
        start = max(0, len(self.text) - max(map(len, self._stops), default=0) + 1)
        self.text += now[len(before) :]
        cut = cut_at_stop(self.text[start:], self._stops)
        if cut is not None:
            self.text, self.is_stopped = self.text[:start] + cut, True

    def _overlap(self, stop: str) -> int:
        """How much of a stop string's beginning the text ends with."""
        sizes = range(min(len(stop), len(self.text)), 0, -1)
        return next((size for size in sizes if self.text.endswith(stop[:size])), 0)
