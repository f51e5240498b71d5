"""mergekit's YAML as a configuration of `ramekin merge`: methods, models, weights, filters, gradients.

Read as mergekit 0.1.5 reads it: a model's own parameters stand before those of all, filters are parts of
tensor names of which the first wins, gradients run along each stack's layers and tensors of no layer take
their first value. What has no counterpart here (layers put together from several models, other methods,
vocabularies joined) is refused by name. This module knows nothing of weights.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from ramekin.errors import UsageError
from ramekin.registry import unknown_name

__all__ = ["METHOD_NAMES", "convert"]

_Rules = list[tuple[str, Any]]


@final
@dataclass(frozen=True)
class _Form:
    """What a method of mergekit is here."""

    method: str
    own: tuple[str, ...] = ()
    """Its parameters that have a value for each model."""
    shared: tuple[str, ...] = ()
    """Those that have one for all."""
    elect: bool | None = None
    """Whether it elects signs, where our method is told."""
    normalize: bool = False
    """Whether it divides by the sum of the weights unless told otherwise."""
    weighted: bool = True
    """Whether every model needs a weight."""


_ARITHMETIC: Final = ("normalize", "rescale", "int8_mask", "lambda")
_FORMS: Final[Mapping[str, _Form]] = {
    "linear": _Form("simple_average", ("weight",), ("normalize",), normalize=True),
    "task_arithmetic": _Form("task_arithmetic", ("weight", "density"), _ARITHMETIC),
    "ties": _Form("ties_merging", ("weight", "density"), _ARITHMETIC, normalize=True),
    "dare_linear": _Form("dare", ("weight", "density"), _ARITHMETIC, elect=False),
    "dare_ties": _Form("dare", ("weight", "density"), _ARITHMETIC, elect=True),
    "della_linear": _Form("della", ("weight", "density", "epsilon"), _ARITHMETIC, elect=False),
    "della": _Form("della", ("weight", "density", "epsilon"), _ARITHMETIC, elect=True, normalize=True),
    "breadcrumbs": _Form("breadcrumbs", ("weight", "density", "gamma"), _ARITHMETIC, elect=False),
    "breadcrumbs_ties": _Form("breadcrumbs", ("weight", "density", "gamma"), _ARITHMETIC, elect=True),
    "model_stock": _Form("model_stock", (), ("filter_wise",), weighted=False),
    "slerp": _Form("slerp", (), ("t",), weighted=False),
    "karcher": _Form("karcher", (), ("max_iter", "tol"), weighted=False),
}
METHOD_NAMES: Final = tuple(sorted(_FORMS))
"""mergekit's methods that are read."""

_KEYS: Final = (
    "merge_method",
    "base_model",
    "models",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
)
_REFUSED: Final[Mapping[str, str]] = {
    "slices": "list whole models under models:",
    "modules": "list whole models under models:",
    "tokenizer": "leave it out: the base's tokenizer is copied",
    "chat_template": "leave it out: encoder-decoders have none",
}
_DEFAULTS: Final[Mapping[str, float]] = {"density": 1.0, "gamma": 0.01, "epsilon": 0.15}


def convert(document: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The configuration of `ramekin merge` that does what a mergekit file says.

    Args:
        document: the file's content.
        where: the file, for messages.

    Returns:
        `method`, `base`, `models` and `dtype`; to be completed by an output.

    Raises:
        UsageError: a key, method or parameter that has no counterpart here, or a value that cannot be.

    >>> models = [{"model": "a"}, {"model": "b"}]
    >>> document = {"merge_method": "slerp", "models": models, "parameters": {"t": 0.3}}
    >>> convert(document, where="x.yml")["method"]
    {'name': 'slerp', 't': 0.3, 'opposite_is_line': True}
    """
    _check_keys(document, where)
    name = str(document.get("merge_method"))
    if name not in _FORMS:
        raise UsageError(unknown_name("merge_method", name, METHOD_NAMES), where=where)
    form = _FORMS[name]
    base = document.get("base_model")
    listed = _listed(document, where)
    models = _without_base(form, listed, base, where)
    shared = _parameters(document, where)
    known = {*form.own, *form.shared}
    for given in (shared, *(own for _, own in models)):
        for key in given:
            if key not in known:
                raise UsageError(unknown_name(f"parameter of {name}", key, known), where=where)
    settings = _settings(form, shared, [own for _, own in models], where)
    return {
        "method": {"name": form.method, **settings},
        "base": base,
        "models": [_plain_model(model, base, where) for model, _ in models],
        "dtype": document.get("out_dtype") or document.get("dtype") or "same",
    }


def _without_base(
    form: _Form, listed: list[tuple[str, dict[str, Any]]], base: Any, where: str
) -> list[tuple[str, dict[str, Any]]]:
    """The models to be merged: the base is one of them where there are no deltas, and else it is not."""
    if form.method not in ("simple_average", "karcher"):
        return [(model, own) for model, own in listed if model != base]
    if base is None or any(model == base for model, _ in listed):
        return listed
    if form.weighted:
        raise UsageError(
            "mergekit takes base_model as one of the models, and it has no weight",
            where=where,
            fix="list it with its weight, or leave base_model out",
        )
    return [(base, {}), *listed]


def _check_keys(document: Mapping[str, Any], where: str) -> None:
    for key in document:
        if key in _REFUSED:
            raise UsageError(f"'{key}' of mergekit has no counterpart here", where=where, fix=_REFUSED[key])
        if key not in _KEYS:
            raise UsageError(unknown_name("key of a mergekit file", str(key), _KEYS), where=where)
    if document.get("tokenizer_source") not in (None, "base", document.get("base_model")):
        raise UsageError(
            "the tokenizer is the base's",
            where=f"{where}#tokenizer_source",
            expected="base, or nothing",
            got=str(document["tokenizer_source"]),
            fix="merge models that share a tokenizer",
        )


def _listed(document: Mapping[str, Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    """The models with their own parameters."""
    models = document.get("models")
    if not isinstance(models, list) or not models:
        raise UsageError("a mergekit file needs its models", where=where, expected="models: [{model: …}, …]")
    found = []
    for place, entry in enumerate(models):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
            raise UsageError("a model needs its name", where=f"{where}#models[{place}]", got=repr(entry)[:80])
        if extra := set(entry) - {"model", "parameters"}:
            raise UsageError(
                unknown_name("key of a model", str(sorted(extra)[0]), ("model", "parameters")), where=where
            )
        found.append((entry["model"], _parameters(entry, where)))
    return found


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = holder.get("parameters") or {}
    if not isinstance(given, Mapping):
        raise UsageError("parameters are keys and values", where=where, got=repr(given)[:80])
    return dict(given)


def _plain_model(name: str, base: Any, where: str) -> str:
    """A model by its name; of `base+adapter` the adapter, as its base is known."""
    whole, plus, adapter = name.partition("+")
    if not plus:
        return name
    if whole != base:
        raise UsageError(
            "an adapter on another base than base_model",
            where=f"{where}: {name}",
            expected=str(base),
            got=whole,
            fix="merge adapters of one base",
        )
    return adapter


def _settings(
    form: _Form, shared: Mapping[str, Any], own: Sequence[Mapping[str, Any]], where: str
) -> dict[str, Any]:
    """The settings of our method."""
    found: dict[str, Any] = {}
    if form.weighted:
        found["weights"] = [_own("weight", each, shared, where) for each in own]
    arithmetic = "lambda" in form.shared
    densities = [_own("density", each, shared, where) for each in own] if "density" in form.own else []
    if form.method == "task_arithmetic":
        if any(density != 1.0 for density in densities):
            raise UsageError("task_arithmetic takes no density: it trims nothing", where=where)
    elif densities:
        found["density"] = densities
    for key in ("epsilon", "gamma"):
        if key in form.own:
            values = [_own(key, each, shared, where) for each in own]
            if any(value != values[0] or not isinstance(value, float) for value in values):
                raise UsageError(f"{key} is one number for all models here", where=where, got=str(values))
            found[key] = values[0]
    if arithmetic:
        found["scaling_factor"] = _setting([("lambda", shared)], "lambda", 1.0, where)
    normalize = _flag("normalize", shared, form.normalize, where)
    found |= _norming(form, normalize, where)
    if "rescale" in form.shared and form.method in ("dare", "della"):
        found["rescale"] = "l1" if _flag("rescale", shared, True, where) else "none"
    elif densities and _flag("rescale", shared, False, where) and any(each != 1.0 for each in densities):
        raise UsageError(
            "rescale is offered for dare and della alone", where=where, fix="raise lambda, or leave it out"
        )
    if form.elect is not None:
        found["elect"] = form.elect
    if form.method == "ties_merging":
        found |= {"scope": "tensor", "keep": "floor", "zero_sign": "positive"}
    if form.method == "slerp":
        if "t" not in shared:
            raise UsageError("slerp needs its t", where=where, expected="parameters: {t: 0.5}")
        found |= {"t": _setting([("t", shared)], "t", None, where), "opposite_is_line": True}
    if form.method in ("model_stock", "breadcrumbs"):
        found["preset"] = "mergekit"
    if form.method == "model_stock" and _flag("filter_wise", shared, False, where):
        raise UsageError("filter_wise is not offered: angles are those of whole tensors", where=where)
    for key, kind in (("max_iter", int), ("tol", float)):
        if key in form.shared and key in shared:
            found[key] = kind(shared[key])
    return found


def _norming(form: _Form, normalize: bool, where: str) -> dict[str, Any]:
    """How the division by the sum of the weights is said to our method."""
    if form.method in ("simple_average", "task_arithmetic") or (form.method == "dare" and not form.elect):
        return {"normalize": normalize}
    if form.method == "ties_merging" or form.elect:
        return {"merge_func": "mean" if normalize else "sum"}
    if normalize and form.weighted:
        raise UsageError(
            "normalize is not offered for this method", where=where, fix="divide the weights yourself"
        )
    return {}


def _flag(key: str, shared: Mapping[str, Any], default: bool, where: str) -> bool:
    value = shared.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"{key} is true or false", where=where, got=repr(value)[:80])
    return value


def _own(key: str, own: Mapping[str, Any], shared: Mapping[str, Any], where: str) -> Any:
    """A model's value: by its own parameters, then those of all, then the default."""
    return _setting([("model", own), ("all", shared)], key, _DEFAULTS.get(key), where)


def _setting(
    sources: Sequence[tuple[str, Mapping[str, Any]]], key: str, default: float | None, where: str
) -> Any:
    """A number, or one by pattern or along each stack, in the words of our settings."""
    rules: _Rules = []
    for _, given in sources:
        if key in given:
            rules += _rules(given[key], f"{where}#{key}")
        if any(pattern == ".*" for pattern, _ in rules):
            break
    else:
        if default is not None:
            rules.append((".*", default))
    if not rules:
        raise UsageError(f"a model has no {key}", where=where, fix=f"give each model its {key}")
    if rules[0][0] == ".*":
        return rules[0][1]
    found: dict[str, Any] = {}
    for pattern, value in rules:
        found.setdefault(pattern, value)
    return found


def _rules(given: Any, where: str) -> _Rules:
    """Patterns with values, the first that is found in a name winning."""
    if isinstance(given, Mapping):
        given = [given]
    if isinstance(given, list) and given and all(isinstance(each, Mapping) for each in given):
        rules: _Rules = []
        for each in given:
            if "value" not in each or set(each) - {"value", "filter"}:
                raise UsageError("a filter needs its value", where=where, got=repr(each)[:80])
            part = each.get("filter")
            pattern = ".*" if part in (None, "*") else re.escape(str(part))
            rules.append((pattern, _value(each["value"], where)))
        return rules
    return [(".*", _value(given, where))]


def _value(given: Any, where: str) -> Any:
    if isinstance(given, list) and given:
        return {"stack": [_number(each, where) for each in given]}
    return _number(given, where)


def _number(given: Any, where: str) -> float:
    try:
        if isinstance(given, bool):
            raise ValueError
        return float(given)
    except (TypeError, ValueError):
        raise UsageError("expected a number", where=where, got=repr(given)[:80]) from None
