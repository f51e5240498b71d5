"""The answer that a mode reads out of what a model wrote.

What the ways of reading find in a text is `text.answers`'; this module knows which of them a mode asks for,
and that a template may ask for something else than the task's answer.
"""

import re
from collections.abc import Sequence
from typing import assert_never

from ramekin.evaluate.mode import Mode
from ramekin.evaluate.sets import EvalSet
from ramekin.text.answers import extract_answer, extract_first_word, extract_number

__all__ = ["is_turned", "read_answer"]


def is_turned(each: EvalSet) -> bool:
    """Whether the set's template asks for something else than the task's answer."""
    template = each.task.templates.get(each.template)
    return template is not None and template.turned


def read_answer(text: str, mode: Mode, *, options: Sequence[str] = (), is_number: bool = False) -> str | None:
    """The answer in a text; None where there is none.

    Args:
        text: what the model wrote.
        mode: the rules.
        options: the admissible answers.
        is_number: whether a number is wanted.
    """
    match mode.extraction:
        case "exact":
            return text
        case "answer":
            return extract_answer(text, options=options, is_number=is_number).answer
        case "first_word":
            return extract_first_word(text, options=options)
        case "number":
            return extract_number(text, last=True)
        case "pattern":
            found = re.search(mode.pattern, text)
            return None if found is None else found[1 if found.re.groups else 0]
        case _:
            assert_never(mode.extraction)
