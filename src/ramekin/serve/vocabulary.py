"""A tokenizer as a server uses it: texts to ids in a thread of its own, ids to shown tokens at once.

Knows nothing of requests or engines.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar, final

from ramekin.tensors.tokenizer import token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Placed", "Vocabulary"]

T = TypeVar("T")

_SPACE: Final = "\u2581"


@final
class Vocabulary:
    """A tokenizer that nobody else uses.

    Its library lets one thread at a time change a tokenizer, and each encoding does (padding is switched
    off), so that an engine needs another.

    Args:
        tokenizer: T5's or one like it.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._tokenizer = tokenizer
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        backend = tokenizer.backend_tokenizer
        shown: dict[int, str] = {number: piece for piece, number in backend.get_vocab(True).items()}
        added = backend.get_added_tokens_decoder()
        self._hidden: Final = frozenset(number for number, token in added.items() if token.special)
        self._pieces: Final = {
            number: piece if number in self._hidden else piece.replace(_SPACE, " ")
            for number, piece in shown.items()
        }
        self._characters: Final = frozenset(
            character
            for number, piece in self._pieces.items()
            if number not in self._hidden
            for character in piece
        )

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self._pieces)

    def knows(self, token: int) -> bool:
        """Whether there is such a token."""
        return token in self._pieces

    def cannot_write(self, text: str) -> str:
        """The characters of a text that no token has, so that they never come up in an output.

        T5 has no line break, for example.
        """
        return "".join(each for each in dict.fromkeys(text) if each not in self._characters)

    def is_shown(self, token: int) -> bool:
        """Whether texts show a token: special ones they do not."""
        return token not in self._hidden

    def piece(self, token: int) -> str:
        """How a token is written: its characters, or the name of a special one."""
        return self._pieces.get(token, f"<{token}>")

    async def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without `</s>`, whole."""
        return await self.run(token_ids, self._tokenizer, list(texts))

    async def with_tokenizer(self, function: "Callable[[PreTrainedTokenizerFast], T]") -> T:
        """What a function makes with the tokenizer, in its thread."""
        return await self.run(function, self._tokenizer)

    async def run(self, function: "Callable[..., T]", *arguments: object) -> T:
        """Call something in the tokenizer's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def close(self) -> None:
        """End its thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@final
class Placed:
    """Where the tokens of one output stand in its text, as they come.

    The text shows no special tokens and not the space that its first token begins with.

    Args:
        vocabulary: of the tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._length = 0
        self._is_begun = False

    def place(self, token: int) -> tuple[str, int]:
        """The next token as it is written, and the character of the text that it begins at."""
        start, piece = self._length, self.shown(token)
        if self._vocabulary.is_shown(token):
            self._is_begun = True
            self._length += len(piece)
        return piece, start

    def shown(self, token: int) -> str:
        """How a token would be written if it came next."""
        piece = self._vocabulary.piece(token)
        return piece if self._is_begun or not self._vocabulary.is_shown(token) else piece.lstrip(" ")
