r"""Which layers an adapter is put into, by what a user writes.

A target is the last name of layers (`q`), `all-linear`, or a regular expression that matches a layer's whole
name (`decoder\..*\.(q|v)`). Only linear layers count, and the output head is never among them. This module
knows nothing of PEFT.
"""

import re
from collections.abc import Sequence

from torch import nn

from ramekin.errors import UsageError
from ramekin.registry import nearest

__all__ = ["ALL_LINEAR", "find_layers", "short_names"]

ALL_LINEAR = "all-linear"
_HEAD = "lm_head"


def find_layers(model: nn.Module, targets: Sequence[str], *, key: str = "adapter.targets") -> tuple[str, ...]:
    """The whole names of the layers that the targets mean, in the model's order.

    Args:
        model: a plain model.
        targets: last names, regular expressions, or `all-linear`.
        key: what the targets are called, for messages.

    Raises:
        UsageError: a target names no layer of the model; the nearest is suggested.
    """
    names = _linear_layers(model)
    chosen = {name for target in targets for name in _named(target, names, key)}
    return tuple(name for name in names if name in chosen)


def short_names(model: nn.Module, layers: Sequence[str]) -> tuple[str, ...]:
    """The last names of the layers where those mean no other layer, else their whole names."""
    last = {_last(name) for name in layers}
    meant = {name for name in _linear_layers(model) if _last(name) in last}
    return tuple(sorted(last)) if meant == set(layers) else tuple(layers)


def _named(target: str, names: Sequence[str], key: str) -> list[str]:
    """The layers of one target."""
    if target == ALL_LINEAR:
        return list(names)
    found = [name for name in names if _last(name) == target]
    if not found and not target.isidentifier():
        try:
            found = [name for name in names if re.fullmatch(target, name)]
        except re.error as error:
            raise UsageError(
                "an adapter's target is not a regular expression", where=key, got=f"'{target}': {error}"
            ) from error
    if not found:
        known = sorted({_last(name) for name in names})
        near = nearest(target, [*known, ALL_LINEAR])
        raise UsageError(
            "an adapter's target names no layer of the model",
            where=key,
            expected=f"one of {', '.join(known)}, {ALL_LINEAR}, or an expression for whole names",
            got=f"'{target}'",
            fix=f"did you mean '{near}'?" if near else None,
        )
    return found


def _linear_layers(model: nn.Module) -> list[str]:
    return [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != _HEAD]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
