"""What instructions are worth: the same examples without them, or with fewer kinds of them.

FLAN 2021 (arXiv 2109.01652, section 4.3 and appendix B.1) trains with no template (inputs and output alone)
and with the data set's name instead of an instruction, and with 1, 2, 4, 7 or 10 templates a data set.
"""

from typing import Literal, TypeAlias

from ramekin.errors import DataError, UsageError
from ramekin.text.draw import drawn_order
from ramekin.text.example import Example
from ramekin.text.task import Task
from ramekin.text.template import Rendered

__all__ = ["Ablation", "bare_inputs", "dataset_name", "no_template", "template_subset"]

Ablation: TypeAlias = Literal["none", "no_template", "dataset_name"]


def bare_inputs(rendered: Rendered) -> str:
    """The record's own texts of a prompt, each on a line, in the order in which the prompt has them.

    What the prompt shows twice stands once. Of a template turned around, the answer is what it is given.
    """
    return "\n".join(_shown_once(rendered))


def _shown_once(rendered: Rendered) -> dict[str, bool]:
    """The record's own texts, each once, and whether it is a field."""
    found: dict[str, bool] = {}
    for span in rendered.inputs:
        if span.kind in ("field", "answer") and (text := span.text.strip()):
            found.setdefault(text, span.kind == "field")
    return found


def no_template(rendered: Rendered, example: Example) -> Example:
    """The example without an instruction: the record's texts, and the target.

    Raises:
        DataError: the prompt shows nothing of the record.
    """
    return _bare(rendered, example)


def dataset_name(rendered: Rendered, example: Example, task: Task) -> Example:
    """The example with the task's kind and data set in brackets for an instruction.

    Raises:
        DataError: the prompt shows nothing of the record.
    """
    kind = task.cluster.replace("_", " ")
    head = f"[{kind}: {task.name}]" if kind else f"[{task.name}]"
    return _bare(rendered, example, f"{head} ")


def _bare(rendered: Rendered, example: Example, head: str = "") -> Example:
    texts = _shown_once(rendered)
    if not texts:
        raise DataError("the prompt shows nothing of the record", where=example.provenance.id)
    fields = []
    start = len(head)
    for text, is_field in texts.items():
        if is_field:
            fields.append((start, start + len(text)))
        start += len(text) + 1  # and the line break
    marked = tuple(fields) if example.fields else ()
    return example._replace(inputs=head + "\n".join(texts), fields=marked)


def template_subset(task: Task, count: int, *, seed: int = 0) -> tuple[str, ...]:
    """The names of `count` of the task's templates, drawn by the seed.

    A smaller subset is part of every larger one of the same seed.

    Raises:
        UsageError: the task has not so many.
    """
    names = list(task.templates)
    if not 1 <= count <= len(names):
        raise UsageError(
            f"a subset of {count} templates cannot be drawn", where=task.name, expected=f"1 to {len(names)}"
        )
    return tuple(drawn_order(names, seed, task.name, "templates")[:count])
