"""The engine on CTranslate2: what `ramekin export` made, greedily, by beam search or by sampling.

Requests with the same settings are answered in one call of the library, up to a budget of tokens; a request
that comes in the meantime waits for the call's end. Inputs are never cut (`max_input_length=0`), the first
token may be `</s>` (`min_decoding_length=0`), and no filter is applied that was not asked for.

**Seeds.** CTranslate2 draws all rows of a call from one generator, in turn, and that belongs to a thread of
the library, goes on from call to call, and is seeded once, when the thread first draws. So what is drawn for
a request would depend on its batch mates and on all that was drawn before. With `seeding="exact"` a random
request therefore has a call, a thread and a `Translator` of its own: its samples depend on the seed, the
input and the settings alone (on the number of samples, too: they take turns), and not on what else is asked.
The price is opening the weights anew: 0.1 s for Flan-T5-small in fp32 and 0.1 to 0.9 s for base, a third of
that in int8, and their memory once more. With `seeding="none"` random requests share calls, at full speed,
and their seeds are not kept: `keeps_seeds` says so. Not tried on a GPU.

What the library cannot do is refused, with `backend=torch` as the way out: forms, alternatives, inputs of
special tokens alone (it answers nothing to them). Its beam search ends by a count: here when four times as
many hypotheses as beams have ended. The torch engine looks on while a better one is to be expected; where
that takes long their texts can part (59 of 60 were the same, and 38 when it ended with as many as beams).
Ranking encodes an input once for each of its options.
"""

import atexit
import dataclasses
import hashlib
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from ramekin.errors import DataError, RamekinError, ResourceError, UsageError, WeightsError
from ramekin.infer.decoding import Decoding
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.request import Answered, Event, Failed, Output, Request, Wrote
from ramekin.tensors.tokenizer import EOS_ID, PAD_ID, load_tokenizer
from ramekin.tensors.written import TextStream
from ramekin.weights.ctranslate2_folder import TranslatorFolder, check_translator
from ramekin.weights.ctranslate2_library import load_library, open_translator

__all__ = ["CTranslateEngine", "Seeding"]

Seeding: TypeAlias = Literal["exact", "none"]
"""Whether a random request's answer is decided by its seed, at a price, or by chance."""

_PATIENCE_SECONDS: Final = 0.05
"""How long a step waits for something to tell."""
_KNOWN_SETTINGS = frozenset(
    {"num_beams", "num_samples", "sampling_temperature", "top_k", "top_p", "length_penalty", "seed"}
)
_PATIENCE: Final = 4.0
"""How many hypotheses end for each beam before a search ends, where the longer of two can be the better."""
_UNSEEDED: Final = 0xFFFFFFFF
"""What the library takes as no seed."""
_ONLY_BEST: Final = 1e-6
"""A share of probability that the most probable token has."""
_seeding = threading.Lock()
"""The library's seed is one for the process: held from setting it until a thread has taken it."""


_calls: set[threading.Thread] = set()
"""The calls that may not have ended yet."""
_open_engines: "weakref.WeakSet[CTranslateEngine]" = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    """Let go of all models while Python still runs: the library aborts the process when it has to itself."""
    for engine in list(_open_engines):
        engine.close()
    for call in _calls:  # also of engines that nobody holds any more
        call.join()


@final
class CTranslateEngine(AbstractEngine):
    """A CTranslate2 model that writes and ranks."""

    def __init__(
        self,
        folder: Path,
        *,
        batch_tokens: int = 16384,
        threads: int = 0,
        device: str = "cpu",
        compute_type: str = "default",
        seeding: Seeding = "exact",
        allow_untested: bool = False,
        verify: bool = True,
    ) -> None:
        """Open a model.

        Args:
            folder: what `ramekin export` made.
            batch_tokens: tokens of a call, of inputs and of all outputs at their longest; a request that has
                more gets a call of its own.
            threads: for arithmetic; 0: the library's choice.
            device: `cpu`, `cuda` or `auto`.
            compute_type: `default` as the model is held, or CTranslate2's names.
            seeding: whether seeds are kept; see above.
            allow_untested: also open a folder of other tools, which nobody has compared with its model.
            verify: compare the files' sha256 with the manifest.

        Raises:
            UsageError: CTranslate2 is not installed, or has no such device or type.
            WeightsError: the folder is none of these, damaged, hostile or untested.
            ResourceError: there is not enough memory.
        """
        load_library()
        self._model = check_translator(Path(folder), allow_untested=allow_untested, verify=verify)
        self._tokenizer = load_tokenizer(Path(folder))
        self._open = partial(
            open_translator, Path(folder), device=device, compute_type=compute_type, threads=threads
        )
        self._translator = self._open()
        self._batch_tokens, self._seeding = batch_tokens, seeding
        self._waiting: deque[_Job] = deque()
        self._running: dict[int, _Job] = {}
        self._call: threading.Thread | None = None
        self._told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._next_ticket = 0
        _open_engines.add(self)

    @property
    def model(self) -> TranslatorFolder:
        """What was opened."""
        return self._model

    @property
    def compute_type(self) -> str:
        """What is computed in: `float32`, `int8_float32` and so on."""
        return str(self._translator.compute_type)

    @property
    def keeps_seeds(self) -> bool:
        """Whether a random request's answer is decided by its seed."""
        return self._seeding == "exact"

    def add(self, request: Request, *, streams: bool = False) -> int:
        """Take a request; see `AbstractEngine.add`."""
        self._check(request)
        ticket = self._next_ticket
        self._next_ticket += 1
        writers = [
            _Writer(ticket, number, TextStream(self._tokenizer, request.stop))
            for number in range(request.decoding.num_samples)
        ]
        self._waiting.append(_Job(ticket, request, streams, writers))
        return ticket

    def cancel(self, ticket: int) -> None:
        """Forget a request; beam search goes on to its end for nobody."""
        self._waiting = deque(job for job in self._waiting if job.ticket != ticket)
        job = self._running.pop(ticket, None)
        if job is not None:
            job.is_cancelled = True

    def step(self) -> list[Event]:
        """Tell what has been written until now; a call is always under way while a request waits."""
        self._go_on()
        found: list[Event] = []
        for event in self._happened():
            if event is None:
                self._end_call()
                self._go_on()
            elif event.ticket in self._running:
                found.append(event)
                if not isinstance(event, Wrote):
                    del self._running[event.ticket]
        return found

    def rank(
        self, inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """The log-probability of each option given its input; see `infer.rank.rank`."""
        if len(options) != len(inputs):
            raise DataError(
                "inputs and options differ in number",
                expected=f"{len(inputs)} lists of options",
                got=str(len(options)),
            )
        asked: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        for number, (ids, choices) in enumerate(zip(inputs, options, strict=True)):
            self._check_ids(ids, f"input {number}")
            for place, option in enumerate(choices):
                self._check_ids(option, f"input {number}, option {place}")
                asked[tuple(ids), tuple(option)] = 0.0
        scores = self._translator.score_batch(
            [self._names(ids) for ids, _ in asked],
            # It appends `</s>` itself, and tells the log-probability of that last.
            [self._names(option[:-1] if option[-1] == EOS_ID else option) for _, option in asked],
            max_batch_size=self._batch_tokens,
            batch_type="tokens",
            max_input_length=0,
        ) if asked else []  # fmt: skip
        for key, score in zip(asked, scores, strict=True):
            asked[key] = sum(score.log_probs[: len(key[1])])
        return [
            [asked[tuple(ids), tuple(option)] for option in choices]
            for ids, choices in zip(inputs, options, strict=True)
        ]

    @property
    def load(self) -> Load:
        """What there is to do."""
        tokens = sum(job.cost for job in self._running.values())
        return Load(running=len(self._running), waiting=len(self._waiting), tokens=tokens)

    def close(self) -> None:
        """Forget all requests, wait for what the library cannot break off, and let go of the model."""
        self._waiting.clear()
        for ticket in list(self._running):
            self.cancel(ticket)
        self._end_call()
        self._translator = None

    def _check(self, request: Request) -> None:
        """Refuse what CTranslate2 cannot do, and tokens that the model has not."""
        if self._translator is None:
            raise UsageError("the engine is closed")
        self._check_ids(request.input_ids, "input")
        if request.prefix_ids:
            self._check_ids(request.prefix_ids, "prefix")
        decoding = request.decoding
        others = [each for each in dataclasses.fields(Decoding) if each.name not in _KNOWN_SETTINGS]
        unknown = [each.name for each in others if getattr(decoding, each.name) != each.default]
        for is_asked, what, where in (
            (request.form is not None, "outputs of a given form", "form"),
            (request.num_alternatives > 0, "alternatives", "num_alternatives"),
            (bool(unknown), "this way of choosing tokens", ", ".join(unknown)),
            (
                2 * decoding.num_beams > len(self._model.vocabulary) and decoding.num_beams > 1,
                "as many beams as half the vocabulary",
                "num_beams",
            ),
            (_content(request.input_ids) < 1, "an input of special tokens alone", "input"),
        ):
            if is_asked:
                raise UsageError(f"CTranslate2 has no {what}", where=where, fix="backend=torch")

    def _check_ids(self, ids: Sequence[int], where: str) -> None:
        if not len(ids):
            raise DataError("there are no tokens", where=where, expected="at least one")
        size = len(self._model.vocabulary)
        if not 0 <= min(ids) <= max(ids) < size:
            raise DataError(
                "a token is not of the model's vocabulary",
                where=where,
                expected=f"0 to {size - 1}",
                got=str(next(token for token in ids if not 0 <= token < size)),
            )

    def _names(self, ids: Sequence[int]) -> list[str]:
        names = self._model.vocabulary
        return [names[token] for token in ids]

    def _is_alone(self, job: "_Job") -> bool:
        """Whether a request needs a generator of its own."""
        return self.keeps_seeds and job.request.decoding.is_random

    def _next_jobs(self) -> list["_Job"]:
        """The oldest request that waits, and those that can share its call, oldest first."""
        first = self._waiting.popleft()
        chosen, left = [first], deque[_Job]()
        room = self._batch_tokens - first.cost
        for job in self._waiting:
            if not self._is_alone(first) and job.sharing == first.sharing and job.cost <= room:
                chosen.append(job)
                room -= job.cost
            else:
                left.append(job)
        self._waiting = left
        return chosen

    def _go_on(self) -> None:
        if self._call is None and self._waiting:
            self._start(self._next_jobs())

    def _end_call(self) -> None:
        if self._call is not None:
            self._call.join()
            self._call = None

    def _start(self, jobs: Sequence["_Job"]) -> None:
        self._running.update((job.ticket, job) for job in jobs)
        self._call = threading.Thread(target=self._run, args=(jobs,), name="ctranslate2", daemon=True)
        self._call.start()
        _calls.difference_update([call for call in _calls if not call.is_alive()])
        _calls.add(self._call)

    def _happened(self) -> Iterator[Event | None]:
        """What was told since the last step; waits a moment for the first."""
        if self._call is None:
            return
        try:
            yield self._told.get(timeout=_PATIENCE_SECONDS)
            while True:
                yield self._told.get_nowait()
        except queue.Empty:
            return

    def _run(self, jobs: Sequence["_Job"]) -> None:
        """One call of the library, in a thread of its own."""
        try:
            if jobs[0].request.decoding.num_beams > 1:
                self._search(jobs)
            elif self._is_alone(jobs[0]):
                with _Seeded(_seed_of(jobs[0].request)) as seeded:
                    self._write(jobs, self._open(), seeded.is_taken)
            else:
                self._write(jobs, self._translator, _nothing)
            if not all(job.is_answered or job.is_cancelled for job in jobs):
                raise RuntimeError("an output was not written to its end")
        except Exception as error:
            for job in jobs:
                if not job.is_answered:
                    self._told.put(Failed(job.ticket, _ours(error)))
        finally:
            self._told.put(None)

    def _write(self, jobs: Sequence["_Job"], translator: Any, on_draw: Callable[[], None]) -> None:
        """Greedy decoding and sampling: each token is told as it is written."""
        request = jobs[0].request
        given = self._prefix_log_probs(jobs)

        def on_token(found: Any) -> bool:
            on_draw()
            job = jobs[found.batch_id]
            if job.is_cancelled:
                return True
            writer, log_prob = job.writers[found.hypothesis_id], found.log_prob
            position = len(writer.tokens)
            if request.log_probs and position < len(job.request.prefix_ids):
                log_prob = given[found.batch_id][position]
            self._tell(job, writer, found.token_id, log_prob, is_last=found.is_last)
            return writer.output is not None

        translator.translate_batch(
            [self._names(job.request.input_ids) for job in jobs],
            self._prefixes(jobs),
            beam_size=1,
            callback=on_token,
            num_hypotheses=request.decoding.num_samples,
            return_scores=request.log_probs,
            **_sampling(request.decoding, len(self._model.vocabulary)),
            **_limits(request),
        )

    def _search(self, jobs: Sequence["_Job"]) -> None:
        """Beam search: outputs are told when all are there."""
        request = jobs[0].request
        sources = [self._names(job.request.input_ids) for job in jobs]
        answers = self._translator.translate_batch(
            sources,
            self._prefixes(jobs),
            beam_size=request.decoding.num_beams,
            length_penalty=request.decoding.length_penalty,
            patience=_PATIENCE if request.decoding.length_penalty > 0 else 1.0,
            **_limits(request),
        )
        names = [answer.hypotheses[0] for answer in answers]
        log_probs: list[list[float | None]] = [[None] * len(each) for each in names]
        if request.log_probs:
            ended = [each[:-1] if each[-1] == self._model.vocabulary[EOS_ID] else each for each in names]
            scores = self._translator.score_batch(sources, ended, max_input_length=0)
            log_probs = [list(score.log_probs) for score in scores]
        number_of = {name: token for token, name in reversed(list(enumerate(self._model.vocabulary)))}
        for job, written, own in zip(jobs, names, log_probs, strict=True):
            for place, name in enumerate(written):
                if not job.is_answered and not job.is_cancelled:
                    is_last = place + 1 == len(written)
                    self._tell(job, job.writers[0], number_of[name], own[place], is_last=is_last)

    def _tell(
        self, job: "_Job", writer: "_Writer", token: int, log_prob: float | None, *, is_last: bool
    ) -> None:
        """Take a token of an output, and tell of it."""
        wrote = writer.take(token, log_prob, is_last=is_last)
        if job.streams:
            self._told.put(wrote)
        if job.is_answered:
            outputs = tuple(each.output for each in job.writers if each.output is not None)
            self._told.put(Answered(job.ticket, outputs))

    def _prefixes(self, jobs: Sequence["_Job"]) -> list[list[str]] | None:
        if not jobs[0].request.prefix_ids:
            return None
        return [self._names(job.request.prefix_ids) for job in jobs]

    def _prefix_log_probs(self, jobs: Sequence["_Job"]) -> list[list[float]]:
        """Those of the tokens of each prefix, where they are wanted: decoding does not tell them."""
        request, prefixes = jobs[0].request, self._prefixes(jobs)
        if not request.log_probs or prefixes is None:
            return []
        sources = [self._names(job.request.input_ids) for job in jobs]
        scores = self._translator.score_batch(sources, prefixes, max_input_length=0)
        return [list(score.log_probs) for score in scores]


@final
class _Writer:
    """One output while it is written."""

    def __init__(self, ticket: int, number: int, text: TextStream) -> None:
        self._ticket, self._number, self._text = ticket, number, text
        self.tokens: list[int] = []
        self._log_probs: list[float] = []
        self.output: Output | None = None
        """When it is finished."""

    def take(self, token: int, log_prob: float | None, *, is_last: bool) -> Wrote:
        """A token more."""
        self.tokens.append(token)
        own = () if log_prob is None else (log_prob,)
        self._log_probs += own
        piece = self._text.add([token], is_last=is_last)
        if is_last or self._text.is_stopped:
            self.output = Output(
                self._text.text,
                tuple(self.tokens),
                "stop" if self._text.is_stopped else "end" if token == EOS_ID else "length",
                tuple(self._log_probs),
            )
        ending = None if self.output is None else self.output.ending
        return Wrote(self._ticket, self._number, piece, (token,), own, ending=ending)


@final
@dataclass(slots=True)
class _Job:
    """A request and its outputs."""

    ticket: int
    request: Request
    streams: bool
    writers: list[_Writer]
    is_cancelled: bool = field(default=False)

    @property
    def is_answered(self) -> bool:
        return all(writer.output is not None for writer in self.writers)

    @property
    def cost(self) -> int:
        """Tokens that it may take."""
        return len(self.request.input_ids) + self.request.decoding.num_rows * self.request.max_new_tokens

    @property
    def sharing(self) -> tuple[object, ...]:
        """What requests of one call have in common.

        Whether there is a prefix, too: of a call with prefixes, the library searches all rows otherwise.
        """
        one = self.request
        decoding = dataclasses.replace(one.decoding, seed=0)
        return decoding, one.max_new_tokens, one.log_probs, bool(one.prefix_ids)


@final
class _Seeded:
    """The library's seed, while a new thread of it takes that; then it is none again."""

    def __init__(self, seed: int) -> None:
        self._seed, self._is_held = seed, False

    def __enter__(self) -> "_Seeded":
        _seeding.acquire()
        self._is_held = True
        load_library().set_random_seed(self._seed)
        return self

    def is_taken(self) -> None:
        """A token was drawn."""
        if self._is_held:
            self._is_held = False
            load_library().set_random_seed(_UNSEEDED)
            _seeding.release()

    def __exit__(self, *_: object) -> None:
        self.is_taken()


def _nothing() -> None:
    """What drawing does to a generator that is not seeded."""


def _seed_of(request: Request) -> int:
    """Of 32 bits, from the request's own and its input, so that inputs do not share draws."""
    named = repr((request.decoding.seed, request.input_ids, request.prefix_ids)).encode()
    return int.from_bytes(hashlib.sha256(named).digest()[:4], "big") % _UNSEEDED


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


def _content(ids: Sequence[int]) -> int:
    """Tokens of an input as the library counts them; where there are none, it does not run the model."""
    if len(ids) == 1:
        return int(ids[0] not in (PAD_ID, EOS_ID))
    count = len(ids) - (ids[0] == PAD_ID)
    if ids[-1] == EOS_ID:
        return count - 1
    return count - 2 if ids[-2] == EOS_ID else count


def _ours(error: Exception) -> RamekinError:
    """An error of the library's as one of ours."""
    if isinstance(error, RamekinError):
        return error
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in said.lower():
        return ResourceError("CTranslate2 has not enough memory", got=said, fix="a smaller batch_tokens")
    if isinstance(error, ValueError):
        return UsageError("CTranslate2 does not take the request", got=said, fix="backend=torch")
    return WeightsError("CTranslate2 could not answer", got=said, fix="backend=torch")
