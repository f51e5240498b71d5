"""A template: from a record to the text a model reads and the text it should write.

The source is Jinja in P3's convention, `inputs ||| targets` (Bach et al. 2022, arXiv 2202.01279); it sees
the record's fields, `answer` (the right answer), `options` (the admissible ones) and `options_` (FLAN's: the
options as a text, its form chosen by whoever renders). What it renders is known span by span: which words
are the template's and which the record's. Knows nothing of tasks or tokens.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.text.sandbox import Compiled, Dialect, Piece, compile_template

__all__ = ["PIPE", "Rendered", "Span", "SpanKind", "Template"]

PIPE = "|||"
"""What separates inputs from targets in a template's own words (the P3 convention)."""

_GUARD = "\ue000\ue001\ue000"  # private-use characters: stands for a record's own `|||`

SpanKind: TypeAlias = Literal["instruction", "field", "options", "answer"]
"""Whose words a span is: the template's, the record's, or the task's options or answer."""

_OWN = {"options": "options", "options_": "options", "answer_choices": "options", "answer": "answer"}


@final
@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a rendered text."""

    text: str
    kind: SpanKind
    names: tuple[str, ...] = ()
    """The fields it was made from; none for the template's own words."""


@final
@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered template, span by span; outer white space is gone from both sides."""

    inputs: tuple[Span, ...]
    targets: tuple[Span, ...]

    def texts(self) -> tuple[str, str]:
        """Inputs and targets as plain texts."""
        return "".join(span.text for span in self.inputs), "".join(span.text for span in self.targets)

    def fields(self, fixed: Container[str] = ()) -> tuple[tuple[int, int], ...]:
        """Which characters of the inputs, from and up to, are the record's own words.

        Args:
            fixed: names that every record has alike, which are the instruction's words.

        >>> spans = (Span("Wet? ", "instruction"), Span("a fog", "field", ("text",)))
        >>> Rendered(spans, ()).fields()
        ((5, 10),)
        """
        ranges = []
        start = 0
        for span in self.inputs:
            end = start + len(span.text)
            own = span.kind == "field" and not all(name in fixed for name in span.names)
            if own and span.text.strip():
                ranges.append((start, end))
            start = end
        return tuple(ranges)


@final
@dataclass(frozen=True)
class Template:
    """A named prompt text with its target.

    >>> ask = Template("ask", "Is '{{ word }}' a verb? ||| {{ answer }}")
    >>> ask.render({"word": "run", "answer": "yes"})
    ("Is 'run' a verb?", 'yes')
    >>> [span.kind for span in ask.spans({"word": "run", "answer": "yes"}).inputs]
    ['instruction', 'field', 'instruction']
    """

    name: str
    source: str
    turned: bool = False
    """Turned around: it asks for an input of the original task instead of its answer."""
    where: str = "template"
    """The file and key it was read from, for errors."""
    first_line: int | None = None
    """The line of the file on which the source begins, for errors."""
    dialect: Dialect = "ramekin"
    answer_choices: str = ""
    """Of promptsource's templates: the options, a template itself, `|||` between them."""

    def __post_init__(self) -> None:
        if PIPE not in self.source and self.dialect == "ramekin":
            raise DataError(
                f"the template '{self.name}' has no target",
                where=self.place,
                expected="'inputs ||| targets'",
            )

    @cached_property
    def compiled(self) -> Compiled:
        """The compiled source (made when first asked for: a catalogue holds thousands of templates).

        Raises:
            DataError: a syntax error, or a construct that is not allowed.
        """
        return compile_template(
            self.source,
            where=self._where,
            name=self.name,
            first_line=self.first_line,
            dialect=self.dialect,
        )

    @property
    def names(self) -> frozenset[str]:
        """The names that the template takes from outside."""
        return self.compiled.names

    @cached_property
    def _separates_once(self) -> bool:
        """Whether every render has the separator once, so that a second one can only be a value's."""
        own = self.compiled
        return (
            self.dialect == "ramekin"
            and sum(text.count(PIPE) for text in own.always) == 1
            and not any(PIPE in text for text in own.sometimes)
        )

    @cached_property
    def needs(self) -> frozenset[str]:
        """The names it takes from outside, those of its own options among them."""
        return self.names | self._choices.names if self.answer_choices else self.names

    @cached_property
    def has_options(self) -> bool:
        """Whether the prompt shows the options as `options_`."""
        return "options_" in self.names

    @cached_property
    def _choices(self) -> Compiled:
        return compile_template(
            self.answer_choices, where=f"{self.where}#{self.name} answer_choices", dialect=self.dialect
        )

    def choices(self, values: dict[str, Any], *, key: str = "") -> tuple[str, ...]:
        """The options that a template of promptsource's brings itself; none if it brings none.

        Raises:
            DataError: as `render`.
        """
        if not self.answer_choices:
            return ()
        try:
            guarded = {name: _guarded(value) for name, value in values.items()}
        except RecursionError as error:
            raise DataError("a record is nested too deeply", where=self.place) from error
        # P3 joins lists by the separator inside `{{ }}` too, so the whole text is split.
        text = "".join(self._choices.pieces(guarded, key=key))
        return tuple(part.strip().replace(_GUARD, PIPE) for part in text.split(PIPE))

    def render(
        self, values: dict[str, Any], *, key: str = "", truncate_chars: int | None = None
    ) -> tuple[str, str]:
        """Inputs and targets, both stripped of outer white space; `("", "")` if all of it is empty.

        A `|||` inside a value stays text: only the template's own separates.

        Args:
            values: what the names in the template stand for.
            key: of the random draws of promptsource's `choice`.
            truncate_chars: in promptsource's dialect, cut each printed value to so many characters.

        Raises:
            DataError: a field is missing or the result is not one input and one target.
        """
        if self._separates_once and not (self.has_options and values.get("options_") == ""):
            inputs, _, targets = self.compiled.text(values).partition(PIPE)
            if PIPE not in targets and not targets.startswith("|"):  # `|` may be the end of a value
                return inputs.strip(), targets.strip()
        asked, answered = self._sides(values, key, truncate_chars)
        return "".join(asked).strip(), "".join(answered).strip()

    def spans(self, values: dict[str, Any], *, key: str = "", truncate_chars: int | None = None) -> Rendered:
        """As `render`, span by span."""
        inputs, targets = self._sides(values, key, truncate_chars)
        return Rendered(_spans(inputs), _spans(targets))

    def _sides(
        self, values: dict[str, Any], key: str, truncate_chars: int | None
    ) -> tuple[list[str], list[str]]:
        """The pieces before and after the template's own separator."""
        inputs: list[str] = []
        targets: list[str] = []
        side, separators = inputs, 0
        for piece in self.compiled.pieces(values, key=key, truncate_chars=truncate_chars):
            if type(piece) is str:
                if PIPE in piece:
                    before, *after = piece.split(PIPE)
                    side.append(before)
                    separators += len(after)
                    side = targets
                    side.extend(after)
                    continue
            elif not piece and side and type(piece) is Piece and "options_" in piece.names:
                # FLAN's form without options: the template's empty line before them goes too.
                side[-1] = _without_line(side[-1])
            side.append(piece)
        if self.dialect == "promptsource" and not separators and PIPE in self.source:
            return inputs, targets  # how P3's `{% if %}` around a whole prompt leaves a row out
        if separators != 1 and (separators or any(map(str.strip, inputs))):
            raise DataError(
                f"the template '{self.name}' does not give one input and one target",
                where=self.place,
                expected=f"one '{PIPE}'",
                got=f"{separators} in the rendered text",
            )
        return inputs, targets

    def asking(self, target: str) -> "Template":
        """The template with another target, a fixed text; it asks of records that have no answer yet.

        Raises:
            DataError: its own separator stands in a branch or a loop, so that no one text is what it asks.
        """
        if not self._separates_once:
            raise DataError(
                "the template cannot ask without an answer",
                where=self.place,
                expected=f"one '{PIPE}', outside every branch and loop",
                fix="choose another template",
            )
        return replace(self, source=f"{self.source.partition(PIPE)[0]}{PIPE} {target}")

    @property
    def _where(self) -> str:
        return f"{self.where}#{self.name}" if self.first_line is None else self.where

    @property
    def place(self) -> str:
        """Its file, line and name, for errors."""
        return self._where if self.first_line is None else f"{self.where}:{self.first_line}#{self.name}"


def _guarded(value: Any) -> Any:
    """The value with every `|||` of its texts replaced, so that only the template's own separate."""
    if isinstance(value, str):
        return value.replace(PIPE, _GUARD)
    if isinstance(value, list):
        return [_guarded(item) for item in value]
    if isinstance(value, dict):
        return {key: _guarded(item) for key, item in value.items()}
    return value


def _without_line(text: str) -> str:
    if type(text) is Piece:
        return text
    for end in ("\n\n", "\n"):
        if text.endswith(end):
            return text[: -len(end)]
    return text


def _spans(pieces: list[str]) -> tuple[Span, ...]:
    """Neighbouring words of one kind and origin as one span; outer white space removed."""
    spans: list[Span] = []
    for piece in pieces:
        if not piece:
            continue
        kind, names = _kind(piece)
        text = "".join((piece,))
        if spans and spans[-1].kind == kind == "instruction":
            text = spans.pop().text + text
        spans.append(Span(text, kind, names))
    while spans and not spans[0].text.strip():
        spans.pop(0)
    while spans and not spans[-1].text.strip():
        spans.pop()
    if spans:
        spans[0] = Span(spans[0].text.lstrip(), spans[0].kind, spans[0].names)
        spans[-1] = Span(spans[-1].text.rstrip(), spans[-1].kind, spans[-1].names)
    return tuple(spans)


def _kind(piece: str) -> tuple[SpanKind, tuple[str, ...]]:
    if type(piece) is not Piece:
        return "instruction", ()
    fields = tuple(sorted(name for name in piece.names if name not in _OWN))
    if fields:
        return "field", fields
    own: list[Any] = sorted(_OWN[name] for name in piece.names)
    return own[0], tuple(sorted(piece.names))
