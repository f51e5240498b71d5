"""How the admissible answers stand in a prompt.

FLAN 2021 (arXiv 2109.01652) lists them after `OPTIONS:`, as dashes or with letters; Flan 2022 (arXiv
2301.13688) draws the list's opening, the items' names and their separator for each example, and where the
names are unique the name is what the model must write. Knows nothing of templates.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.text.draw import draw, drawn_order

__all__ = ["OPTION_FORMS", "OptionForm", "OptionOrder", "OptionsAs", "drawn_form", "option_form", "ordered"]

OptionsAs: TypeAlias = Literal["dashes", "letters", "items", "row", "drawn", "none"]
"""`dashes`, `letters`: FLAN 2021's two forms. `items`: letters, and the letter is the answer. `row`: the same
in one row without an opening, as in MMLU's published exemplars. `drawn`: a form drawn for each example, as in
Flan 2022. `none`: the options are not shown."""

OptionOrder: TypeAlias = Literal["given", "drawn", "sorted"]
"""As the task has them, drawn for each example, or by the alphabet."""

MAX_ITEMS = 26
"""More options than letters have no item names."""


@final
@dataclass(frozen=True, slots=True)
class OptionForm:
    r"""One way to write a list of options.

    >>> OptionForm().text(("yes", "no"))
    'OPTIONS:\n- yes\n- no'
    >>> form = OptionForm(item="({A})", item_is_target=True)
    >>> form.text(("yes", "no")), form.items(2)
    ('OPTIONS:\n(A) yes\n(B) no', ('(A)', '(B)'))
    """

    start: str = "OPTIONS:"
    """What opens the list; it may be empty."""
    item: str = "-"
    """What stands before each option: `{A}`, `{a}`, `{1}` or `{i}` is its letter or number."""
    separator: str = "\n"
    """What stands between the items."""
    item_is_target: bool = False
    """Whether the item's name is what the model must write."""

    @property
    def is_named(self) -> bool:
        """Whether each item has a name of its own."""
        return "{" in self.item

    def items(self, count: int) -> tuple[str, ...]:
        """The items' names, such as `(A)` and `(B)`.

        Raises:
            DataError: there are more items than letters.
        """
        return _item_names(self.item, count)

    def text(self, options: Sequence[str]) -> str:
        """The options as the prompt shows them."""
        opening = self.start + ("\n" if self.separator == "\n" else " ") if self.start else ""
        if self.is_named:
            names = _item_names(self.item, len(options))
            lines = [f"{name} {option}" for name, option in zip(names, options, strict=True)]
            return opening + self.separator.join(lines)
        bullet = f"{self.item} " if self.item else ""
        return opening + bullet + f"{self.separator}{bullet}".join(options)


@lru_cache(maxsize=1024)
def _item_names(item: str, count: int) -> tuple[str, ...]:
    if "{" not in item:
        return (item,) * count
    if count > MAX_ITEMS:
        expected = f"at most {MAX_ITEMS}"
        raise DataError("there are more options than letters", expected=expected, got=str(count))
    return tuple(
        item.replace("{A}", string.ascii_uppercase[place])
        .replace("{a}", string.ascii_lowercase[place])
        .replace("{1}", str(place + 1))
        .replace("{i}", _ROMAN[place])
        for place in range(count)
    )


_ROMAN = (
    "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv", "xvi",
    "xvii", "xviii", "xix", "xx", "xxi", "xxii", "xxiii", "xxiv", "xxv", "xxvi",
)  # fmt: skip

OPTION_FORMS: dict[str, OptionForm] = {
    "dashes": OptionForm(),
    "letters": OptionForm(item="({A})"),
    "items": OptionForm(item="({A})", item_is_target=True),
    "row": OptionForm("", "({A})", " ", item_is_target=True),
}
"""The forms with a name of their own."""

_STARTS = (
    "OPTIONS:", "Options:", "Choices:", "Pick one:", "Choose one of these:", "Possible answers:",
    "The answer is one of:", "Available answers:", "Select from:", "Answer with one of the following:",
    "Candidates:", "Which of these?", "Your choices are", "Admissible answers:",
    "Answers to choose from:", "",
)  # fmt: skip
_WRAPS = ("{}", "{}.", "{})", "({})", "[{}]", "{}:", "{} -", "#{}", "option {}:", "{} =", "({}).")
_NAMES = ("{A}", "{a}", "{1}", "{i}")
_BULLETS = ("", "-", "*", "+", "•", "--", "- -", "=", ">")
_ENDINGS = ("\n", "; ", ", ")
_ITEMS = tuple(wrap.format(name) for name, wrap in product(_NAMES, _WRAPS))


def drawn_form(*key: object) -> OptionForm:
    """A form drawn by the key: an opening, an item style and a separator.

    Half of the forms have named items, whose name is the target, and half have bullets.
    """
    start = _STARTS[draw(len(_STARTS), *key, "start")]
    separator = _ENDINGS[draw(len(_ENDINGS), *key, "separator")]
    if draw(2, *key, "named"):
        item = _ITEMS[draw(len(_ITEMS), *key, "item")]
        return OptionForm(start, item, separator, item_is_target=True)
    return OptionForm(start, _BULLETS[draw(len(_BULLETS), *key, "item")], separator)


def option_form(shown: OptionsAs, count: int, *key: object) -> OptionForm | None:
    """The form for so many options; None where they are not to be shown.

    More options than there are letters are listed with dashes.
    """
    if shown == "none" or not count:
        return None
    form = drawn_form(*key) if shown == "drawn" else OPTION_FORMS[shown]
    return OPTION_FORMS["dashes"] if count > MAX_ITEMS and form.is_named else form


def ordered(options: Sequence[str], order: OptionOrder, *key: object) -> list[int]:
    """The places of the options in the order in which they are to be shown."""
    places = list(range(len(options)))
    if order == "sorted":
        return sorted(places, key=lambda place: options[place])
    return drawn_order(places, *key, "options") if order == "drawn" else places
