"""The training loop: exact steps, saved states, exact resume.

The gradient of a step is the sum of the token losses of its examples over the number of their target
tokens, however they are cut into micro-batches. Every random draw is a function of the seed and the
position: the examples of a step of (seed, step), dropout of (seed, step, micro-batch). So a run resumed
from a saved state is bit-identical to one that was never stopped (one process, one thread count, CPU).

The loop knows nothing of tasks, recipes' files or evaluation: `on_eval` is called and its numbers kept.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from ramekin.errors import StoppedError, UsageError, WeightsError
from ramekin.files import folder_lock
from ramekin.tensors.encode import Encoded
from ramekin.train.events import EvalDone, Notice, Progress, StepDone, TrainEvent
from ramekin.train.feed import Feed, Listed
from ramekin.train.gradient import Cut, Measured, MicroBatch, clip, cut_step, measure, within_memory
from ramekin.train.identity import identity_of, refuse_difference
from ramekin.train.interrupt import StopRequest, stop_on_signals
from ramekin.train.journal import Journal
from ramekin.train.nonfinite import nonfinite_error
from ramekin.train.objective import ObjectiveRecipe, build_objective
from ramekin.train.optimizers import build_optimizer, read_state, trainable_parameters, write_state
from ramekin.train.outcome import TrainReport
from ramekin.train.placement import Placement, place
from ramekin.train.recipe import Recipe
from ramekin.train.schedule import learning_rate_at
from ramekin.train.selection import best_evaluation, improves, is_exhausted
from ramekin.train.state import (
    Saved,
    load_best,
    load_newest,
    remove_unfinished,
    save_best,
    save_state,
    state_folders,
)
from ramekin.train.tally import StepCount, Tally, by_task, tally_from_json, tally_to_json
from ramekin.train.team import AbstractTeam, team_of
from ramekin.weights.seq2seq import parameter_counts, set_dropout

__all__ = ["OnEval", "TrainReport", "finetune"]

OnEval = Callable[[Any, int], Mapping[str, float]]
"""From the model (in eval mode) and the number of steps taken to metrics by name."""


def finetune(
    model: Any,
    data: Feed | Sequence[Encoded],
    recipe: Recipe,
    *,
    run_dir: Path,
    resume: bool,
    objective: ObjectiveRecipe | None = None,
    on_eval: OnEval | None = None,
    progress: Progress | None = None,
    device: str | None = None,
) -> TrainReport:
    """Train the model in place; afterwards it holds the final weights and its former mode.

    Of several processes (`accelerate launch`) each calls this with the same arguments; the first writes
    files, evaluates and tells.

    Args:
        model: a seq2seq model in fp32 with its starting weights, or a PEFT model around one.
        data: the training examples, or what gives those of each step.
        recipe: the numbers.
        run_dir: holds `events.jsonl` and `state/`; locked while training.
        resume: continue the unfinished run in `run_dir`, if there is one; a finished one returns at once.
        objective: what is learned from an example; None: its targets.
        on_eval: called at the recipe's turns and at the end.
        progress: told of every step, evaluation and notice.
        device: where to train; None is where the model is, "auto" asks Accelerate.

    Raises:
        UsageError: the folder holds a run and `resume` is false, or a run of another recipe, data or start,
            or the evaluation lacks the metric that the recipe selects by.
        DataError: there are no examples.
        WeightsError: a loss, gradient or weight is not finite, or every saved state is damaged.
        ResourceError: the disk is full (the last saved state is intact), or the device's memory too small.
        StoppedError: SIGTERM or Ctrl-C, after the current step was saved.
        LockedError: another process trains in `run_dir`.
    """
    feed: Feed = Listed(data) if isinstance(data, Sequence) else data
    _refuse_half_precision(model)
    run_dir = Path(run_dir)
    was_training = model.training
    placement = place(recipe.precision, device=device or next(model.parameters()).device)
    team = team_of(placement.device)
    lock = folder_lock(run_dir) if team.is_first else contextlib.nullcontext()
    with lock, stop_on_signals() as stop, torch.random.fork_rng(devices=[]):
        model.to(placement.device)
        learned = objective or ObjectiveRecipe()
        run = _Run(model, feed, recipe, learned, placement, team, run_dir, on_eval, progress, stop)
        try:
            run.start(resume=resume)
            with _dropout(model, recipe.dropout):
                run.steps()
            run.take_best()
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
        feed: Feed,
        recipe: Recipe,
        objective: ObjectiveRecipe,
        placement: Placement,
        team: AbstractTeam,
        run_dir: Path,
        on_eval: OnEval | None,
        progress: Progress | None,
        stop: StopRequest,
    ) -> None:
        self.model, self.feed, self.recipe, self.placement = model, feed, recipe, placement
        self.team, self.run_dir, self.stop = team, run_dir, stop
        self.on_eval, self.progress = on_eval, progress if team.is_first else None
        self.objective = build_objective(objective)
        self.total_steps = recipe.total_steps(feed.epoch_examples)
        self.steps_per_epoch = recipe.steps_per_epoch(feed.epoch_examples)
        self.parameters = trainable_parameters(model)
        self.optimizer = build_optimizer(model, recipe)
        self.identity = identity_of(model, feed.identity, recipe, asdict(objective))
        self.max_tokens = recipe.micro_batch_tokens
        self.tally = Tally()
        self.first_step = 0
        self.finished = False
        self.notices: tuple[str, ...] = ()
        self.journal: Journal | None = None
        self.started = time.perf_counter()

    # -- beginning and end

    @property
    def states(self) -> Path:
        """Where states are saved."""
        return self.run_dir / "state"

    def start(self, *, resume: bool) -> None:
        """Continue from the newest saved state, or begin."""
        if not resume and state_folders(self.states):
            raise UsageError(
                "the folder holds a run already",
                where=str(self.run_dir),
                fix="add resume=auto to continue it, or choose another output",
            )
        saved = load_newest(self.states)
        if saved is not None:
            refuse_difference(saved.record["identity"], self.identity, where=str(self.run_dir))
            self._restore(saved)
        self.first_step = self.tally.step
        self.team.wait()  # until all have read what the first may now remove
        with self.team.first_alone() as is_first:
            if is_first:
                remove_unfinished(self.states, newest=saved.folder if saved else None)
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

    def take_best(self) -> None:
        """Give the model the weights of the best evaluation, if the recipe selects by one."""
        best = best_evaluation(self.tally.evals, self.recipe)
        if best is not None and best.step != self.tally.step:
            self._set_weights(load_best(self.states, best.step))

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
            padding_share=1 - tally.computed_tokens / tally.padded_tokens,
            final_loss=table[-1].loss,
            epochs=table,
            evals=tally.evals,
            seconds=tally.seconds,
            trainable_parameters=counts.trainable,
            parameters=counts.all,
            precision=self.placement.precision,
            device=str(self.placement.device),
            state=state_folders(self.states)[-1],
            notices=self.notices,
            tasks=tally.tasks,
            best=best_evaluation(tally.evals, self.recipe),
            stopped_early=tally.step < self.total_steps,
        )

    def _restore(self, saved: Saved) -> None:
        if saved.weights.keys() != self.parameters.keys():
            raise WeightsError("the saved state is of another model", where=str(saved.folder))
        self._set_weights(saved.weights)
        write_state(self.optimizer, self.parameters, saved.optimizer)
        self.tally = tally_from_json(saved.record["tally"])
        self.max_tokens = saved.record["max_tokens"]
        self.finished = saved.record["finished"]

    def _set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])

    # -- steps

    def steps(self) -> None:
        """Take the steps that are left, with logging, evaluation and saving at their turns."""
        self.started = time.perf_counter()
        self.model.train()
        if self.tally.step and not self.finished:
            self._evaluate_if_due()  # a stop asked for before this evaluation left it to us
        while self.tally.step < self.total_steps and not is_exhausted(self.tally.evals, self.recipe):
            self._step()
            if not self._is_stopped():
                self._evaluate_if_due()
            every = self.recipe.checkpoint_every
            due = every is not None and self.tally.step % every == 0
            if self._is_stopped():
                self._save(finished=False)
                raise self._stopped()
            if due and self.tally.step < self.total_steps:
                self._save(finished=False)
        if not self.finished:
            self._save(finished=True)
        if self._is_stopped():
            raise self._stopped()

    def _is_stopped(self) -> bool:
        return self.team.any(bool(self.stop))

    def _stopped(self) -> StoppedError:
        return StoppedError(
            f"stopped by {self.stop.signal_name or 'a signal'} after step {self.tally.step}; "
            "the state is saved",
            where=str(self.run_dir),
            fix="run the same command again to continue",
        )

    def _step(self) -> None:
        """One optimizer step on one global batch."""
        began = time.perf_counter()
        recipe, step = self.recipe, self.tally.step
        learning_rate = learning_rate_at(recipe, step, self.total_steps)
        examples = self.feed.examples(step, seed=recipe.seed, global_batch=recipe.global_batch)
        cut = cut_step(examples, self.team, max_tokens=self.max_tokens)
        done = self._accumulate(cut)
        parameters = list(self.parameters.values())
        self.team.add_gradients(parameters)
        measured = measure(done, parameters, cut, self.placement, self.team, self.objective.parts)
        if not (math.isfinite(measured.loss) and math.isfinite(measured.grad_norm)):
            raise self._nonfinite(cut, measured)
        if recipe.max_grad_norm is not None:
            clip(parameters, max_norm=recipe.max_grad_norm, norm=measured.grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._account(cut, measured, learning_rate, time.perf_counter() - began)

    def _accumulate(self, cut: Cut) -> list[MicroBatch]:
        done, enough = within_memory(
            self.model,
            self.objective,
            cut,
            self.placement,
            seed=self.recipe.seed,
            step=self.tally.step,
            max_tokens=self.max_tokens,
        )
        lowest = self.team.lowest(enough)
        if lowest < self.max_tokens:
            self._notice(f"out of memory: micro-batches of {lowest} tokens from now on; the step stays")
            self.max_tokens = lowest
        return done

    def _account(self, cut: Cut, measured: Measured, learning_rate: float, seconds: float) -> None:
        """Enter a step into the tally and tell of it."""
        epoch, index = divmod(self.tally.step, self.steps_per_epoch)
        rows = (
            (item.provenance.task, len(item.target_ids), loss)
            for item, loss in zip(cut.examples, measured.by_example, strict=True)
        )
        self.tally = self.tally.after_step(
            cut.count,
            summed_loss=measured.loss * cut.count.target_tokens,
            seconds=seconds,
            tasks=by_task(rows),
            parts=measured.parts,
        )
        self._log(epoch, cut.count, measured, learning_rate, seconds)
        if index + 1 == self.steps_per_epoch:
            self.tally = self.tally.after_epoch()

    def _nonfinite(self, cut: Cut, measured: Measured) -> WeightsError:
        states = state_folders(self.states)
        kept = f"the last good state is {states[-1]}" if states else "no state was saved yet"
        return nonfinite_error(self.tally.step + 1, self.model, cut.examples, measured, last_state=kept)

    # -- telling, evaluating, saving

    def _log(
        self, epoch: int, count: StepCount, measured: Measured, learning_rate: float, seconds: float
    ) -> None:
        tally, step = self.tally, self.tally.step
        if step % self.recipe.log_every == 0 or step == self.total_steps:
            tokens = tally.window_tokens
            several = len(tally.tasks) > 1
            tasks = {name: [each.loss, each.target_tokens] for name, each in tally.window_tasks.items()}
            self._write(
                "step",
                epoch=epoch,
                loss=tally.window_loss / tokens,
                grad_norm=measured.grad_norm,
                learning_rate=learning_rate,
                target_tokens=tokens,
                padding_share=round(count.padding_share, 6),
                seconds=round(seconds, 6),
                **({"tasks": tasks} if several else {}),
                **{name: value / tokens for name, value in tally.window_parts.items()},
            )
            self.tally = tally.after_log()
        if self.progress is not None:
            self.progress(self._step_done(epoch, count, measured, learning_rate))

    def _step_done(self, epoch: int, count: StepCount, measured: Measured, learning_rate: float) -> StepDone:
        tally, elapsed = self.tally, time.perf_counter() - self.started
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
            padding_share=count.padding_share,
            eta_seconds=(self.total_steps - tally.step) * elapsed / steps,
            parts=measured.parts,
        )

    def _evaluate_if_due(self) -> None:
        step = self.tally.step
        due = step == self.total_steps or self.recipe.evaluates_after(step, self.feed.epoch_examples)
        if self.on_eval is None or not due or any(result.step == step for result in self.tally.evals):
            return
        self.model.eval()
        metrics: Mapping[str, float] = {}
        # Nothing of the run hangs on the global random state, but what `on_eval` draws should not either.
        with self.team.first_alone() as is_first, torch.random.fork_rng(devices=[]), torch.no_grad():
            if is_first:
                metrics = {name: float(value) for name, value in self.on_eval(self.model, step).items()}
        metrics = self.team.from_first(metrics)
        self.model.train()
        result = EvalDone(step, metrics, improves(metrics, self.tally.evals, self.recipe))
        if result.is_best and self.team.is_first:
            save_best(self.states, step, weights=self.parameters)
        self.tally = self.tally.after_eval(result)
        best = {"best": True} if result.is_best else {}
        self._write("eval", metrics=metrics, **best)
        self._tell(result)

    def _save(self, *, finished: bool) -> None:
        record = {
            "tally": tally_to_json(self.tally),
            "identity": self.identity,
            "finished": finished,
            "max_tokens": self.max_tokens,
            "torch": torch.__version__,
        }
        with self.team.first_alone() as is_first:
            if is_first:
                best = best_evaluation(self.tally.evals, self.recipe)
                save_state(
                    self.states,
                    self.tally.step,
                    weights=self.parameters,
                    optimizer=read_state(self.optimizer, self.parameters),
                    record=record,
                    best_step=best.step if best else None,
                )
        self.finished = finished

    def _notice(self, message: str) -> None:
        self.notices = (*self.notices, message)
        self._write("notice", message=message)
        self._tell(Notice(self.tally.step, message))

    def _write(self, event: str, **values: object) -> None:
        if self.journal is not None:
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
