"""A template: from a record to the text a model reads and the text it should write.

The source is Jinja in P3's convention, `inputs ||| targets` (Bach et al. 2022, arXiv 2202.01279); it sees
the record's columns and, as `options`, the task's admissible targets. Knows nothing of tasks or tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import jinja2

from ramekin.errors import DataError
from ramekin.text.sandbox import PIPE, PIPE_STAND_IN, compile_template, render_bounded

__all__ = ["Template"]


@final
@dataclass(frozen=True)
class Template:
    """A named prompt text with its target.

    >>> ask = Template("ask", "Is '{{ word }}' a verb? ||| {{ options[label] }}")
    >>> ask.render({"word": "run", "label": 0}, options=("yes", "no"))
    ("Is 'run' a verb?", 'yes')
    """

    name: str
    source: str
    where: str = field(default="template", compare=False)
    """The file and key it was read from, for errors."""
    _compiled: jinja2.Template = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if PIPE not in self.source:
            raise DataError(
                f"the template '{self.name}' has no target", where=self.where, expected="'inputs ||| targets'"
            )
        object.__setattr__(self, "_compiled", compile_template(self.source, where=self.where))

    def render(self, record: Mapping[str, Any], *, options: Sequence[str] = ()) -> tuple[str, str]:
        """Inputs and targets of a record, both stripped of outer white space.

        A `|||` inside a field stays text: only the template's own separates.

        Raises:
            DataError: a field is missing or the result is not one input and one target.
        """
        values = {**record, "options": list(options)}
        rendered = render_bounded(self._compiled, values, where=f"{self.where} ({self.name})")
        parts = [part.strip().replace(PIPE_STAND_IN, PIPE) for part in rendered.split(PIPE)]
        if len(parts) != 2:
            raise DataError(
                f"the template '{self.name}' does not give one input and one target",
                where=self.where,
                expected="one '|||'",
                got=f"{len(parts) - 1} in the rendered text",
            )
        return parts[0], parts[1]
