"""The engine on torch: requests come at any time and share the steps of one decoder.

Each step writes a token for every request that runs; those that wait are taken in between steps, in the
order in which they came, as soon as their tokens fit beside the running ones. Knows nothing of HTTP, files or
tasks.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError, RamekinError, UsageError
from ramekin.infer.continuous_batch import ContinuousBatch
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.form_states import AbstractState
from ramekin.infer.forms import form_state
from ramekin.infer.layers import Layers
from ramekin.infer.linear import Packed
from ramekin.infer.rank import rank
from ramekin.infer.ready import check_beams, check_inputs, refuse_fp16, start_token
from ramekin.infer.request import Answered, Event, Failed, Form, Output, Request, Wrote
from ramekin.infer.writing import AbstractWriting, Line, Stops, begin
from ramekin.tensors.tokenizer import EOS_ID, PAD_ID, has_unknown, token_ids
from ramekin.tensors.written import TextStream, cut_at_stop, written_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["TorchEngine"]


@final
@dataclass(slots=True, eq=False)
class _Job:
    """A request on its way."""

    ticket: int
    request: Request
    form: AbstractState | None
    streams: list[TextStream]
    """One an output, if they are told as they get longer."""
    told: list[int]
    """How many tokens of each have been told."""
    writing: AbstractWriting | None = None

    @property
    def cost(self) -> int:
        """Tokens that it may take."""
        request = self.request
        return len(request.input_ids) + request.decoding.num_rows * request.max_new_tokens


@final
class TorchEngine(AbstractEngine):
    """A model that writes and ranks, in fp32 or bf16, on a CPU or a GPU.

    Args:
        model: an encoder-decoder of the T5 family; it is put into evaluation mode and is the engine's until
            it is closed. On a CPU the decoder's weights are held twice, once in the layout that is fastest.
        tokenizer: of the model.
        batch_tokens: tokens of all running requests together, of inputs and of all outputs at their longest;
            a request that alone has more runs alone. It bounds memory as in `generate.decode`.
        packed: where those copies are kept, for models that share tensors; None: for this one alone.

    Raises:
        UsageError: `batch_tokens` is below 1.
        WeightsError: the model is not of the T5 family, its weights are fp16, or it has no start token.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerFast",
        *,
        batch_tokens: int,
        packed: Packed | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise UsageError(
                "an engine runs a request at least",
                where="batch_tokens",
                expected=">= 1",
                got=str(batch_tokens),
            )
        refuse_fp16(model)
        self._model, self._tokenizer, self._batch_tokens = model.eval(), tokenizer, batch_tokens
        self._layers = Layers(model, packed=Packed() if packed is None else packed)
        self._start_id = start_token(model)
        self._tickets = count()
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._form: tuple[Form, AbstractState] | None = None
        self._batch = self._begun()

    def add(self, request: Request, *, streams: bool = False) -> int:  # noqa: D102
        self._check(request)
        form = None if request.form is None else self._form_state(request.form)
        outputs = request.decoding.num_samples
        texts = [TextStream(self._tokenizer, request.stop) for _ in range(outputs)] if streams else []
        job = _Job(next(self._tickets), request, form, texts, [0] * outputs)
        self._waiting.append(job)
        return job.ticket

    def cancel(self, ticket: int) -> None:  # noqa: D102
        self._waiting = deque(job for job in self._waiting if job.ticket != ticket)
        for job in self._running:
            if job.ticket == ticket and job.writing is not None:
                self._batch.drop(job.writing)
        self._running = [job for job in self._running if job.ticket != ticket]

    def step(self) -> list[Event]:  # noqa: D102
        try:
            self._admit()
            self._batch.step()
        except RamekinError as error:  # the model's own, such as logits that are not finite: nobody's alone
            failed: list[Event] = [Failed(job.ticket, error) for job in self._running]
            self._running, self._batch = [], self._begun()
            return failed
        except BaseException:  # memory that is not there, for one: what was under way is lost, the engine not
            self._running, self._batch = [], self._begun()
            raise
        events: list[Event] = []
        going: list[_Job] = []
        for job in self._running:
            assert job.writing is not None
            stuck = self._batch.failures.pop(job.writing, None)
            if stuck is not None:
                events.append(Failed(job.ticket, stuck))
                continue
            events += self._new_pieces(job, job.writing.lines)
            if job.writing.is_over:
                events.append(Answered(job.ticket, self._outputs(job.request, job.writing.lines)))
            else:
                going.append(job)
        self._running = going
        return events

    def rank(  # noqa: D102
        self, inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        return rank(self._model, inputs, options, batch_tokens=self._batch_tokens)

    @property
    def load(self) -> Load:  # noqa: D102
        return Load(len(self._running), len(self._waiting), sum(job.cost for job in self._running))

    @property
    def cross_bytes(self) -> int:
        """The memory of cross-attention's keys and values: one copy an input."""
        return self._batch.cross_bytes

    @property
    def pair_bytes(self) -> int:  # noqa: D102
        return 0  # attention is laid out in parts, see `infer.relative_attention`

    def close(self) -> None:  # noqa: D102
        self._waiting.clear()
        self._running = []
        self._batch = self._begun()

    def _begun(self) -> ContinuousBatch:
        return ContinuousBatch(self._layers, start_id=self._start_id, pad_id=PAD_ID)

    def _check(self, request: Request) -> None:
        check_inputs([request.input_ids])
        most = self._layers.vocab_size
        wrong = [token for token in (*request.input_ids, *request.prefix_ids) if not 0 <= token < most]
        if wrong:
            raise DataError("the model does not know a token", expected=f"0 to {most - 1}", got=str(wrong[0]))
        check_beams(request.decoding.num_beams, vocab_size=most)
        for stop in request.stop:
            ids = token_ids(self._tokenizer, [stop])[0]
            if has_unknown(ids) or stop.strip(" ") != stop.strip() or not (ids or stop.isspace()):
                raise UsageError(
                    "a stop string can never come up",
                    where=repr(stop),
                    expected="characters that the model can write: T5's vocabulary has no line break",
                    fix="leave it out, or stop at something else",
                )

    def _form_state(self, form: Form) -> AbstractState:
        """The beginning of a form; compiled once for the requests that have it, one after the other."""
        if self._form is None or self._form[0] != form:
            state = form_state(
                form,
                self._tokenizer,
                vocab_size=self._layers.vocab_size,
                eos_id=EOS_ID,
                device=self._layers.device,
            )
            self._form = form, state
        return self._form[1]

    def _admit(self) -> None:
        """Take in those who wait, in their order, as far as there is room."""
        room = self._batch_tokens - sum(job.cost for job in self._running)
        new: list[_Job] = []
        while self._waiting and (self._waiting[0].cost <= room or not (self._running or new)):
            job = self._waiting.popleft()
            job.writing = begin(job.request, eos_id=EOS_ID, stops=self._stops(job.request), form=job.form)
            room -= job.cost
            new.append(job)
        self._running += new
        if new:
            self._batch.admit(
                [job.request.input_ids for job in new],
                [job.writing for job in new if job.writing is not None],
                max_new_tokens=max(job.request.max_new_tokens for job in new),
                batch_tokens=self._batch_tokens,
            )

    def _stops(self, request: Request) -> Stops | None:
        if not request.stop:
            return None
        return lambda ids: cut_at_stop(written_text(self._tokenizer, ids), request.stop) is not None

    def _new_pieces(self, job: _Job, lines: Sequence[Line]) -> list[Wrote]:
        """What the outputs of a request that streams have more than was told."""
        pieces = []
        for number, (line, text) in enumerate(zip(lines, job.streams, strict=False)):
            start, job.told[number] = job.told[number], len(line.tokens)
            if start == len(line.tokens):
                continue
            new = line.tokens[start:]
            pieces.append(
                Wrote(
                    job.ticket,
                    number,
                    text.add(new, is_last=line.ending is not None),
                    tuple(new),
                    tuple(line.log_probs[start:]),
                    tuple(line.alternatives[start:]),
                    line.ending,
                )
            )
        return pieces

    def _outputs(self, request: Request, lines: Sequence[Line]) -> tuple[Output, ...]:
        return tuple(self._output(request, line) for line in lines)

    def _output(self, request: Request, line: Line) -> Output:
        assert line.ending is not None, "an output that is over has an end"
        text = written_text(self._tokenizer, line.tokens)
        cut = cut_at_stop(text, request.stop)
        return Output(
            text if cut is None else cut,
            tuple(line.tokens),
            line.ending,
            tuple(line.log_probs),
            tuple(line.alternatives),
        )
