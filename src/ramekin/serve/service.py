"""The models of a server with their workers, and whether it still takes requests. Knows nothing of HTTP."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from ramekin.errors import UsageError
from ramekin.infer.engine import AbstractEngine
from ramekin.registry import unknown_name
from ramekin.serve.form_check import FormCheck
from ramekin.serve.limits import Limits
from ramekin.serve.metrics import Metrics
from ramekin.serve.refusals import RefusalError, refuse
from ramekin.serve.vocabulary import Vocabulary
from ramekin.serve.worker import Worker

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Model", "Served", "Service"]


@final
@dataclass(frozen=True, slots=True)
class Model:
    """What is served under a name."""

    name: str
    engine: AbstractEngine
    tokenizer: "PreTrainedTokenizerFast"
    """Nobody else's: not the engine's, which is used from another thread."""
    input_eos: bool = True
    """Whether prompts end with `</s>`: T5's and Flan-T5's do, T0's do not."""
    parent: str | None = None
    """Of an adapter, its base."""
    created: int = field(default_factory=lambda: int(time.time()))


@final
@dataclass(frozen=True, slots=True)
class Served:
    """A model at work."""

    model: Model
    worker: Worker
    vocabulary: Vocabulary
    forms: FormCheck


@final
class Service:
    """Models at work, within limits.

    Args:
        models: of different names.
        limits: of each request.

    Raises:
        UsageError: there is no model, or a name twice.
    """

    def __init__(self, models: Sequence[Model], limits: Limits | None = None) -> None:
        self.limits: Final = limits or Limits()
        self.metrics: Final = Metrics()
        self.models: Final[dict[str, Served]] = {}
        self.is_stopping = False
        self.open_requests = 0
        self.metrics.open.set_function(lambda: self.open_requests)
        if not models:
            raise UsageError("there is no model to serve", fix="model=M")
        forms = FormCheck(seconds=self.limits.form_seconds)
        for model in models:
            if model.name in self.models:
                raise UsageError("two models have one name", where=model.name, fix="names=[…]")
            worker = Worker(
                model.engine,
                name=model.name,
                queue_size=self.limits.queue,
                seconds=self.limits.seconds,
            )
            self.models[model.name] = Served(model, worker, Vocabulary(model.tokenizer), forms)
            _watch(self.metrics, model.name, worker)

    def start(self) -> None:
        """Start the engines' threads; their news come to the running event loop."""
        for served in self.models.values():
            served.worker.start()

    @property
    def is_live(self) -> bool:
        """Whether all engines are at work."""
        return all(served.worker.is_alive for served in self.models.values())

    @property
    def is_left_behind(self) -> bool:
        """Whether an engine could not be ended."""
        return any(served.worker.is_left_behind for served in self.models.values())

    def named(self, name: str) -> Served:
        """The model of a name.

        Raises:
            RefusalError: there is none.
        """
        if name not in self.models:
            said = unknown_name("model", name[:80], self.models)
            raise RefusalError(404, said, param="model", code="model_not_found")
        return self.models[name]

    def refuse_if_stopping(self) -> None:
        """Refuse what comes while the server finishes what it has begun.

        Raises:
            RefusalError: it does.
        """
        if self.is_stopping:
            raise self.stopping()

    def stopping(self) -> RefusalError:
        """What is said to those who are not answered because the server stops."""
        return refuse(503, "the server is stopping", fix="try again", retry_after=self.limits.grace_seconds)

    async def drain(self) -> int:
        """Take nothing more, and finish what is under way, or give it up when the grace time is over.

        Returns:
            How many pieces of work were given up.
        """
        self.is_stopping = True
        try:
            async with asyncio.timeout(self.limits.grace_seconds):
                while self.open_requests:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return self.give_up()
        return 0

    def give_up(self) -> int:
        """Take nothing more, and give up what is under way; returns how many pieces of work."""
        self.is_stopping = True
        return sum(served.worker.cancel_all() for served in self.models.values())

    async def close(self) -> None:
        """End all threads."""
        self.is_stopping = True
        for served in self.models.values():
            await served.worker.close()
            served.vocabulary.close()


def _watch(metrics: Metrics, name: str, worker: Worker) -> None:
    metrics.watch(
        name,
        running=lambda: worker.running,
        waiting=lambda: worker.waiting,
        tokens=lambda: worker.tokens,
    )
