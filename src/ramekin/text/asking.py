"""A task whose records have no answer yet: what a template asks, without the target it would have.

Knows nothing of how records are read or answered.
"""

from dataclasses import replace

from ramekin.errors import DataError
from ramekin.text.expression import Expression
from ramekin.text.task import Task
from ramekin.text.template import PIPE, Template

__all__ = ["asking_task", "template_of_text"]

_TARGET = "-"
"""What stands where a target would; it is never shown."""


def asking_task(task: Task, template: str | None = None) -> Task:
    """The task with one template, which asks of records that need only what it shows.

    Args:
        task: a task.
        template: the template's name; None takes the first.

    Raises:
        UsageError: there is no such template.
        DataError: what the template asks depends on the answer, or it has no single target.
    """
    chosen = task.template(template)
    asked = chosen.asking(_TARGET)
    shown = asked.names
    if "answer" in shown:
        raise DataError(
            "the template shows the answer, which is not there yet",
            where=f"{task.name}#{chosen.name}",
            fix="choose another template",
        )
    wants_options = bool({"options", "options_"} & shown)
    needed = _needed(task, shown, options=wants_options)
    return replace(
        task,
        columns={name: kind for name, kind in task.columns.items() if name in needed},
        fields={name: maker for name, maker in task.fields.items() if name in needed},
        kind="text",
        record_options=task.record_options if wants_options else None,
        answer=None,
        references=None,
        rationale=None,
        passage=None,
        question=None,
        keep=None,
        templates={chosen.name: asked},
    )


def template_of_text(source: str) -> Task:
    """A task whose one template is a text of one's own, such as `Translate: {{ text }}`.

    Raises:
        DataError: a syntax error, or a construct that is not allowed.
    """
    from ramekin.text.task import Source

    template = Template("own", source if PIPE in source else f"{source} {PIPE} {_TARGET}", where="template")
    names = template.names
    return Task(
        name="own/template",
        description="a template of one's own",
        source=Source({}),
        columns={name: "any" for name in sorted(names)},
        kind="text",
        options=(),
        metrics=(),
        templates={"own": template},
    )


def _needed(task: Task, shown: frozenset[str], *, options: bool) -> set[str]:
    """The columns and fields that these names are made from."""
    needed = set(shown)
    makers = [*task.fields.items()]
    if options and task.record_options is not None:
        makers.append(("options", task.record_options))
        needed.add("options")
    for name, maker in reversed(makers):
        if name in needed:
            needed |= maker.names if isinstance(maker, Expression) else set(task.columns)
    return needed
