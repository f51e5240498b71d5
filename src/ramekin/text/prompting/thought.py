"""Chains of thought: the reasoning before the answer, asked for or shown.

In training the rationale stands before the answer in the target (Flan 2022, arXiv 2301.13688); at test time
a trigger phrase asks for it (Kojima et al. 2022, arXiv 2205.11916), or exemplars show it (Wei et al. 2022,
arXiv 2201.11903), drawn from the data or published with a benchmark. `text.answers` reads the answer again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import DataError
from ramekin.text.answers import split_answer
from ramekin.text.example import Example, Provenance

__all__ = [
    "LEADS",
    "TRIGGER",
    "PublishedExemplars",
    "inverted",
    "read_exemplars",
    "with_rationale",
    "with_trigger",
    "without_reasoning",
]

TRIGGER = "Let's think step by step."
"""Kojima et al.'s phrase."""

LEADS = ("The answer is", "Therefore, the answer is", "So, the final answer is")
"""What leads from the reasoning to the answer; all of them are read back by `answers.extract_answer`."""

_END = re.compile(r"[.!?。！？।]['\")\]”’»]*$")


def with_rationale(example: Example, *, lead: str = LEADS[0], trigger: str = "") -> Example:
    """The example whose target is its reasoning and then its answer.

    Args:
        example: it has a rationale.
        lead: what stands between the two.
        trigger: what is added to the inputs; empty: nothing.

    Raises:
        DataError: the example has no rationale; whoever mixes examples leaves such rows out and counts them.
    """
    _require_reasoning(example)
    targets = f"{_ended(example.rationale)} {lead} {_ended(example.targets)}"
    asked = with_trigger(example, trigger) if trigger else example
    return asked._replace(targets=targets, answer=example.answer or example.targets)


def _require_reasoning(example: Example) -> None:
    if not example.rationale.strip():
        raise DataError(
            "there is no reasoning to show",
            where=example.provenance.id,
            expected="a task with 'rationale', and a row that has it",
            fix="ramekin tasks list kind=chain_of_thought shows the tasks that have one",
        )


def with_trigger(example: Example, trigger: str = TRIGGER) -> Example:
    """The example whose inputs end in a phrase that asks for the reasoning."""
    return example._replace(inputs=f"{example.inputs}\n{trigger}")


def inverted(question: str, example: Example, *, reasoned: bool = False) -> Example:
    """Flan 2022's input inversion: from reasoning and answer to the question.

    Args:
        question: what the record asks, without the template's own words.
        example: its rationale, where it has one, and its answer are what is given.
        reasoned: it must have a rationale.

    Raises:
        DataError: `reasoned`, and the example has no rationale.
    """
    if reasoned:
        _require_reasoning(example)
    given = f"{_ended(example.rationale)} " if example.rationale else ""
    answer = example.answer or example.targets
    return Example(
        f"{given}The answer is {_ended(answer)} What was the question?",
        question,
        (),
        example.provenance,
    )


def _ended(text: str) -> str:
    text = text.strip()
    return text if _END.search(text) else f"{text}."


@final
@dataclass(frozen=True, slots=True)
class PublishedExemplars:
    """The exemplars that a benchmark was published with."""

    instruction: str
    """What stands before them."""
    shots: tuple[Example, ...]
    """Inputs without `Q:`, targets without `A:`; the rationale is apart where it is found."""


_QUESTION = re.compile(r"^Q:\s*", re.M)
_ANSWER = re.compile(r"^A:\s*", re.M)


def read_exemplars(text: str, *, name: str) -> PublishedExemplars:
    """Read exemplars in the form of BIG-bench Hard's and MMLU's: an instruction, then `Q:` and `A:` in turn.

    A line of dashes ends a heading (BBH's canary), which is left out.

    Args:
        text: the file's text.
        name: of the file, for errors and provenance.

    Raises:
        DataError: there is no `Q:`, or a question without an `A:`.
    """
    heading, line, rest = text.partition("\n-----\n")
    body = rest if line else heading
    instruction, *questions = _QUESTION.split(body)
    if not questions:
        raise DataError(
            "the exemplar file has no question", where=name, expected="lines that begin with 'Q:'"
        )
    shots = []
    for number, block in enumerate(questions):
        asked, *answers = _ANSWER.split(block, maxsplit=1)
        if not answers:
            raise DataError(f"exemplar {number + 1} has no answer", where=name, expected="a line 'A: …'")
        targets = answers[0].strip()
        reasoning, answer = split_answer(targets)
        shots.append(
            Example(
                asked.strip(),
                targets,
                (),
                Provenance(name, "published", "exemplars", number),
                rationale="" if answer is None else reasoning.removeprefix(TRIGGER).strip(),
                answer="" if answer is None else answer.removesuffix("."),
            )
        )
    return PublishedExemplars(instruction.strip(), tuple(shots))


def without_reasoning(exemplars: Sequence[Example]) -> tuple[Example, ...]:
    """Published exemplars for direct answers: the reasoning left out."""
    return tuple(e._replace(targets=e.answer, answer="", rationale="") if e.answer else e for e in exemplars)
