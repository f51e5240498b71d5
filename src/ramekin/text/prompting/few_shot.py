"""Exemplars before the question: k-shot prompts in Flan's forms.

An exemplar is the form's prefix, its inputs, the delimiter, its targets and the separator; the question ends
where its answer is to begin. The forms are FLAN 2021's (arXiv 2109.01652) and Flan 2022's (arXiv 2301.13688).
Exemplars that do not fit a budget are pruned from the end of the list, and how many is said. Knows nothing of
where exemplars come from; whoever calls counts the tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.text.draw import draws
from ramekin.text.example import Example

__all__ = [
    "FLAN_2021",
    "FLAN_2022",
    "QA",
    "SHOT_FORMS",
    "FewShot",
    "FewShotForm",
    "ShotForm",
    "exemplar_rows",
    "few_shot",
    "moved",
]

ShotForm: TypeAlias = Literal["flan_2022", "flan_2021", "qa"]
"""The forms' names."""


@final
@dataclass(frozen=True, slots=True)
class FewShotForm:
    """How exemplars and question are joined."""

    inputs_prefix: str = ""
    delimiter: str = "\n\n"
    """Between the inputs and the targets of an exemplar."""
    targets_prefix: str = ""
    separator: str = "\n\n\n"
    """After each exemplar."""
    suffix: str = ""
    """After the whole prompt."""


FLAN_2022 = FewShotForm()
FLAN_2021 = FewShotForm("0 ", " X ", "1 ", " X ", " FLAN")
QA = FewShotForm("Q: ", "\n", "A: ", "\n\n")
"""The form of published chain-of-thought exemplars."""
SHOT_FORMS: Final[Mapping[ShotForm, FewShotForm]] = MappingProxyType(
    {"flan_2022": FLAN_2022, "flan_2021": FLAN_2021, "qa": QA}
)


@final
@dataclass(frozen=True, slots=True)
class FewShot:
    """A k-shot example and what became of its exemplars."""

    example: Example
    used: int
    pruned: int
    """Exemplars that did not fit the budget."""


def few_shot(
    question: Example,
    exemplars: Sequence[Example],
    *,
    form: FewShotForm = FLAN_2022,
    instruction: str = "",
    max_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> FewShot:
    """Put exemplars before a question.

    Args:
        question: what is asked; all but its inputs, and where its fields are in them, stays.
        exemplars: in the order in which they are to stand.
        form: how they are joined.
        instruction: what stands before all of them.
        max_tokens: the prompt's budget; exemplars are kept from the first on while they fit with the
            question, and the others are pruned. A question that is longer by itself stays whole.
        count_tokens: of a text; needed with a budget.

    Raises:
        DataError: an exemplar is of the question's own row.
    """
    for exemplar in exemplars:
        if _row(exemplar) == _row(question):
            raise DataError("an exemplar is the question itself", where=question.provenance.id)
    asked = form.inputs_prefix + question.inputs + form.delimiter + form.targets_prefix.rstrip()
    asked = asked.rstrip(" ") + form.suffix
    shown = [
        form.inputs_prefix + e.inputs + form.delimiter + form.targets_prefix + e.targets + form.separator
        for e in exemplars
    ]
    head = f"{instruction}{form.separator}" if instruction else ""
    used = len(shown)
    if max_tokens is not None:
        assert count_tokens is not None, "a budget needs count_tokens"
        while used and count_tokens(head + "".join(shown[:used]) + asked) > max_tokens:
            used -= 1
    before = head + "".join(shown[:used])
    # Flan 2022 leaves the delimiter's line breaks at the end, but has none in a prompt without exemplars.
    inputs = before + asked if before else asked.strip()
    start = len(before) if before else len(asked.lstrip()) - len(asked)
    fields = moved(question.fields, start + len(form.inputs_prefix), len(inputs))
    return FewShot(question._replace(inputs=inputs, fields=fields), used, len(shown) - used)


def moved(fields: Sequence[tuple[int, int]], by: int, end: int) -> tuple[tuple[int, int], ...]:
    """An example's `fields` where its inputs stand further on in a text of `end` characters.

    >>> moved([(0, 4), (6, 9)], 10, 18)
    ((10, 14), (16, 18))
    """
    places = [(max(0, start + by), min(end, stop + by)) for start, stop in fields]
    return tuple((start, stop) for start, stop in places if start < stop)


def _row(example: Example) -> tuple[str, str, int]:
    """The row, whichever template it is asked by."""
    return example.provenance.task, example.provenance.split, example.provenance.row


def exemplar_rows(count: int, rows: int, *key: object, never: int | None = None) -> list[int]:
    """Which rows of a training split are the exemplars of one question.

    Args:
        count: how many are wanted; fewer come back where the split is smaller.
        rows: how many rows the split has.
        key: of the draw, such as (seed, task, row, epoch).
        never: the question's own row, where it is of the same split.

    >>> 3 in exemplar_rows(4, 5, "key", never=3)
    False
    """
    if never is None or not 0 <= never < rows:
        return draws(count, rows, *key, "shots")
    # Drawn among the others: a place at or after the question's own stands for the next one.
    return [place + (place >= never) for place in draws(count, rows - 1, *key, "shots")]
