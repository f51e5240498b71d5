"""Chains of thought: the reasoning before the answer, asked for or shown.

In training the rationale stands before the answer in the target (Flan 2022, arXiv 2301.13688); at test time
a trigger phrase asks for it (Kojima et al. 2022, arXiv 2205.11916), or exemplars show it (Wei et al. 2022,
arXiv 2201.11903), drawn from the data or published with a benchmark. `text.answers` reads the answer again.
"""

import re

from ramekin.errors import DataError
from ramekin.text.example import Example

__all__ = [
    "LEADS",
    "TRIGGER",
    "inverted",
    "with_rationale",
    "with_trigger",
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
