"""The merge methods, one a file: its paper, its equation, its settings and its function over arrays.

A method is imported when it is asked for, so that a name costs nothing. `METHODS` lists them.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ramekin.errors import UsageError
from ramekin.merge.method import Method
from ramekin.registry import unknown_name

__all__ = ["METHODS", "find_method", "parse_method"]

METHODS: Mapping[str, str] = MappingProxyType(
    {
        name: f"{__name__}.{name}"
        for name in (
            "ace",
            "adamerging",
            "breadcrumbs",
            "consensus_ta",
            "covariance",
            "dare",
            "della",
            "dummy",
            "emr_merging",
            "expo",
            "fisher",
            "iso_c",
            "iso_cts",
            "karcher",
            "lines",
            "magmax",
            "metagpt",
            "model_stock",
            "pcb_merging",
            "regmean",
            "regmean_plus_plus",
            "simple_average",
            "slerp",
            "task_analogy",
            "task_arithmetic",
            "task_negation",
            "ties_merging",
            "tsv_merge",
            "wudi",
        )
    }
)
"""The module of every method by the method's name."""


def find_method(name: str) -> Method[Any]:
    """The method of a name.

    Raises:
        UsageError: there is none; the message says the nearest name.
    """
    if name not in METHODS:
        raise UsageError(unknown_name("merge method", name, METHODS))
    found: Method[Any] = importlib.import_module(METHODS[name]).METHOD
    return found


def parse_method(given: Mapping[str, object]) -> Any:
    """The settings of `{name: METHOD, key: value, …}`.

    Raises:
        UsageError: no such method, unknown keys or values; all of a method's at once, with nearest names.
    """
    if not isinstance(given.get("name"), str):
        raise UsageError("a method needs its name", expected="name: task_arithmetic", got=repr(dict(given)))
    method = find_method(str(given["name"]))
    return method.parse({key: value for key, value in given.items() if key != "name"})
