"""A method and the models it is to merge: base, numbers, lists of weights, settings by pattern.

The rules themselves are the method's and its settings'; here they are asked one after another, so that all
that is wrong is found at once. This module knows no files.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ramekin.errors import UsageError
from ramekin.merge.combine import shares
from ramekin.merge.findings import Finding, finding_of
from ramekin.merge.method import Method
from ramekin.merge.parameters import Parameter, for_models, places
from ramekin.merge.post import Svc

__all__ = ["check_method", "check_settings"]


def check_method(
    method: Method[Any], settings: Any, post: Svc | None, labels: Sequence[str], *, has_base: bool
) -> Iterator[Finding]:
    """What is known before a model is opened.

    Args:
        method: the method.
        settings: its settings.
        post: the step after it.
        labels: of the models that it reads.
        has_base: whether there is a base.
    """
    if post is not None and not method.scaled:
        yield Finding(
            kind="post",
            what=f"{method.name} adds no direction to a base that a step after it could change",
            models=tuple(labels),
            where="post",
            fix="leave out post, or use a method that has a scaling_factor",
            error=UsageError,
        )
    said = set()
    rules: list[Callable[[], object]] = [
        lambda: method.check_inputs(len(labels), has_base=has_base),
        *(partial(for_models, values, len(labels), key=key) for key, values in _per_model(settings)),
        lambda: method.check(settings, len(labels)),
    ]
    for rule in rules:
        try:
            rule()
        except UsageError as error:
            if str(error) not in said:
                yield finding_of(error, models=labels, otherwise="setting")
            said.add(str(error))


def check_settings(
    method: Method[Any], settings: Any, names: Sequence[str], labels: Sequence[str]
) -> Iterator[Finding]:
    """What is known when the names of the tensors are: settings by pattern, and weights that add to zero.

    Args:
        method: the method.
        settings: its settings, which `check_method` has nothing to say of.
        names: the tensors.
        labels: of the models.
    """
    try:
        method.check_names(settings, names)
    except UsageError as error:
        yield finding_of(error, models=labels, otherwise="setting")
        return
    depths = places(names)
    for key, parameters in _parameters(settings):
        faults: dict[str, UsageError] = {}
        for parameter in parameters:
            if parameter.constant is None:
                for name in names:
                    try:
                        parameter.at(name, depths[name])
                    except UsageError as error:
                        faults.setdefault(name, error)
        if faults:
            yield _of_tensors(f"method.{key}", faults, labels)
            return
    weights = getattr(settings, "weights", None)
    if weights is None or not method.divides_weights(settings):
        return
    each = for_models(weights, len(labels), key="weights")
    faults = {}
    for name in names:
        try:
            shares([parameter.at(name, depths[name]) for parameter in each], where=name)
        except UsageError as error:
            faults[name] = error
    if faults:
        yield _of_tensors("method.weights", faults, labels)


def _of_tensors(key: str, faults: dict[str, UsageError], labels: Sequence[str]) -> Finding:
    """One finding of what is wrong with a setting at some tensors."""
    first = next(iter(faults.values()))
    found = finding_of(first, models=labels, otherwise="setting")
    others = f" and {len(faults) - 1} other tensors" if len(faults) > 1 else ""
    return dataclasses.replace(found, where=f"{key} at {first.where}{others}", tensors=tuple(faults))


def _parameters(settings: Any) -> Iterator[tuple[str, tuple[Parameter, ...]]]:
    """The settings that may differ from tensor to tensor."""
    for each in dataclasses.fields(settings):
        value = getattr(settings, each.name)
        if isinstance(value, Parameter):
            yield each.name, (value,)
        elif isinstance(value, tuple) and value and all(isinstance(one, Parameter) for one in value):
            yield each.name, value


def _per_model(settings: Any) -> Iterator[tuple[str, tuple[Parameter, ...]]]:
    """The settings of which there is one for each model."""
    for key, values in _parameters(settings):
        if isinstance(getattr(settings, key), tuple):
            yield key, values
