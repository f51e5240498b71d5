"""The text of an output while it is written, as far as no further token can change it; and where it stops.

A token's text depends on what stands before it (a first word has no space), and a stop string may span
tokens. Knows nothing of engines.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from ramekin.tensors.tokenizer import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["GrowingText"]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""What a vocabulary with bytes shows of a character while bytes of it are missing."""


@final
class GrowingText:
    """A text that gets longer token by token: `decode` of them all, up to the first stop string.

    All pieces that are told together are `text` at the end.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerFast", stop: Sequence[str] = (), *, is_told: bool = True
    ) -> None:
        """Begin with no text.

        Args:
            tokenizer: of the tokens; used by nobody else at the same time.
            stop: strings before the first of which the text ends.
            is_told: whether pieces are wanted on the way; without, and without `stop`, it costs less.
        """
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        self._is_followed = is_told or bool(stop)
        self._ids: list[int] = []
        self._text, self._told = "", 0
        self._window, self._read = 0, 0
        self.is_stopped = False
        """Whether a stop string came up."""

    @property
    def text(self) -> str:
        """What there is."""
        return self._text

    def add(self, token: int) -> str:
        """Take a token; returns the text that is sure now and was not told before."""
        self._ids.append(token)
        if not self._is_followed or self.is_stopped:
            return ""
        # From the last token that brought text: decoded alone, it would lose the space before it.
        before = decode(self._tokenizer, self._ids[self._window : self._read])
        now = decode(self._tokenizer, self._ids[self._window :])
        if len(now) > len(before) and not now.endswith(_INCOMPLETE):
            self._window, self._read = self._read, len(self._ids)
            self._grow(now[len(before) :])
        return self._tell(self._sure())

    def finish(self) -> str:
        """The rest, as no token follows."""
        whole = "" if self.is_stopped else decode(self._tokenizer, self._ids)
        if whole.startswith(self._text):
            self._grow(whole[len(self._text) :])
        return self._tell(len(self._text))

    def _grow(self, more: str) -> None:
        """Add text, and cut it before the first stop string."""
        longest = max(map(len, self._stop), default=0)
        start = max(0, len(self._text) - longest + 1)
        self._text += more
        found = [place for each in self._stop if (place := self._text.find(each, start)) >= 0]
        if found:
            self._text, self.is_stopped = self._text[: min(found)], True

    def _sure(self) -> int:
        """How much of the text cannot be the beginning of a stop string."""
        if self.is_stopped:
            return len(self._text)
        longest = max(map(len, self._stop), default=0)
        for start in range(max(0, len(self._text) - longest + 1), len(self._text)):
            if any(each.startswith(self._text[start:]) for each in self._stop):
                return start
        return len(self._text)

    def _tell(self, end: int) -> str:
        piece = self._text[self._told : end]
        self._told = max(self._told, end)
        return piece
