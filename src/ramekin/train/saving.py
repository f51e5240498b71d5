"""Saving a run and going on from what was saved, for all processes of it.

The first process alone reads and writes files, and tells the others: they need not see them. How a state lies
on the disk is `state`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ramekin.errors import UsageError, WeightsError
from ramekin.train.identity import refuse_difference
from ramekin.train.optimizers import OptimizerState
from ramekin.train.state import (
    Saved,
    load_best,
    load_newest,
    put_back,
    remove_unfinished,
    save_best,
    save_state,
    state_folders,
)
from ramekin.train.strategy import AbstractStrategy
from ramekin.train.tally import Tally, tally_from_json, tally_to_json
from ramekin.train.team import AbstractTeam

__all__ = ["Position", "States"]


@final
@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands, beside its tensors."""

    tally: Tally
    max_tokens: int
    """The micro-batch budget that memory allows."""
    finished: bool


@final
class States:
    """The saved states of one run.

    Args:
        run_dir: they are in its `state/`.
        identity: of the run; only states of an equal one are taken.
        strategy: holds the weights and the optimizer.
        team: the processes.
    """

    def __init__(
        self, run_dir: Path, identity: Mapping[str, Any], strategy: AbstractStrategy, team: AbstractTeam
    ) -> None:
        self.root = run_dir / "state"
        self._run_dir, self._identity = run_dir, identity
        self._strategy, self._team = strategy, team

    @property
    def newest(self) -> Path | None:
        """The folder of the last state; all must ask."""
        folders = state_folders(self.root) if self._team.is_first else []
        told = self._team.from_first(str(folders[-1]) if folders else None)
        return Path(told) if told is not None else None

    def restore(self, *, resume: bool) -> tuple[Position | None, tuple[str, ...]]:
        """Take over the newest whole state, and remove what a killed process left after it.

        Returns:
            Where the run stood, None at its beginning; and what is to be told: the damaged states that were
            passed over, and that torch is another one.

        Raises:
            UsageError: there is a state and `resume` is false, or it is of another run.
            WeightsError: it is of another model, or none of the states is whole.
        """
        saved: Saved | None = None
        with self._team.first_alone() as is_first:
            if is_first:
                saved = self._load(resume=resume)
        told = self._team.from_first(None if saved is None else [dict(saved.record), saved.passed_over])
        if told is None:
            return None, ()
        record, passed_over = told
        self._strategy.take_weights({} if saved is None else saved.weights)
        self._strategy.take_memory(OptimizerState({}, {}) if saved is None else saved.optimizer)
        position = Position(tally_from_json(record["tally"]), record["max_tokens"], record["finished"])
        return position, (*passed_over, *_other_torch(record))

    def save(self, position: Position, *, best_step: int | None) -> None:
        """Write a state.

        Raises:
            WeightsError: a weight is not finite; nothing is written.
            ResourceError: the disk is full; the states there are untouched.
        """
        record = {
            "tally": tally_to_json(position.tally),
            "identity": self._identity,
            "finished": position.finished,
            "max_tokens": position.max_tokens,
            "torch": torch.__version__,
        }
        weights, memory = self._strategy.weights(), self._strategy.memory()
        with self._team.first_alone() as is_first:
            if is_first:
                save_state(
                    self.root,
                    position.tally.step,
                    weights=weights,
                    optimizer=memory,
                    record=record,
                    best_step=best_step,
                )

    def save_best(self, step: int) -> None:
        """Keep the weights as those of the best evaluation."""
        weights = self._strategy.weights()
        with self._team.first_alone() as is_first:
            if is_first:
                save_best(self.root, step, weights=weights)

    def best(self, step: int) -> Mapping[str, Tensor]:
        """The weights that were kept after a step, for the first process; the others get nothing."""
        with self._team.first_alone() as is_first:
            return load_best(self.root, step) if is_first else {}

    def _load(self, *, resume: bool) -> Saved | None:
        put_back(self.root)
        if not resume and state_folders(self.root):
            raise UsageError(
                "the folder holds a run already",
                where=str(self._run_dir),
                fix="add resume=auto to continue it, or choose another output",
            )
        saved = load_newest(self.root)
        if saved is not None:
            refuse_difference(saved.record["identity"], self._identity, where=str(self._run_dir))
            if set(saved.weights) != set(self._strategy.names):
                raise WeightsError("the saved state is of another model", where=str(saved.folder))
        remove_unfinished(self.root, newest=saved.folder if saved else None)
        return saved


def _other_torch(record: Mapping[str, Any]) -> tuple[str, ...]:
    """That the run goes on under another torch than it had: then it is not to the bit what it would be."""
    if record["torch"] == torch.__version__ or record["finished"]:
        return ()
    return (
        f"saved with torch {record['torch']}, continued with {torch.__version__}: equal to rounding only",
    )
