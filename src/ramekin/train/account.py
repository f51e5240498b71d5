"""The account of a run while it goes on: the tally, the event log, and what a listener is told.

Every process keeps the tally; the first alone has a log and a listener. Knows nothing of models or tensors.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

from ramekin.train.events import EvalDone, Notice, Progress, StepDone, TrainEvent
from ramekin.train.gradient import Cut, Measured
from ramekin.train.journal import Journal
from ramekin.train.recipe import Recipe
from ramekin.train.tally import Tally, TaskLoss, by_task, plain_metrics

__all__ = ["Account"]


@final
class Account:
    """What was done so far, and who hears of it.

    Args:
        recipe: says which steps are logged.
        epoch_examples: examples of one pass.
        progress: told of every step, evaluation and notice; None where nobody listens.
    """

    def __init__(self, recipe: Recipe, *, epoch_examples: int, progress: Progress | None) -> None:
        self.tally = Tally()
        self.notices: tuple[str, ...] = ()
        self.total_steps = recipe.total_steps(epoch_examples)
        self.first_step = 0
        """Steps that were taken before this call."""
        self._steps_per_epoch = recipe.steps_per_epoch(epoch_examples)
        self._log_every, self._packing = recipe.log_every, recipe.packing
        self._progress = progress
        self._journal: Journal | None = None
        self._began = time.perf_counter()

    # -- beginning and end

    def go_on_from(self, tally: Tally) -> None:
        """Continue the account of a saved state."""
        self.tally, self.first_step = tally, tally.step

    def open_log(self, path: Path) -> None:
        """Write events from now on; those of steps that were not kept are removed."""
        # A run that was stopped before an evaluation may have been killed after it, before its next state.
        evaluated = {result.step for result in self.tally.evals}
        self._journal = Journal(path, after_step=self.tally.step, evaluated=evaluated)

    def start_clock(self) -> None:
        """Measure speed from here."""
        self._began = time.perf_counter()

    def close(self) -> None:
        """Close the log."""
        if self._journal is not None:
            self._journal.close()

    # -- entries

    def enter_step(self, cut: Cut, measured: Measured, *, learning_rate: float, seconds: float) -> None:
        """Enter a step that was taken, and tell of it."""
        epoch, index = divmod(self.tally.step, self._steps_per_epoch)
        rows = (
            (item.provenance.task, len(item.target_ids), loss)
            for item, loss in zip(cut.examples, measured.by_example, strict=True)
        )
        tasks = by_task(rows)
        self.tally = self.tally.after_step(
            cut.count,
            summed_loss=measured.loss * cut.count.target_tokens,
            seconds=seconds,
            tasks=tasks,
            parts=measured.parts,
        )
        if self.tally.step % self._log_every == 0 or self.tally.step == self.total_steps:
            self._log_window(epoch, cut, measured, learning_rate, seconds)
            self.tally = self.tally.after_log()
        if self._progress is not None:
            self._tell(self._step_done(epoch, cut, measured, tasks, learning_rate))
        if index + 1 == self._steps_per_epoch:
            self.tally = self.tally.after_epoch()

    def enter_evaluation(self, result: EvalDone) -> None:
        """Enter an evaluation, and tell of it."""
        self.tally = self.tally.after_eval(result)
        best = {"best": True} if result.is_best else {}
        self._write("eval", metrics=plain_metrics(result.metrics), **best)
        self._tell(result)

    def notice(self, message: str) -> None:
        """Keep a sentence for the user, and tell it."""
        self.notices = (*self.notices, message)
        self._write("notice", message=message)
        self._tell(Notice(self.tally.step, message))

    def _log_window(
        self, epoch: int, cut: Cut, measured: Measured, learning_rate: float, seconds: float
    ) -> None:
        """One line for the steps since the last one."""
        tally, tokens = self.tally, self.tally.window_tokens
        tasks = {name: [each.loss, each.target_tokens] for name, each in tally.window_tasks.items()}
        self._write(
            "step",
            epoch=epoch,
            loss=tally.window_loss / tokens,
            grad_norm=measured.grad_norm,
            learning_rate=learning_rate,
            target_tokens=tokens,
            padding_share=round(cut.count.padding_share, 6),
            seconds=round(seconds, 6),
            **({"rows": len(cut.rows)} if self._packing else {}),
            **({"tasks": tasks} if len(tally.tasks) > 1 else {}),
            **{name: value / tokens for name, value in tally.window_parts.items()},
        )

    def _step_done(
        self,
        epoch: int,
        cut: Cut,
        measured: Measured,
        tasks: Mapping[str, TaskLoss],
        learning_rate: float,
    ) -> StepDone:
        tally, elapsed = self.tally, time.perf_counter() - self._began
        steps = tally.step - self.first_step
        share = steps / tally.step
        return StepDone(
            step=tally.step,
            total_steps=self.total_steps,
            epoch=epoch,
            loss=measured.loss,
            grad_norm=measured.grad_norm,
            learning_rate=learning_rate,
            examples_per_second=share * tally.examples / elapsed,
            tokens_per_second=share * tally.computed_tokens / elapsed,
            padding_share=cut.count.padding_share,
            eta_seconds=(self.total_steps - tally.step) * elapsed / steps,
            parts=measured.parts,
            task_losses={name: each.loss for name, each in tasks.items()},
        )

    def _write(self, event: str, **values: object) -> None:
        if self._journal is not None:
            self._journal.write({"event": event, "step": self.tally.step, **values})

    def _tell(self, event: TrainEvent) -> None:
        if self._progress is not None:
            self._progress(event)
