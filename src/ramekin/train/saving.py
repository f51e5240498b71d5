"""Saving a run and going on from what was saved, for all processes of it.

The first process writes, all read. How a state lies on the disk is `state`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError, WeightsError
from ramekin.train.identity import refuse_difference
from ramekin.train.optimizers import read_state, write_state
from ramekin.train.state import (
    Saved,
    load_best,
    load_newest,
    remove_unfinished,
    save_best,
    save_state,
    state_folders,
)
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
        parameters: the trainable ones, written in place.
        optimizer: over them.
        team: the processes.
    """

    def __init__(
        self,
        run_dir: Path,
        identity: Mapping[str, Any],
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        team: AbstractTeam,
    ) -> None:
        self.root = run_dir / "state"
        self._run_dir, self._identity, self._team = run_dir, identity, team
        self._parameters, self._optimizer = parameters, optimizer

    @property
    def newest(self) -> Path | None:
        """The folder of the last state."""
        folders = state_folders(self.root)
        return folders[-1] if folders else None

    def restore(self, *, resume: bool) -> tuple[Position | None, tuple[str, ...]]:
        """Take over the newest whole state, and remove what a killed process left after it.

        Returns:
            Where the run stood, None at its beginning; and the damaged states that were passed over.

        Raises:
            UsageError: there is a state and `resume` is false, or it is of another run.
            WeightsError: it is of another model, or none of the states is whole.
        """
        if not resume and state_folders(self.root):
            raise UsageError(
                "the folder holds a run already",
                where=str(self._run_dir),
                fix="add resume=auto to continue it, or choose another output",
            )
        saved = load_newest(self.root)
        if saved is not None:
            refuse_difference(saved.record["identity"], self._identity, where=str(self._run_dir))
            self._take(saved)
        self._team.wait()  # until all have read what the first may now remove
        with self._team.first_alone() as is_first:
            if is_first:
                remove_unfinished(self.root, newest=saved.folder if saved else None)
        if saved is None:
            return None, ()
        record = saved.record
        position = Position(tally_from_json(record["tally"]), record["max_tokens"], record["finished"])
        return position, saved.passed_over

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
        with self._team.first_alone() as is_first:
            if is_first:
                save_state(
                    self.root,
                    position.tally.step,
                    weights=self._parameters,
                    optimizer=read_state(self._optimizer, self._parameters),
                    record=record,
                    best_step=best_step,
                )

    def save_best(self, step: int) -> None:
        """Keep the weights as those of the best evaluation."""
        with self._team.first_alone() as is_first:
            if is_first:
                save_best(self.root, step, weights=self._parameters)

    def take_best(self, step: int) -> None:
        """Give the model the weights that were kept after a step."""
        self._set_weights(load_best(self.root, step))

    def _take(self, saved: Saved) -> None:
        if saved.weights.keys() != self._parameters.keys():
            raise WeightsError("the saved state is of another model", where=str(saved.folder))
        self._set_weights(saved.weights)
        write_state(self._optimizer, self._parameters, saved.optimizer)

    def _set_weights(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])
