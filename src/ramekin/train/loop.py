"""The training loop: exact steps, saved states, exact resume.

The gradient of a step is the sum of the token losses of its examples over the number of their target
tokens, however they are cut into micro-batches. Every random draw is a function of the seed and the
position: the order of an epoch of (seed, epoch), dropout of (seed, step, micro-batch). So a run resumed
from a saved state is bit-identical to one that was never stopped (one process, one thread count, CPU).

The loop knows nothing of tasks, recipes' files or evaluation: `on_eval` is called and its numbers kept.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from ramekin.errors import DataError, StoppedError, UsageError, WeightsError
from ramekin.files import folder_lock
from ramekin.tensors.encode import Encoded
from ramekin.tensors.plan import Step, plan_epoch
from ramekin.train.events import EvalDone, Notice, Progress, StepDone, TrainEvent
from ramekin.train.gradient import MicroBatch, accumulate, clip, loss_and_norm
from ramekin.train.identity import identity_of, refuse_difference
from ramekin.train.interrupt import StopRequest, stop_on_signals
from ramekin.train.journal import Journal
from ramekin.train.nonfinite import nonfinite_error
from ramekin.train.objective import OBJECTIVES
from ramekin.train.optimizers import build_optimizer, read_state, trainable_parameters, write_state
from ramekin.train.outcome import TrainReport
from ramekin.train.placement import Placement, place
from ramekin.train.recipe import Recipe
from ramekin.train.schedule import learning_rate_at
from ramekin.train.state import Saved, load_newest, remove_unfinished, save_state, state_folders
from ramekin.train.tally import Tally, tally_from_json, tally_to_json
from ramekin.weights.seq2seq import parameter_counts, set_dropout

__all__ = ["OnEval", "TrainReport", "finetune"]

OnEval = Callable[[Any, int], Mapping[str, float]]
"""From the model (in eval mode) and the number of steps taken to metrics by name."""


def finetune(
    model: Any,
    encoded: Sequence[Encoded],
    recipe: Recipe,
    *,
    run_dir: Path,
    resume: bool,
    on_eval: OnEval | None = None,
    progress: Progress | None = None,
    objective: str = "direct",
    device: str | None = None,
) -> TrainReport:
    """Train the model in place; afterwards it holds the final weights and its former mode.

    Args:
        model: a seq2seq model in fp32 with its starting weights, or a PEFT model around one.
        encoded: the training examples.
        recipe: the numbers.
        run_dir: holds `events.jsonl` and `state/`; locked while training.
        resume: continue the unfinished run in `run_dir`, if there is one; a finished one returns at once.
        on_eval: called every `recipe.eval_every` steps and at the end.
        progress: told of every step, evaluation and notice.
        objective: a name in `OBJECTIVES`.
        device: where to train; None is where the model is, "auto" asks Accelerate.

    Raises:
        UsageError: the folder holds a run and `resume` is false, or a run of another recipe, data or start.
        DataError: there are no examples.
        WeightsError: a loss, gradient or weight is not finite, or every saved state is damaged.
        ResourceError: the disk is full; the last saved state is intact.
        StoppedError: SIGTERM or Ctrl-C, after the current step was saved.
        LockedError: another process trains in `run_dir`.
    """
    items = tuple(encoded)
    if not items:
        raise DataError("there are no examples to train on", expected="at least one", got="none")
    _refuse_half_precision(model)
    run_dir = Path(run_dir)
    was_training = model.training
    with folder_lock(run_dir), stop_on_signals() as stop, torch.random.fork_rng(devices=[]):
        placement = place(recipe.precision, device=device or next(model.parameters()).device)
        model.to(placement.device)
        run = _Run(model, items, recipe, placement, run_dir, objective, on_eval, progress, stop)
        try:
            run.start(resume=resume)
            with _dropout(model, recipe.dropout):
                run.steps()
            return run.report()
        finally:
            run.close()
            model.train(was_training)


@final
class _Run:
    """One call of `finetune`: what its steps share."""

    def __init__(
        self,
        model: Any,
        items: tuple[Encoded, ...],
        recipe: Recipe,
        placement: Placement,
        run_dir: Path,
        objective: str,
        on_eval: OnEval | None,
        progress: Progress | None,
        stop: StopRequest,
    ) -> None:
        self.model, self.items, self.recipe, self.placement = model, items, recipe, placement
        self.run_dir, self.on_eval, self.progress, self.stop = run_dir, on_eval, progress, stop
        self.objective = OBJECTIVES[objective]
        self.total_steps = recipe.total_steps(len(items))
        self.steps_per_epoch = recipe.steps_per_epoch(len(items))
        self.parameters = trainable_parameters(model)
        self.optimizer = build_optimizer(model, recipe)
        self.identity = identity_of(model, items, recipe, objective)
        self.lengths = [item.lengths for item in items]
        self.plan = lru_cache(maxsize=1)(self._plan)
        self.tally = Tally()
        self.first_step = 0
        self.finished = False
        self.notices: tuple[str, ...] = ()
        self.journal: Journal | None = None
        self.started = time.perf_counter()

    # -- beginning and end

    def start(self, *, resume: bool) -> None:
        """Continue from the newest saved state, or begin."""
        root = self.run_dir / "state"
        if not resume and state_folders(root):
            raise UsageError(
                "the folder holds a run already",
                where=str(self.run_dir),
                fix="add resume=auto to continue it, or choose another output",
            )
        saved = load_newest(root)
        if saved is not None:
            refuse_difference(saved.record["identity"], self.identity, where=str(self.run_dir))
            self._restore(saved)
        remove_unfinished(root, newest=saved.folder if saved else None)
        self.first_step = self.tally.step
        self.journal = Journal(self.run_dir / "events.jsonl", after_step=self.tally.step)
        for message in (self.placement.notice, *(saved.passed_over if saved else ())):
            if message:
                self._notice(message)
        if saved is not None and not self.finished:
            self._notice(f"continuing after step {self.tally.step}")

    def close(self) -> None:
        """Close what is open."""
        if self.journal is not None:
            self.journal.close()

    def report(self) -> TrainReport:
        """What was done."""
        tally, counts = self.tally, parameter_counts(self.model)
        table = tally.loss_table()
        return TrainReport(
            steps=tally.step,
            steps_this_time=tally.step - self.first_step,
            examples=tally.examples,
            input_tokens=tally.input_tokens,
            target_tokens=tally.target_tokens,
            padding_share=1 - (tally.input_tokens + tally.target_tokens) / tally.padded_tokens,
            final_loss=table[-1].loss,
            epochs=table,
            evals=tally.evals,
            seconds=tally.seconds,
            trainable_parameters=counts.trainable,
            parameters=counts.all,
            precision=self.placement.precision,
            device=str(self.placement.device),
            state=state_folders(self.run_dir / "state")[-1],
            notices=self.notices,
        )

    def _restore(self, saved: Saved) -> None:
        if saved.weights.keys() != self.parameters.keys():
            raise WeightsError("the saved state is of another model", where=str(saved.folder))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(saved.weights[name])
        write_state(self.optimizer, self.parameters, saved.optimizer)
        self.tally = tally_from_json(saved.record["tally"])
        self.finished = saved.record["finished"]

    # -- steps

    def steps(self) -> None:
        """Take the steps that are left, with logging, evaluation and saving at their turns."""
        self.started = time.perf_counter()
        self.model.train()
        if self.tally.step and not self.finished:
            self._evaluate_if_due()  # a stop asked for before this evaluation left it to us
        while self.tally.step < self.total_steps:
            self._step()
            if not self.stop:
                self._evaluate_if_due()
            every = self.recipe.checkpoint_every
            due = every is not None and self.tally.step % every == 0
            if self.stop:
                self._save(finished=False)
                raise self._stopped()
            if due and self.tally.step < self.total_steps:
                self._save(finished=False)
        if not self.finished:
            self._save(finished=True)
        if self.stop:
            raise self._stopped()

    def _stopped(self) -> StoppedError:
        return StoppedError(
            f"stopped by {self.stop.signal_name} after step {self.tally.step}; the state is saved",
            where=str(self.run_dir),
            fix="run the same command again to continue",
        )

    def _step(self) -> None:
        """One optimizer step on one global batch."""
        began = time.perf_counter()
        epoch, index = divmod(self.tally.step, self.steps_per_epoch)
        plan = self.plan(epoch)[index]
        learning_rate = learning_rate_at(self.recipe, self.tally.step, self.total_steps)
        batches = [[self.items[index] for index in indices] for indices in plan.micro_batches]
        count, done = accumulate(
            self.model, self.objective, batches, self.placement, seed=self.recipe.seed, step=self.tally.step
        )
        loss, grad_norm = loss_and_norm(done, self.parameters.values(), count.target_tokens)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise self._nonfinite(done, loss, grad_norm)
        if self.recipe.max_grad_norm is not None:
            clip(self.parameters.values(), max_norm=self.recipe.max_grad_norm, norm=grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        self.tally = self.tally.after_step(count, summed_loss=loss * count.target_tokens, seconds=seconds)
        self._log(epoch, loss, grad_norm, learning_rate, seconds)
        if index + 1 == self.steps_per_epoch:
            self.tally = self.tally.after_epoch()

    def _nonfinite(self, done: list[MicroBatch], loss: float, grad_norm: float) -> WeightsError:
        states = state_folders(self.run_dir / "state")
        kept = f"the last good state is {states[-1]}" if states else "no state was saved yet"
        return nonfinite_error(
            self.tally.step + 1, self.model, done, loss=loss, grad_norm=grad_norm, last_state=kept
        )

    def _plan(self, epoch: int) -> tuple[Step, ...]:
        recipe = self.recipe
        return plan_epoch(
            self.lengths,
            seed=recipe.seed,
            epoch=epoch,
            global_batch=recipe.global_batch,
            micro_batch_tokens=recipe.micro_batch_tokens,
        )

    # -- telling, evaluating, saving

    def _log(self, epoch: int, loss: float, grad_norm: float, learning_rate: float, seconds: float) -> None:
        tally, step = self.tally, self.tally.step
        if step % self.recipe.log_every == 0 or step == self.total_steps:
            self._write(
                "step",
                epoch=epoch,
                loss=tally.window_loss / tally.window_tokens,
                grad_norm=grad_norm,
                learning_rate=learning_rate,
                target_tokens=tally.window_tokens,
                seconds=round(seconds, 6),
            )
            self.tally = tally.after_log()
        if self.progress is not None:
            self.progress(self._step_done(epoch, loss, grad_norm, learning_rate))

    def _step_done(self, epoch: int, loss: float, grad_norm: float, learning_rate: float) -> StepDone:
        tally, elapsed = self.tally, time.perf_counter() - self.started
        steps = tally.step - self.first_step
        share = steps / tally.step
        return StepDone(
            step=tally.step,
            total_steps=self.total_steps,
            epoch=epoch,
            loss=loss,
            grad_norm=grad_norm,
            learning_rate=learning_rate,
            examples_per_second=share * tally.examples / elapsed,
            tokens_per_second=share * (tally.input_tokens + tally.target_tokens) / elapsed,
            eta_seconds=(self.total_steps - tally.step) * elapsed / steps,
        )

    def _evaluate_if_due(self) -> None:
        step, every = self.tally.step, self.recipe.eval_every
        due = step == self.total_steps or (every is not None and step % every == 0)
        if self.on_eval is None or not due or any(result.step == step for result in self.tally.evals):
            return
        self.model.eval()
        # Nothing of the run hangs on the global random state, but what `on_eval` draws should not either.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            metrics = {name: float(value) for name, value in self.on_eval(self.model, step).items()}
        self.model.train()
        result = EvalDone(step, metrics)
        self.tally = self.tally.after_eval(result)
        self._write("eval", metrics=metrics)
        self._tell(result)

    def _save(self, *, finished: bool) -> None:
        record = {"tally": tally_to_json(self.tally), "identity": self.identity, "finished": finished}
        save_state(
            self.run_dir / "state",
            self.tally.step,
            weights=self.parameters,
            optimizer=read_state(self.optimizer, self.parameters),
            record={**record, "torch": torch.__version__},
        )
        self.finished = finished

    def _notice(self, message: str) -> None:
        self.notices = (*self.notices, message)
        self._write("notice", message=message)
        self._tell(Notice(self.tally.step, message))

    def _write(self, event: str, **values: object) -> None:
        assert self.journal is not None
        self.journal.write({"event": event, "step": self.tally.step, **values})

    def _tell(self, event: TrainEvent) -> None:
        if self.progress is not None:
            self.progress(event)


@contextlib.contextmanager
def _dropout(model: Any, rate: float | None) -> Iterator[None]:
    """While open, the model's dropout has this rate; None changes nothing."""
    before = model.config.dropout_rate
    if rate is not None:
        set_dropout(model, rate)
    try:
        yield
    finally:
        if rate is not None:
            set_dropout(model, before)


def _refuse_half_precision(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise WeightsError(
                "weights are trained in fp32",
                where=name,
                expected="float32",
                got=str(parameter.dtype),
                fix="load the model in fp32; precision=bf16 computes in bf16 over fp32 weights",
            )
