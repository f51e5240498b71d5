"""Contains: the share of answers in which a reference occurs, as whole words.

Of models that answer in sentences ("It was built in Rome." holds "Rome"), as open-domain question answering
is often scored (Mallen et al. 2023, arXiv 2212.10511). Texts are compared by SQuAD's rule, see
`squad.normalised`. An answer that lists everything holds everything: where answers name several of their
example's options, the note says how many do.
"""

from ramekin.text.metrics.match import match_metric
from ramekin.text.metrics.squad import normalised
from ramekin.text.metrics.values import Answers

__all__ = ["CONTAINS"]


def _holds(written: str, wanted: str) -> bool:
    """Whether the words of a text occur in another, side by side and in order; no words occur nowhere."""
    return bool(wanted) and f" {wanted} " in f" {written} "


def _named(answers: Answers) -> list[int | None]:
    """How many of its options each answer names, an option within a longer one aside; None: has none."""
    forms = {options: list(dict.fromkeys(map(normalised, options))) for options in set(answers.choices)}
    named: list[int | None] = []
    for text, options in zip(map(normalised, answers.predictions), answers.choices, strict=True):
        held = [form for form in forms[options] if _holds(text, form)]
        longest = [form for form in held if not any(form != other and _holds(other, form) for other in held)]
        named.append(len(longest) if options else None)
    return named


def _note(answers: Answers) -> str:
    several = sum(number is not None and number > 1 for number in _named(answers))
    return f"{several} prediction{'s name' if several > 1 else ' names'} several options" if several else ""


CONTAINS = match_metric(
    "contains",
    normalised,
    lambda answers: _named(answers).count(0),
    matches=_holds,
    note=_note,
)
"""The share of predictions that hold a reference."""
