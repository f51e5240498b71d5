"""The Jinja environment in which templates run: an allow-list, and limits on work and size.

Jinja's own sandbox blocks attribute escapes but not resource bombs (nested loops, padding filters, constant
folding at compile time). Here a template is checked node by node against an allow-list before it is
compiled, filters are a short list of our own that bound what they return, and every loop draws on one
budget. Knows nothing of tasks or records.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, final

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ramekin.errors import DataError

__all__ = ["MAX_SOURCE_CHARS", "PIPE", "PIPE_STAND_IN", "compile_template", "render_bounded"]

MAX_SOURCE_CHARS = 16_384
"""A longer template is refused."""
PIPE = "|||"
"""What separates inputs from targets in a template's output (the P3 convention)."""
PIPE_STAND_IN = "\ue000\ue001\ue000"
"""Stands for a `|||` that came from a record, so that data cannot split a prompt (private-use characters)."""

_MAX_LOOP_STEPS = 20_000
_MIN_RENDERED_CHARS = 65_536
_FACTOR_RENDERED_CHARS = 4

_steps_left: ContextVar[int] = ContextVar("steps_left", default=_MAX_LOOP_STEPS)
_chars_left: ContextVar[int] = ContextVar("chars_left", default=_MIN_RENDERED_CHARS)

_ALLOWED_NODES: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.NSRef, nodes.Const, nodes.List,
    nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.Assign, nodes.CondExpr, nodes.Compare, nodes.Operand,
    nodes.And, nodes.Or, nodes.Not, nodes.Add, nodes.Sub, nodes.Neg, nodes.Concat,
)  # fmt: skip
_ALLOWED_TESTS = {
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "in",
    "even",
    "odd",
    "eq",
    "ne",
    "equalto",
}


def _bounded(text: str) -> str:
    if len(text) > _chars_left.get():
        raise DataError(
            "a template makes too much text", expected=f"at most {_chars_left.get()} characters in a value"
        )
    return text


def _text(value: Any) -> str:
    return _bounded(str(value))


def _replace(value: Any, old: str, new: str) -> str:
    text = _text(value)
    # An empty `old` would insert `new` between all characters.
    if not old:
        raise DataError("the filter 'replace' needs a text to look for", expected="a non-empty text")
    grown = len(text) + text.count(old) * (len(new) - len(old))
    if grown > _chars_left.get():
        _bounded("x" * (_chars_left.get() + 1))
    return text.replace(old, new)


def _join(values: Iterable[Any], separator: str = "") -> str:
    parts = [_text(value) for value in values]
    if sum(map(len, parts)) + len(separator) * len(parts) > _chars_left.get():
        _bounded("x" * (_chars_left.get() + 1))
    return separator.join(parts)


def _decimals(value: Any, places: int = 1) -> str:
    """`{:.1f}`: the form of STS-B's targets."""
    if not 0 <= places <= 12:
        raise DataError("the filter 'decimals' takes 0 to 12 places", got=str(places))
    return f"{float(value):.{places}f}"


def _capitalize_first(value: Any) -> str:
    """The first character in upper case, the others as they are (Jinja's `capitalize` lowers them)."""
    text = _text(value)
    return text[:1].upper() + text[1:]


def _first(values: Any) -> Any:
    return values[0]


def _last(values: Any) -> Any:
    return values[-1]


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "capitalize": lambda value: _text(value).capitalize(),
    "capitalize_first": _capitalize_first,
    "decimals": _decimals,
    "first": _first,
    "int": lambda value: int(value),
    "join": _join,
    "last": _last,
    "length": lambda value: len(value),
    "lower": lambda value: _text(value).lower(),
    "replace": _replace,
    "string": _text,
    "title": lambda value: _text(value).title(),
    "trim": lambda value: _text(value).strip(),
    "upper": lambda value: _text(value).upper(),
}


@final
class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox with our filters only and `+` watched."""

    intercepted_binops = frozenset(["+"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not isinstance(left, (int, float)) and len(left) + len(right) > _chars_left.get():
            _bounded("x" * (_chars_left.get() + 1))
        return super().call_binop(context, operator, left, right)


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    """The values, each taken from the render's loop budget."""
    for value in values:
        left = _steps_left.get() - 1
        _steps_left.set(left)
        if left < 0:
            raise DataError("a template loops too long", expected=f"at most {_MAX_LOOP_STEPS} steps a render")
        yield value


def _concat(left: Any, right: Any) -> str:
    return _bounded(_text(left) + _text(right))


def _finalize(value: Any) -> str:
    if isinstance(value, jinja2.Undefined):
        return str(value)  # StrictUndefined raises here, with its own name
    if value is None:
        raise DataError("a template prints a missing value", expected="a value", got="None")
    return str(value).replace(PIPE, PIPE_STAND_IN)


def _environment() -> _Environment:
    environment = _Environment(
        undefined=jinja2.StrictUndefined, autoescape=False, finalize=_finalize, keep_trailing_newline=True
    )
    environment.filters = {**_FILTERS, "_counted": _counted, "_concat": _concat}
    environment.tests = {name: environment.tests[name] for name in _ALLOWED_TESTS}
    environment.globals = {}
    return environment


_ENVIRONMENT = _environment()


def _check(node: nodes.Node, where: str) -> None:
    """Refuse every construct that is not on the list, naming it and its line."""
    for child in [node, *node.find_all(nodes.Node)]:
        place = f"{where}, line {child.lineno} of the template" if child.lineno else where
        if not isinstance(child, _ALLOWED_NODES):
            raise DataError(
                f"a template may not use {type(child).__name__.lower()}",
                where=place,
                fix="fields, filters, if, for and set are what a template has",
            )
        if isinstance(child, nodes.Filter) and child.name not in _FILTERS:
            from ramekin.registry import unknown_name

            raise DataError(unknown_name("filter", child.name, _FILTERS), where=place)
        if isinstance(child, nodes.Test) and child.name not in _ALLOWED_TESTS:
            raise DataError(f"a template may not use the test '{child.name}'", where=place)
        if isinstance(child, (nodes.Getattr, nodes.Name)):
            name = child.attr if isinstance(child, nodes.Getattr) else child.name
            if name.startswith("_"):
                raise DataError(f"a template may not use the name '{name}'", where=place)


def _bound(tree: nodes.Template) -> nodes.Template:
    """Rewrite loops and `~` so that they draw on the render's budgets."""
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)

    def rewritten(node: nodes.Node) -> nodes.Node:
        for field, value in node.iter_fields():
            if isinstance(value, list):
                setattr(node, field, [rewritten(v) if isinstance(v, nodes.Node) else v for v in value])
            elif isinstance(value, nodes.Node):
                setattr(node, field, rewritten(value))
        if isinstance(node, nodes.Concat):
            joined = node.nodes[0]
            for part in node.nodes[1:]:
                joined = nodes.Filter(joined, "_concat", [part], [], None, None, lineno=node.lineno)
            return joined
        return node

    rewritten(tree)
    return tree


def compile_template(source: str, *, where: str) -> jinja2.Template:
    """Check a template against the allow-list and compile it.

    Raises:
        DataError: a syntax error or a construct that is not allowed, with its line.
    """
    if len(source) > MAX_SOURCE_CHARS:
        raise DataError(
            "a template is too long", where=where, expected=f"at most {MAX_SOURCE_CHARS} characters"
        )
    try:
        tree = _ENVIRONMENT.parse(source)
        _check(tree, where)
        # Jinja's compile takes a tree as well as text; its optimizer runs only on constants we allow.
        code = _ENVIRONMENT.compile(_bound(tree), filename=None)
        return jinja2.Template.from_code(_ENVIRONMENT, code, dict(_ENVIRONMENT.globals))
    except jinja2.TemplateSyntaxError as error:
        raise DataError(
            "a template cannot be read",
            where=f"{where}, line {error.lineno} of the template",
            got=error.message,
        ) from error


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_size(v) for v in value)
    return 24


def render_bounded(template: jinja2.Template, values: Mapping[str, Any], *, where: str) -> str:
    """Render within the budgets: 20,000 loop steps, and 64 Ki characters or four times the record's size.

    Raises:
        DataError: a budget is spent, a field is missing, or the template fails on these values.
    """
    limit = max(_MIN_RENDERED_CHARS, _FACTOR_RENDERED_CHARS * _size(values))
    steps, chars = _steps_left.set(_MAX_LOOP_STEPS), _chars_left.set(limit)
    try:
        pieces: list[str] = []
        total = 0
        for piece in template.generate(values):
            total += len(piece)
            if total > limit:
                raise DataError("a template makes too much text", expected=f"at most {limit} characters")
            pieces.append(piece)
        return "".join(pieces)
    except DataError as error:
        raise DataError(
            error.what, where=where, expected=error.expected, got=error.got, fix=error.fix
        ) from error
    except jinja2.UndefinedError as error:
        raise DataError(
            "a template uses a field that the record does not have",
            where=where,
            expected=f"one of {', '.join(sorted(values))}",
            got=error.message or "an undefined name",
        ) from error
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise DataError("a template fails on this record", where=where, got=f"{error}") from error
    finally:
        _steps_left.reset(steps)
        _chars_left.reset(chars)
