"""What makes a run this run: recipe, data and starting weights, as a value that can be compared.

A resumed run is bit-identical only if all three are the same, so a difference is refused by name. It
knows nothing of files.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from ramekin.errors import UsageError
from ramekin.registry import dotted
from ramekin.train.recipe import Recipe

__all__ = ["identity_of", "refuse_difference", "refuse_strangers"]

_FREE = ("checkpoint_every", "eval_every", "eval_every_epochs", "gradient_checkpointing", "log_every")
"""Recipe keys that change what is kept, not what is learned (unless evaluations select the model)."""
_SAMPLE = 1024


def identity_of(
    model: nn.Module, data: Mapping[str, Any], recipe: Recipe, objective: Mapping[str, Any]
) -> dict[str, Any]:
    """The run's identity as JSON values. The model has its starting weights."""
    free = _FREE if recipe.best_metric is None else tuple(key for key in _FREE if "eval" not in key)
    told = {**asdict(recipe), "best_is": recipe.best_value}
    numbers = {key: value for key, value in told.items() if key not in free}
    return {
        "objective": dict(objective),
        "recipe": numbers,
        "data": dict(data),
        "model": {"sha256": _model_digest(model)},
    }


def refuse_difference(saved: Mapping[str, Any], current: Mapping[str, Any], *, where: str) -> None:
    """Refuse to continue a run of another identity.

    Raises:
        UsageError: names every key that differs.
    """
    _refuse(
        saved,
        current,
        "the unfinished run in this folder is another one",
        where=where,
        fix="continue it with its own recipe, base and data (tasks, mixture and rows as they were), choose "
        "another output, or begin anew: resume=never overwrite=true",
    )


def refuse_strangers(of_first: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse to train together with a first process of another identity.

    Raises:
        UsageError: names every key that differs.
    """
    _refuse(
        of_first,
        own,
        "the processes do not train the same",
        where="here against the first",
        fix="give all of them the same command, and machines the same files and versions",
    )


def _refuse(wanted: Mapping[str, Any], found: Mapping[str, Any], what: str, *, where: str, fix: str) -> None:
    before, now = dotted(wanted), dotted(found)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys:
        raise UsageError(
            what,
            where=where,
            expected=", ".join(f"{key}={_shown(before.get(key))}" for key in keys),
            got=", ".join(f"{key}={_shown(now.get(key))}" for key in keys),
            fix=fix,
        )


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "…"


def _model_digest(model: nn.Module) -> str:
    """Names, shapes and a sample of the values of every parameter, frozen ones included."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.requires_grad}\n".encode())
        flat = parameter.detach().flatten()
        stride = max(1, flat.numel() // _SAMPLE)
        sample = flat[::stride].to(device="cpu", dtype=torch.float32)
        digest.update(sample.contiguous().numpy().tobytes())
    return digest.hexdigest()
