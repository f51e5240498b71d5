"""One call of CTranslate2: the requests in it, what the library is asked, and what is told of its tokens.

Knows nothing of which requests share a call, or when.
"""

import ctypes
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Answered, Ending, Event, Output, Request, Wrote
from ramekin.tensors.tokenizer import EOS_ID
from ramekin.tensors.written import TextStream, written_text
from ramekin.weights.ctranslate2_library import load_library

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Job", "OnEvent", "Part", "Writer", "parts_of", "search", "seed", "write"]

OnEvent: TypeAlias = Callable[[Event], None]

_TOGETHER: Final = 8
"""So many samples of a request are drawn by one generator, in one call, at most."""
_PATIENCE: Final = 4.0
"""How many hypotheses end for each beam before a search ends, where the longer of two can be the better."""
_UNSEEDED: Final = 0xFFFFFFFF
"""What the library takes as no seed."""
_ONLY_BEST: Final = 1e-6
"""A share of probability that the most probable token has."""
_seeding = threading.Lock()
"""The library's seed is one for the process: held from setting it until a thread has taken it."""


@final
class _ThreadState:
    """What Python keeps of a thread of the library's, from the first token of a call to its last.

    Otherwise the library makes one for each token and throws it away: 5 % of a call in int8.

    Args:
        rows: that the call writes.
    """

    def __init__(self, rows: int) -> None:
        self._rows, self._held = rows, False

    def hold(self) -> None:
        """Keep it, once; called in the library's thread."""
        if not self._held:
            ctypes.pythonapi.PyGILState_Ensure()
            self._held = True

    def end_row(self) -> None:
        """Let go of it after the last row's last token, or it would outlive the thread."""
        self._rows -= 1
        if not self._rows:
            ctypes.pythonapi.PyGILState_Release(0)  # PyGILState_LOCKED: the callback goes on with the lock


@final
class Writer:
    """One output while it is written.

    Args:
        tokenizer: of the model.
        stop: strings that the output ends before.
        streams: whether its text is wanted piece by piece.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", stop: Sequence[str], *, streams: bool) -> None:
        self._tokenizer = tokenizer
        # The library waits while a token is taken, so its text is read only where it is wanted at once.
        self._stream = TextStream(tokenizer, stop) if stop or streams else None
        self.tokens: list[int] = []
        self._log_probs: list[float] = []
        self.output: Output | None = None
        """When it is finished."""

    def take(self, token: int, log_prob: float | None, *, is_last: bool) -> str:
        """Take a token more; returns the text that is certain now and was not told before."""
        self.tokens.append(token)
        if log_prob is not None:
            self._log_probs.append(log_prob)
        piece, is_stopped = "", False
        if self._stream is not None:
            piece = self._stream.add([token], is_last=is_last)
            is_stopped = self._stream.is_stopped
        if is_last or is_stopped:
            text = written_text(self._tokenizer, self.tokens) if self._stream is None else self._stream.text
            ending: Ending = "stop" if is_stopped else "end" if token == EOS_ID else "length"
            self.output = Output(text, tuple(self.tokens), ending, tuple(self._log_probs))
        return piece


@final
@dataclass(slots=True, eq=False)
class Job:
    """A request and its outputs."""

    ticket: int
    request: Request
    streams: bool
    writers: Sequence[Writer]
    is_cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_told: bool = False

    @property
    def cost(self) -> int:
        """Tokens that it may take."""
        return len(self.request.input_ids) + self.request.decoding.num_rows * self.request.max_new_tokens

    def answer(self) -> Answered | None:
        """The answer when all outputs are written, once, whichever call wrote the last."""
        with self._lock:
            outputs = tuple(each.output for each in self.writers if each.output is not None)
            if self._is_told or len(outputs) < len(self.writers):
                return None
            self._is_told = True
            return Answered(self.ticket, outputs)


@final
@dataclass(frozen=True, slots=True)
class Part:
    """Outputs of a request that are written in one call."""

    job: Job
    first: int
    """The number of the first of them."""
    writers: Sequence[Writer]

    @property
    def cost(self) -> int:
        """Tokens that it may take."""
        request = self.job.request
        rows = max(len(self.writers), request.decoding.num_beams)
        return len(request.input_ids) + rows * request.max_new_tokens

    @property
    def sharing(self) -> tuple[object, ...]:
        """What parts of one call have in common.

        Whether there is a prefix, too: of a call with prefixes, the library searches all rows otherwise.
        """
        one = self.job.request
        decoding = dataclasses.replace(one.decoding, seed=0)
        return decoding, len(self.writers), one.max_new_tokens, one.log_probs, bool(one.prefix_ids)

    @property
    def is_written(self) -> bool:
        """Whether all its outputs are finished."""
        return all(writer.output is not None for writer in self.writers)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do: it is written, or nobody wants it any more."""
        return self.job.is_cancelled or self.is_written


def parts_of(job: Job) -> list[Part]:
    """A request in parts that are written by themselves: one, or one for every few samples.

    How it is parted depends on the number of samples alone, so that machines of other cores draw the same.
    """
    count = len(job.writers)
    groups = -(-count // _TOGETHER) if job.request.decoding.is_random else 1
    borders = [count * group // groups for group in range(groups + 1)]
    return [Part(job, start, job.writers[start:stop]) for start, stop in pairwise(borders)]


def seed(translator: Any, part: Part, names: Sequence[str]) -> None:
    """Make the draws of a translator that has not drawn yet a function of what is asked.

    Its thread takes the library's seed with its first draw, so one token is drawn for nobody.
    """
    request = part.job.request
    named = repr((request.decoding.seed, request.input_ids, request.prefix_ids, part.first)).encode()
    number = int.from_bytes(hashlib.sha256(named).digest()[:4], "big") % _UNSEEDED
    with _seeding:
        load_library().set_random_seed(number)
        try:
            translator.translate_batch(
                [[names[EOS_ID + 1], names[EOS_ID]]], beam_size=1, sampling_topk=0, max_decoding_length=1
            )
        finally:
            load_library().set_random_seed(_UNSEEDED)


def write(translator: Any, parts: Sequence[Part], names: Sequence[str], tell: OnEvent) -> None:
    """Greedy decoding and sampling: each token is told as it is written.

    Args:
        translator: of the library.
        parts: of requests that may share a call.
        names: of the tokens, by id.
        tell: called from the library's thread.
    """
    request = parts[0].job.request
    given = _prefix_log_probs(translator, parts, names)
    # The library stands still during this call, and so do others of its calls: most tokens are just kept.
    is_simple = not request.log_probs and not any(part.job.streams or part.job.request.stop for part in parts)
    state = _ThreadState(len(parts) * len(parts[0].writers))

    def on_token(found: Any) -> bool:
        state.hold()
        part = parts[found.batch_id]
        if part.job.is_cancelled:
            state.end_row()
            return True
        writer = part.writers[found.hypothesis_id]
        if is_simple and not found.is_last:
            writer.tokens.append(found.token_id)
            return False
        log_prob = found.log_prob
        position = len(writer.tokens)
        if request.log_probs and position < len(part.job.request.prefix_ids):
            log_prob = given[found.batch_id][position]
        _tell(part, found.hypothesis_id, found.token_id, log_prob, tell, is_last=found.is_last)
        if writer.output is not None:
            state.end_row()
        return writer.output is not None

    translator.translate_batch(
        _sources(parts, names),
        _prefixes(parts, names),
        beam_size=1,
        callback=on_token,
        num_hypotheses=len(parts[0].writers),
        return_scores=request.log_probs,
        **_sampling(request.decoding, len(names)),
        **_limits(request),
    )


def search(translator: Any, parts: Sequence[Part], names: Sequence[str], tell: OnEvent) -> None:
    """Beam search: outputs are told when all are there; the arguments are those of `write`."""
    request = parts[0].job.request
    sources = _sources(parts, names)
    answers = translator.translate_batch(
        sources,
        _prefixes(parts, names),
        beam_size=request.decoding.num_beams,
        num_hypotheses=len(parts[0].writers),
        length_penalty=request.decoding.length_penalty,
        patience=_PATIENCE if request.decoding.length_penalty > 0 else 1.0,
        **_limits(request),
    )
    found = [
        (place, number, written)
        for place, answer in enumerate(answers)
        for number, written in enumerate(answer.hypotheses)
    ]
    log_probs: list[list[float | None]] = [[None] * len(written) for _, _, written in found]
    if request.log_probs:
        ended = [written[:-1] if written[-1] == names[EOS_ID] else written for _, _, written in found]
        scores = translator.score_batch([sources[place] for place, _, _ in found], ended, max_input_length=0)
        log_probs = [list(score.log_probs) for score in scores]
    number_of = {name: token for token, name in reversed(list(enumerate(names)))}
    for (place, number, written), own in zip(found, log_probs, strict=True):
        part = parts[place]
        for position, name in enumerate(written):
            if part.writers[number].output is None and not part.job.is_cancelled:
                is_last = position + 1 == len(written)
                _tell(part, number, number_of[name], own[position], tell, is_last=is_last)


def _tell(
    part: Part, number: int, token: int, log_prob: float | None, tell: OnEvent, *, is_last: bool
) -> None:
    """Take a token of one of a part's outputs, and tell of it."""
    job, writer = part.job, part.writers[number]
    piece = writer.take(token, log_prob, is_last=is_last)
    if job.streams:
        own = () if log_prob is None else (log_prob,)
        ending = None if writer.output is None else writer.output.ending
        tell(Wrote(job.ticket, part.first + number, piece, (token,), own, ending=ending))
    if writer.output is not None and (answered := job.answer()) is not None:
        tell(answered)


def _sources(parts: Sequence[Part], names: Sequence[str]) -> list[list[str]]:
    return [[names[token] for token in part.job.request.input_ids] for part in parts]


def _prefixes(parts: Sequence[Part], names: Sequence[str]) -> list[list[str]] | None:
    if not parts[0].job.request.prefix_ids:
        return None
    return [[names[token] for token in part.job.request.prefix_ids] for part in parts]


def _prefix_log_probs(translator: Any, parts: Sequence[Part], names: Sequence[str]) -> list[list[float]]:
    """Those of the tokens of each prefix, where they are wanted: decoding does not tell them."""
    prefixes = _prefixes(parts, names)
    if not parts[0].job.request.log_probs or prefixes is None:
        return []
    scores = translator.score_batch(_sources(parts, names), prefixes, max_input_length=0)
    return [list(score.log_probs) for score in scores]


def _sampling(decoding: Decoding, vocab_size: int) -> dict[str, Any]:
    """The library's words for how tokens are drawn; its `sampling_topk=1` is greedy, and 0 all tokens."""
    if not decoding.is_random:
        return {"sampling_topk": 1}
    filters = {
        "sampling_topk": decoding.top_k if decoding.top_k < vocab_size else 0,
        "sampling_topp": decoding.top_p,
    }
    if decoding.top_k == 1:  # of which it takes no several samples
        filters = {"sampling_topk": 2, "sampling_topp": _ONLY_BEST}
    return {**filters, "sampling_temperature": decoding.sampling_temperature}


def _limits(request: Request) -> dict[str, Any]:
    """Nothing is cut, `</s>` may come first, and the prefix counts."""
    return {
        "max_input_length": 0,
        "max_decoding_length": request.max_new_tokens,
        "min_decoding_length": 0,
        "return_end_token": True,
    }
