"""The engine on CTranslate2: what `ramekin export` made, greedily, by beam search or by sampling.

Requests with the same settings are answered in one call of the library, up to a budget of tokens; a request
that comes in the meantime waits for a call's end. Inputs are never cut (`max_input_length=0`), the first
token may be `</s>` (`min_decoding_length=0`), and no filter is applied that was not asked for.

**Threads.** A matrix of int8 is multiplied so fast that threads which share the work mostly wait for each
other: on two cores Flan-T5-small writes 16 texts in 0.41 s by two calls of a thread each, and in 0.96 s by
one call of two threads (base: 1.4 and 2.5 s). So with int8 there are as many calls at one time as threads, up
to four. In fp32 a call has all threads, which is the faster for few requests.

**Seeds.** CTranslate2 draws all rows of a call from one generator, in turn, and that belongs to a thread of
the library, goes on from call to call, and is seeded once, when the thread first draws. So what is drawn for
a request would depend on its batch mates and on all that was drawn before. With `seeding="exact"` a random
request therefore has calls, threads and `Translator`s of its own, one for every eight samples: they depend on
the seed, the input and the settings alone (on the number of samples, too: they take turns), and not on what
else is asked or on how many threads there are. As many are drawn at one time as there are threads, up to
four. The price is opening the weights anew for each: 0.1 s for Flan-T5-small in fp32 and 0.1 to 0.9 s for
base, a third of that in int8, and their memory once more. With `seeding="none"` random requests share calls,
and their seeds are not kept: `keeps_seeds` says so. Not tried on a GPU.

What the library cannot do is refused, with `backend=torch` as the way out: forms, alternatives, inputs of
special tokens alone (it answers nothing to them). Its beam search ends by a count: here when four times as
many hypotheses as beams have ended. The torch engine looks on while a better one is to be expected; where
that takes long their texts can part (59 of 60 were the same, and 38 when it ended with as many as beams).
Ranking encodes an input once for each of its options.
"""

import atexit
import dataclasses
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from ramekin.errors import DataError, RamekinError, ResourceError, UsageError, WeightsError
from ramekin.infer.ctranslate_calls import Job, Part, Writer, parts_of, search, seed, write
from ramekin.infer.decoding import Decoding
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.request import Event, Failed, Request, Wrote
from ramekin.machine import num_cores
from ramekin.tensors.tokenizer import EOS_ID, PAD_ID, load_tokenizer
from ramekin.weights.ctranslate2_folder import TranslatorFolder, check_translator
from ramekin.weights.ctranslate2_library import load_library, open_translator

__all__ = ["CTranslateEngine", "Seeding"]

Seeding: TypeAlias = Literal["exact", "none"]
"""Whether a random request's answer is decided by its seed, at a price, or by chance."""

_PATIENCE_SECONDS: Final = 0.05
"""How long a step waits for something to tell."""
_PAIR_BYTES: Final = 13
"""Of a head, for each pair of tokens of an input that is read: measured, by Flan-T5's small and base."""
_MOST_CALLS: Final = 4
"""At one time."""
_KNOWN_SETTINGS = frozenset(
    {"num_beams", "num_samples", "sampling_temperature", "top_k", "top_p", "length_penalty", "seed"}
)

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
            batch_tokens: tokens of all calls under way together, of inputs and of all outputs at their
                longest; a request that alone has more is answered alone.
            threads: for arithmetic; 0: `OMP_NUM_THREADS`, or as many as there are cores.
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
        self._open = partial(open_translator, Path(folder), device=device, compute_type=compute_type)
        self._threads = threads or _default_threads()
        self._most_calls = min(_MOST_CALLS, self._threads) if device == "cpu" else 1
        is_int8 = self._model.is_int8 if compute_type == "default" else "int8" in compute_type
        self._most_shared = self._most_calls if is_int8 else 1
        self._translator = self._open(threads=self._threads // self._most_shared, workers=self._most_shared)
        self._batch_tokens, self._seeding = batch_tokens, seeding
        self._waiting: deque[Part] = deque()
        self._running: dict[int, Job] = {}
        self._under_way: dict[threading.Thread, Sequence[Part]] = {}
        self._told: queue.SimpleQueue[Event | threading.Thread] = queue.SimpleQueue()
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
            Writer(self._tokenizer, request.stop, streams=streams)
            for _ in range(request.decoding.num_samples)
        ]
        self._waiting += parts_of(Job(ticket, request, streams, writers))
        return ticket

    def cancel(self, ticket: int) -> None:
        """Forget a request; beam search goes on to its end for nobody."""
        self._waiting = deque(part for part in self._waiting if part.job.ticket != ticket)
        job = self._running.pop(ticket, None)
        if job is not None:
            job.is_cancelled = True

    def step(self) -> list[Event]:
        """Tell what has been written until now; a call is always under way while a request waits."""
        self._go_on()
        found: list[Event] = []
        for event in self._happened():
            if isinstance(event, threading.Thread):
                self._end(event)
                self._go_on()
            elif event.ticket in self._running:
                found.append(event)
                if not isinstance(event, Wrote):
                    self.cancel(event.ticket)  # of one that failed, other parts may be left
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
        tokens = sum(len(ids) for ids, _ in asked)
        scores = self._translator.score_batch(
            [self._names(ids) for ids, _ in asked],
            # It appends `</s>` itself, and tells the log-probability of that last.
            [self._names(option[:-1] if option[-1] == EOS_ID else option) for _, option in asked],
            max_batch_size=min(self._batch_tokens, -(-tokens // self._most_shared)),
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
        waiting = {part.job.ticket for part in self._waiting} - self._running.keys()
        return Load(running=len(self._running), waiting=len(waiting), tokens=tokens)

    @property
    def pair_bytes(self) -> int:
        """Of all calls that can be under way."""
        return _PAIR_BYTES * self._model.heads * self._most_calls

    def close(self) -> None:
        """Forget all requests, wait for what the library cannot break off, and let go of the model."""
        self._waiting.clear()
        for ticket in list(self._running):
            self.cancel(ticket)
        for call in list(self._under_way):
            self._end(call)
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

    def _is_seeded(self, part: Part) -> bool:
        """Whether a part needs a generator of its own."""
        return self.keeps_seeds and part.job.request.decoding.is_random

    def _next_parts(self) -> list[Part]:
        """The oldest part that a call can begin with now, and those that share its call, oldest first.

        As many as there are calls to come divide what waits among them.
        """
        # Those of which all is written are as good as over, though their threads may not have ended.
        busy = [parts for parts in self._under_way.values() if not all(part.is_written for part in parts)]
        if len(busy) >= self._most_calls:
            return []
        shared = sum(not self._is_seeded(parts[0]) for parts in busy)
        ready = (part for part in self._waiting if self._is_seeded(part) or shared < self._most_shared)
        first = next(ready, None)
        room = self._batch_tokens - sum(part.cost for parts in busy for part in parts)
        if first is None or (busy and first.cost > room):
            return []
        mates = [] if self._is_seeded(first) else [
            part for part in self._waiting if part is not first and part.sharing == first.sharing
        ]  # fmt: skip
        calls = min(self._most_shared - shared, self._most_calls - len(busy))
        asked = sum(part.cost for part in (first, *mates))
        room = -(-min(room, asked) // max(1, calls)) - first.cost
        chosen = [first]
        for part in mates:
            if part.cost <= room:
                chosen.append(part)
                room -= part.cost
        taken = set(map(id, chosen))
        self._waiting = deque(part for part in self._waiting if id(part) not in taken)
        return chosen

    def _go_on(self) -> None:
        while parts := self._next_parts():
            self._start(parts)

    def _end(self, call: threading.Thread) -> None:
        call.join()
        del self._under_way[call]

    def _start(self, parts: Sequence[Part]) -> None:
        self._running.update((part.job.ticket, part.job) for part in parts)
        is_only = not self._waiting and not self._under_way
        threads = self._threads if is_only and self._most_shared == 1 else self._threads // self._most_calls
        call = threading.Thread(target=self._run, args=(parts, threads), name="ctranslate2", daemon=True)
        self._under_way[call] = parts
        call.start()
        _calls.difference_update([each for each in _calls if not each.is_alive()])
        _calls.add(call)

    def _happened(self) -> Iterator[Event | threading.Thread]:
        """What was told since the last step; waits a moment for the first."""
        if not self._under_way:
            return
        try:
            yield self._told.get(timeout=_PATIENCE_SECONDS)
            while True:
                yield self._told.get_nowait()
        except queue.Empty:
            return

    def _run(self, parts: Sequence[Part], threads: int) -> None:
        """One call of the library, in a thread of its own."""
        names = self._model.vocabulary
        try:
            if parts[0].job.request.decoding.num_beams > 1:
                search(self._translator, parts, names, self._told.put)
            elif self._is_seeded(parts[0]):
                translator = self._open(threads=threads)
                seed(translator, parts[0], names)
                write(translator, parts, names, self._told.put)
            else:
                write(self._translator, parts, names, self._told.put)
            if not all(part.is_done for part in parts):
                raise RuntimeError("an output was not written to its end")
        except Exception as error:
            for part in parts:
                if not part.is_done:
                    self._told.put(Failed(part.job.ticket, _ours(error)))
        finally:
            self._told.put(threading.current_thread())


def _default_threads() -> int:
    """As many threads as the library would have by itself, were it not for its bound of four."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else num_cores()


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
