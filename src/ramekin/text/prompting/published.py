"""Exemplars that a benchmark was published with, and questions behind them.

BIG-bench Hard (arXiv 2210.09261) and MMLU's chains of thought (Flan 2022, arXiv 2210.11416) are texts of an
instruction and then `Q:` and `A:` in turn; MGSM's (arXiv 2210.03057) are the rows of a split. A prompt is
their text to the byte, and the question in the same layout. Knows nothing of where files are.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

from ramekin.errors import DataError, UsageError
from ramekin.text.answers import split_answer
from ramekin.text.example import Example, Provenance, Record
from ramekin.text.prompting.few_shot import QA, FewShot, FewShotForm, few_shot
from ramekin.text.prompting.prompt import Exemplar
from ramekin.text.prompting.thought import TRIGGER
from ramekin.text.render import PLAIN, Style, render
from ramekin.text.task import Task

__all__ = [
    "PublishedExemplars",
    "published_few_shot",
    "published_prompt",
    "published_rows",
    "read_exemplars",
    "without_reasoning",
]


@final
@dataclass(frozen=True, slots=True)
class PublishedExemplars:
    """The exemplars that a benchmark was published with."""

    instruction: str
    """What stands before them; empty: nothing."""
    shots: tuple[Example, ...]
    """Inputs without `Q: `, targets without `A: `; with reasoning, rationale and answer are apart too."""
    form: FewShotForm = QA
    """How they are joined."""
    trigger: str = TRIGGER
    """What an answer with reasoning begins with, the question's too."""


_HEADING = "\n-----\n"


def read_exemplars(text: str, *, where: str) -> PublishedExemplars:
    r"""Read exemplars in the form of BIG-bench Hard's and MMLU's: an instruction, then `Q:` and `A:` in turn.

    A line of dashes ends a heading (BBH's canary), which is left out, as are line breaks at the very end. All
    else is kept to the byte: joined again, the exemplars are the text.

    Args:
        text: the file's text.
        where: the file, for errors and provenance.

    Raises:
        DataError: the text is in another form, or reasoning comes to no answer; the message has the line.

    >>> text = "Add.\n\nQ: 1 + 1\nA: Let's think step by step. So the answer is 2."
    >>> found = read_exemplars(text, where="x")
    >>> found.instruction, found.shots[0].inputs, found.shots[0].answer
    ('Add.', '1 + 1', '2')
    """
    heading, mark, rest = text.partition(_HEADING)
    body = (rest if mark else heading).rstrip("\n")
    first = heading.count("\n") + 3 if mark else 1
    starts = [found.start() for found in re.finditer(r"^Q:", body, re.M)]
    if not starts:
        raise DataError(
            "the exemplar file has no question", where=where, expected="lines that begin with 'Q:'"
        )
    shots = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(body)], strict=True)):
        line = first + body.count("\n", 0, start)
        block = body[start:end]
        if end < len(body):
            if not re.search(r"[^\n]\n\n\Z", block):
                raise _malformed(where, first + body.count("\n", 0, end), "one empty line before 'Q:'")
            block = block[:-2]
        shots.append(_shot(block, number, where, line))
    instruction = body[: starts[0]]
    if instruction and not re.search(r"[^\n]\n\n\Z", instruction):
        raise _malformed(
            where, first + instruction.count("\n"), "one empty line between instruction and 'Q:'"
        )
    return PublishedExemplars(instruction[:-2], tuple(shots))


def _shot(block: str, number: int, where: str, first: int) -> Example:
    """One exemplar, from `Q:` to the end of its answer."""
    answers = list(re.finditer(r"^A:", block, re.M))
    if not answers:
        raise DataError(
            f"exemplar {number + 1} has no answer", where=f"{where}:{first}", expected="a line 'A: …'"
        )
    place = answers[0].start()
    if len(answers) > 1:
        line = first + block.count("\n", 0, answers[1].start())
        raise _malformed(where, line, "one 'A:' after each 'Q:'")
    for at, part in ((0, block[:place]), (place, block[place:])):
        if part[2:3] != " ":
            raise _malformed(where, first + block.count("\n", 0, at), f"a space after '{part[:2]}'")
    question, targets = block[3 : place - 1], block[place + 3 :]
    if not targets.startswith(TRIGGER):
        return Example(question, targets, (), Provenance(where, "published", "exemplars", number))
    return _reasoned(
        question, targets, Provenance(where, "published", "exemplars", number), f"{where}:{first}"
    )


def _reasoned(question: str, targets: str, provenance: Provenance, where: str) -> Example:
    """An exemplar with reasoning that ends in "the answer is"."""
    reasoning, answer = split_answer(targets)
    if answer is None:
        raise DataError(
            "the reasoning of an exemplar comes to no answer",
            where=where,
            expected="'So the answer is ….' at its end",
            got=repr(targets[-60:]),
        )
    rationale = reasoning.removeprefix(TRIGGER).strip()
    return Example(question, targets, (), provenance, (), rationale, answer.removesuffix("."))


def _malformed(where: str, line: int, expected: str) -> DataError:
    return DataError(
        "the exemplars are not in the published layout",
        where=f"{where}:{line}",
        expected=expected,
        fix="copy the file again from where it was published",
    )


def published_rows(task: Task, rows: Sequence[Exemplar]) -> PublishedExemplars:
    """The exemplars of a benchmark that has them as the rows of a split.

    Args:
        task: its `source.exemplars` names the split.
        rows: all of that split, in order.

    Raises:
        UsageError: the task's exemplars are not a split's rows.
        DataError: a row cannot be rendered.
    """
    exemplars = task.source.exemplars
    if exemplars is None or exemplars.reasoning is None:
        raise UsageError("the task has no split of published exemplars", where=task.name)
    worked = replace(task, templates={"published": exemplars.reasoning})
    shots = []
    for row, record in rows:
        asked = render(task.as_published, record, split=exemplars.split, row=row)
        targets = render(worked, record, split=exemplars.split, row=row).inputs
        shots.append(asked._replace(targets=targets, answer=asked.targets))
    form = FewShotForm(exemplars.question_mark, "\n", exemplars.answer_mark, "\n\n")
    return PublishedExemplars("", tuple(shots), form, trigger="")


def without_reasoning(exemplars: Sequence[Example]) -> tuple[Example, ...]:
    """Published exemplars for direct answers: the reasoning left out."""
    return tuple(e._replace(targets=e.answer, answer="", rationale="") if e.answer else e for e in exemplars)


def published_prompt(
    task: Task,
    record: Record,
    exemplars: PublishedExemplars,
    *,
    split: str,
    row: int,
    thought: Literal["none", "rationale"] = "rationale",
    shots: int | None = None,
    style: Style = PLAIN,
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> FewShot:
    """Put one record to a model behind published exemplars, as they were published.

    The question is in the exemplars' layout, by the task's `source.exemplars`, whatever the style says of
    options; with `style.mark_fields` the example says where its own words are, so that a cut keeps the
    exemplars and what comes after the question.

    Args:
        task: the task the record belongs to.
        record: the row.
        exemplars: of the task's benchmark.
        split: the split the record is in.
        row: its position there.
        thought: as `published_few_shot`.
        shots: as `published_few_shot`.
        style: everything else about the question.
        max_tokens: as `published_few_shot`.
        count_tokens: as `published_few_shot`.

    Raises:
        UsageError: the task's data set has no published exemplars.
        DataError: the record cannot be rendered.
    """
    question = render(task.as_published, record, split=split, row=row, style=replace(style, options="row"))
    return published_few_shot(
        question,
        exemplars,
        thought=thought,
        shots=shots,
        max_tokens=max_tokens,
        count_tokens=count_tokens,
    )


def published_few_shot(
    question: Example,
    exemplars: PublishedExemplars,
    *,
    thought: Literal["none", "rationale"] = "rationale",
    shots: int | None = None,
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> FewShot:
    r"""Put a question behind published exemplars.

    Args:
        question: its inputs are the question alone, without `Q:` and `A:`.
        exemplars: what stands before it.
        thought: `rationale`: the exemplars' reasoning is shown, and the question ends with the phrase that
            theirs begins with. `none`: only their answers.
        shots: the first so many of them; None: all.
        max_tokens: the prompt's budget; exemplars are kept from the first on while they fit.
        count_tokens: of a text; needed with a budget.

    >>> from ramekin.text.example import Provenance
    >>> text = "Wet?\n\nQ: fog\nA: Let's think step by step. It clears. The answer is no."
    >>> wet = read_exemplars(text, where="x")
    >>> rain = Example("rain", "yes", (), Provenance("toy/wet", "published", "test", 0))
    >>> published_few_shot(rain, wet, thought="none").example.inputs
    'Wet?\n\nQ: fog\nA: no\n\nQ: rain\nA:'
    """
    shown = exemplars.shots[:shots]
    form = exemplars.form
    if thought == "none":
        shown = without_reasoning(shown)
    elif exemplars.trigger:
        form = replace(form, suffix=f" {exemplars.trigger}")
    return few_shot(
        question,
        shown,
        form=form,
        instruction=exemplars.instruction,
        max_tokens=max_tokens,
        count_tokens=count_tokens,
    )
