"""Outputs that match a regular expression or are JSON of a schema, by llguidance.

The library works on the bytes of tokens. A T5 tokenizer writes a space before the first word and drops it
when it decodes, so a grammar here begins with one. Knows nothing of models.
"""

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from ramekin.errors import DataError, UsageError
from ramekin.infer.form_states import AbstractState
from ramekin.infer.request import Form
from ramekin.tensors.tokenizer import UNK_ID

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["GrammarState", "grammar_of", "grammar_state"]

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@final
class GrammarState(AbstractState):
    """A matcher, and what it allows next.

    Args:
        matcher: llguidance's; it is not changed.
        vocab_size: of the model.
        device: where the logits are.

    Raises:
        DataError: nothing can come next: what has to is made of characters that no token has.
    """

    def __init__(self, matcher: Any, *, vocab_size: int, device: torch.device | str) -> None:
        self._matcher, self._vocab_size, self._device = matcher, vocab_size, device
        forced = matcher.compute_ff_bytes().decode("utf-8", "replace").strip()
        bits = torch.frombuffer(bytearray(matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = ((bits[:, None] >> torch.arange(8)) & 1).bool().flatten()
        self._allowed = allowed[:vocab_size].to(device)
        if matcher.is_error() or not bool(self._allowed.any()):
            raise DataError(
                "an output cannot go on in its form",
                expected="a form that can be written in the model's vocabulary",
                got=f"{forced!r} has to come, which no token writes"
                if forced
                else _told(matcher.get_error()),
                fix="T5's vocabulary has no braces, backslash, caret or tilde: leave them out of the form",
            )

    def allowed(self) -> Tensor:  # noqa: D102
        return self._allowed

    def after(self, token: int) -> "GrammarState":  # noqa: D102
        matcher = self._matcher.deep_copy()
        matcher.consume_token(token)
        return GrammarState(matcher, vocab_size=self._vocab_size, device=self._device)


def grammar_state(
    form: Form,
    tokenizer: "PreTrainedTokenizerFast",
    *,
    vocab_size: int,
    eos_id: int,
    device: torch.device | str,
) -> GrammarState:
    """The state at the beginning of an output; see `forms.form_state`."""
    grammar = grammar_of(form)
    from llguidance import LLMatcher

    if form.regex is not None:
        problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_regex(form.regex))
        if problem:  # before it is put into parentheses, which could close some of its own
            raise UsageError("a regular expression cannot be read", where="regex", got=_told(problem))
    matcher = LLMatcher(_tokens(tokenizer, vocab_size, eos_id), grammar, log_level=0)
    if matcher.is_error():
        raise UsageError(
            "the form of an output cannot be read",
            where="regex" if form.regex is not None else "json_schema",
            got=_told(matcher.get_error()),
        )
    return GrammarState(matcher, vocab_size=vocab_size, device=device)


def grammar_of(form: Form) -> str:
    """A regular expression or a JSON schema as the library's grammar, which is not read yet.

    Raises:
        UsageError: the library is not installed.
    """
    try:
        from llguidance import LLMatcher
    except ImportError as error:
        raise UsageError(
            "regular expressions and JSON schemas need llguidance",
            fix="pip install 'ramekin[constrain]'",
        ) from error
    if form.regex is not None:
        return LLMatcher.grammar_from_regex(f" (?:{form.regex})")
    schema = json.dumps({**(form.json_schema or {}), "x-guidance": {"whitespace_flexible": False}})
    return LLMatcher.grammar_from_lark(f'start: " " value\nvalue: %json {schema}\n')


def _told(problem: str) -> str:
    return " ".join(problem.split())[:300]


@lru_cache(maxsize=8)
def _tokens(tokenizer: "PreTrainedTokenizerFast", vocab_size: int, eos_id: int) -> Any:
    """The vocabulary as llguidance takes it: 0.1 s for T5's."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Vocabulary(tokenizer, vocab_size, eos_id)))


@final
class _Vocabulary:
    """The bytes of every token."""

    bos_token_id = None

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", vocab_size: int, eos_id: int) -> None:
        self.eos_token_id = eos_id
        backend = tokenizer.backend_tokenizer
        special = {id for id, token in backend.get_added_tokens_decoder().items() if token.special}
        pieces = [backend.id_to_token(id) for id in range(vocab_size)]
        self.special_token_ids = sorted(special | {id for id, piece in enumerate(pieces) if piece is None})
        self.tokens = [
            f"<{id}>".encode() if piece is None else _bytes(piece) for id, piece in enumerate(pieces)
        ]

        self._model = backend.model

    def __call__(self, text: bytes | str) -> list[int]:
        """The most probable tokens of a text that stands anywhere, not only at a beginning."""
        whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        ids = [each.id for each in self._model.tokenize(whole.replace(" ", "▁"))]
        return ids[: ids.index(UNK_ID)] if UNK_ID in ids else ids  # what is unknown cannot be forced


def _bytes(piece: str) -> bytes:
    match = _BYTE.fullmatch(piece)
    return bytes([int(match[1], 16)]) if match else piece.replace("▁", " ").encode()
