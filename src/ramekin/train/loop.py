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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from ramekin.errors import StoppedError, WeightsError
from ramekin.files import folder_lock
from ramekin.tensors.encode import Encoded
from ramekin.train.account import Account
from ramekin.train.blocks import blocks_as
from ramekin.train.evaluation import OnEval, evaluate, is_due
from ramekin.train.events import EvalDone, Progress
from ramekin.train.faster import faster_on_cpu
from ramekin.train.feed import Feed, Listed
from ramekin.train.gradient import (
    Cut,
    Measured,
    MicroBatch,
    cut_step,
    measure,
    optimizer_memory,
    within_memory,
)
from ramekin.train.identity import identity_of, refuse_strangers
from ramekin.train.interrupt import StopRequest, stop_on_signals
from ramekin.train.launch import join
from ramekin.train.launched import launched_strategy
from ramekin.train.nonfinite import nonfinite_error
from ramekin.train.objective import ObjectiveRecipe, build_objective, refuse_unpackable
from ramekin.train.outcome import TrainReport
from ramekin.train.placement import Placement, place
from ramekin.train.recipe import Recipe
from ramekin.train.saving import Position, States
from ramekin.train.schedule import learning_rate_at, warmup_remark
from ramekin.train.selection import best_evaluation, improves, is_exhausted, refuse_blind
from ramekin.train.strategies import build_strategy, refuse_unfit
from ramekin.train.team import AbstractTeam
from ramekin.weights.seq2seq import parameter_counts, set_dropout

__all__ = ["OnEval", "TrainReport", "finetune"]

SAVE_SECONDS = 600.0
"""The age at which a saved state is followed by the next one where a recipe says no number of steps."""


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
    team: AbstractTeam | None = None,
) -> TrainReport:
    """Train the model in place; afterwards it holds the final weights and its former mode.

    Of several processes (`accelerate launch`) each calls this with the same arguments; the first reads and
    writes files, evaluates and tells.

    Args:
        model: a seq2seq model in fp32 with its starting weights, or a PEFT model around one.
        data: the training examples, or what gives those of each step.
        recipe: the numbers.
        run_dir: holds `events.jsonl` and `state/`; locked while training.
        resume: continue the unfinished run in `run_dir`, if there is one; a finished one returns at once.
        objective: what is learned from an example; None: its targets.
        on_eval: called at the recipe's turns and at the end; the first process's is enough.
        progress: told of every step, evaluation and notice.
        device: where to train; None is where the model is, "auto" a GPU where there is one.
        team: the processes that train together; None: those that were launched together.

    Raises:
        UsageError: the folder holds a run and `resume` is false, or a run of another recipe, data or start,
            or the recipe selects by a metric that the evaluation lacks, or there is none, or the processes
            differ in these, or the model cannot be packed.
        DataError: there are no examples.
        WeightsError: a loss, gradient or weight is not finite, or every saved state is damaged.
        ResourceError: the disk is full (the last saved state is intact), or the device's memory too small.
        StoppedError: SIGTERM or Ctrl-C, after the current step was saved.
        LockedError: another process trains in `run_dir`.
    """
    feed: Feed = Listed(data) if isinstance(data, Sequence) else data
    _refuse_half_precision(model)
    if recipe.packing:
        refuse_unpackable(model)
    was_training = model.training
    asked = device or next(model.parameters()).device
    team = join(asked) if team is None else team
    placement = place(recipe.precision, device=team.device or asked)
    with contextlib.ExitStack() as stack:
        with team.first_alone() as is_first:
            if is_first:
                stack.enter_context(folder_lock(Path(run_dir)))
        stop = stack.enter_context(stop_on_signals())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        learned = objective or ObjectiveRecipe()
        run = _Run(model, feed, recipe, learned, placement, team, Path(run_dir), on_eval, progress, stop)
        stack.callback(run.close, was_training)
        run.start(resume=resume)
        trained = run.strategy.trained
        with run.faster(), _dropout(trained, recipe.dropout), blocks_as(recipe, trained):
            run.steps()
        run.finish()
        return run.report()


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
        self.team, self.run_dir, self.on_eval, self.stop = team, run_dir, on_eval, stop
        identity = identity_of(model, feed.identity, recipe, asdict(objective))
        first_identity = team.from_first(identity)
        with team.together():
            refuse_strangers(first_identity, identity)
            launched = launched_strategy()
            if team.size > 1:
                refuse_unfit(launched, recipe)
        self.strategy = build_strategy(launched, model, recipe, team, placement)
        self.objective = self.strategy.around(build_objective(objective))
        self.states = States(run_dir, identity, self.strategy, team)
        listener = progress if team.is_first else None
        self.account = Account(recipe, epoch_examples=feed.epoch_examples, progress=listener)
        self.evaluates = team.any(on_eval is not None)
        with team.together():
            refuse_blind(recipe, evaluates=self.evaluates)
        self.max_tokens = recipe.micro_batch_tokens
        self.finished = False
        self._saved_at = time.monotonic()

    # -- beginning and end

    def start(self, *, resume: bool) -> None:
        """Continue from the newest saved state, or begin."""
        position, passed_over = self.states.restore(resume=resume)
        if position is not None:
            self.account.go_on_from(position.tally)
            self.max_tokens, self.finished = position.max_tokens, position.finished
        with self.team.first_alone() as is_first:
            if is_first:
                self.account.open_log(self.run_dir / "events.jsonl")
        remark = warmup_remark(self.recipe, self.account.total_steps) if position is None else None
        for message in (self.placement.notice, remark, *passed_over):
            if message:
                self.account.notice(message)
        if position is not None and not self.finished:
            self.account.notice(f"continuing after step {position.tally.step}")

    def faster(self) -> "contextlib.AbstractContextManager[None]":
        """What speeds a whole model up on a CPU; compiled blocks and shards have passes of their own."""
        if self.recipe.compile or self.strategy.in_lockstep:
            return contextlib.nullcontext()
        return faster_on_cpu(self.model, self.placement.device)

    def steps(self) -> None:
        """Take the steps that are left, with evaluation and saving at their turns."""
        self.account.start_clock()
        self.strategy.trained.train()
        total = self.account.total_steps
        self._saved_at = time.monotonic()
        if self.step and not self.finished:
            self._evaluate_if_due()  # a stop asked for before this evaluation left it to us
        while self.step < total and not is_exhausted(self.account.tally.evals, self.recipe):
            self._step()
            if not self._is_stopped():
                self._evaluate_if_due()
            if self._is_stopped():
                self._save(finished=False)
                raise self._stopped()
            if self.step < total and self._is_save_due():
                self._save(finished=False)
        if not self.finished:
            self._save(finished=True)
        if self._is_stopped():
            raise self._stopped()

    def finish(self) -> None:
        """Give the model its final weights: those of the best evaluation, if the recipe selects by one."""
        best = best_evaluation(self.account.tally.evals, self.recipe)
        is_past = best is not None and best.step != self.step
        self.strategy.finish(self.states.best(best.step) if best is not None and is_past else None)

    def close(self, was_training: bool) -> None:
        """Close the log, and give the model its former mode."""
        self.account.close()
        self.model.train(was_training)

    def report(self) -> TrainReport:
        """What was done."""
        tally, counts = self.account.tally, parameter_counts(self.model)
        table, state = tally.loss_table(), self.states.newest
        assert state is not None
        return TrainReport(
            steps=tally.step,
            steps_this_time=tally.step - self.account.first_step,
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
            processes=self.team.size,
            state=state,
            notices=self.account.notices,
            tasks=tally.tasks,
            best=best_evaluation(tally.evals, self.recipe),
            stopped_early=tally.step < self.account.total_steps,
        )

    # -- a step

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.account.tally.step

    def _step(self) -> None:
        """One optimizer step on one global batch."""
        began = time.perf_counter()
        recipe = self.recipe
        learning_rate = learning_rate_at(recipe, self.step, self.account.total_steps)
        cut, done = self._passes()
        with optimizer_memory(self.placement, self.step):
            self.strategy.add_gradients()
            norm = self.strategy.grad_norm()
        measured = measure(done, norm, cut, self.placement, self.team, self.objective.parts)
        if not (math.isfinite(measured.loss) and math.isfinite(measured.grad_norm)):
            raise self._nonfinite(cut, measured)
        with optimizer_memory(self.placement, self.step):
            self.strategy.update(
                learning_rate=learning_rate, max_norm=recipe.max_grad_norm, norm=measured.grad_norm
            )
        seconds = time.perf_counter() - began
        self.account.enter_step(cut, measured, learning_rate=learning_rate, seconds=seconds)

    def _passes(self) -> tuple[Cut, list[MicroBatch]]:
        """This process's share of the step, forward and backward."""
        strategy = self.strategy
        with self.team.together():
            examples = self.feed.examples(
                self.step, seed=self.recipe.seed, global_batch=self.recipe.global_batch
            )
            cut = cut_step(examples, self.team, max_tokens=self.max_tokens, packing=self.recipe.packing)
        # In lockstep the passes themselves wait for the others: one that fails cannot tell them.
        with contextlib.nullcontext() if strategy.in_lockstep else self.team.together():
            done, enough = within_memory(
                strategy.trained,
                self.objective,
                cut,
                self.placement,
                seed=self.recipe.seed,
                step=self.step,
                max_tokens=self.max_tokens,
                backward=strategy.backward,
                in_lockstep=strategy.in_lockstep,
            )
        lowest = self.team.lowest(enough)
        if lowest < self.max_tokens:
            self.account.notice(
                f"out of memory: micro-batches of {lowest} tokens from now on; the step stays"
            )
            self.max_tokens = lowest
        return cut, done

    def _nonfinite(self, cut: Cut, measured: Measured) -> WeightsError:
        newest = self.states.newest
        kept = f"the last good state is {newest}" if newest else "no state was saved yet"
        bad = self.strategy.bad_weight()
        error = nonfinite_error(self.step + 1, cut.examples, measured, bad_weight=bad, last_state=kept)
        error.is_joint = True
        return error

    # -- between steps

    def _evaluate_if_due(self) -> None:
        tally, total = self.account.tally, self.account.total_steps
        due = is_due(tally, self.recipe, total_steps=total, epoch_examples=self.feed.epoch_examples)
        if not self.evaluates or not due:
            return
        metrics = evaluate(self.strategy, self.on_eval, self.step, self.team)
        with self.team.together():
            result = EvalDone(self.step, metrics, improves(metrics, tally.evals, self.recipe))
        if result.is_best:
            self.states.save_best(self.step)
        self.account.enter_evaluation(result)

    def _save(self, *, finished: bool) -> None:
        best = best_evaluation(self.account.tally.evals, self.recipe)
        position = Position(self.account.tally, self.max_tokens, finished)
        self.states.save(position, best_step=best.step if best else None)
        self.finished, self._saved_at = finished, time.monotonic()

    def _is_save_due(self) -> bool:
        """Whether a state belongs after the last step: at its turn, or when the last one has grown old."""
        every = self.recipe.checkpoint_every
        if every is not None:
            return self.step % every == 0
        # Each process has a clock of its own: the first's is asked.
        return self.team.any(self.team.is_first and time.monotonic() - self._saved_at > SAVE_SECONDS)

    def _is_stopped(self) -> bool:
        return self.team.any(bool(self.stop))

    def _stopped(self) -> StoppedError:
        error = StoppedError(
            f"stopped by {self.stop.signal_name or 'a signal'} after step {self.step}; the state is saved",
            where=str(self.run_dir),
            fix="run the same command again to continue",
        )
        error.is_joint = True
        return error


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
