"""How a task's rows are put to a model within a mixture: shots, options, reasoning, inversion, ablation.

A form is a value that can be written in a mixture's file and compared; `prompting` makes of it what
`text.prompting.prompt` takes. Knows nothing of rates.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, final

from ramekin.errors import UsageError
from ramekin.text.draw import draw
from ramekin.text.options import OptionOrder, OptionsAs
from ramekin.text.prompting.ablation import Ablation
from ramekin.text.prompting.few_shot import SHOT_FORMS, ShotForm
from ramekin.text.prompting.prompt import Prompting, Thought
from ramekin.text.render import Style

__all__ = ["PLAIN_FORM", "LabelWords", "PromptForm", "drawn_words", "prompting"]

LabelWords: TypeAlias = tuple[tuple[str, str], ...]
"""Options, each with the word that stands for it instead; none: the task's own words."""


@final
@dataclass(frozen=True, slots=True)
class PromptForm:
    """One way in which a mixture puts its tasks.

    >>> str(PromptForm(shots=2, options="none"))
    'shots=2 options=none'

    Raises:
        UsageError: a number is out of range, or an inversion is to ask for reasoning or to be ablated.
    """

    share: float = 1.0
    """Of the task's draws, relative to the shares of the mixture's other forms."""
    shots: int = 0
    """How many exemplars of the training split stand before the question."""
    options: OptionsAs = "dashes"
    option_order: OptionOrder = "given"
    cot: Thought = "none"
    """`rationale`: the reasoning stands in the target, or in the inputs of an inversion."""
    inverted: bool = False
    """Flan 2022's input inversion: from the answer, and the reasoning with `cot`, to what was asked."""
    ablation: Ablation = "none"
    shot_form: ShotForm = "flan_2022"
    exemplar_templates: Literal["same", "drawn"] = "same"
    """Exemplars in the question's template, or each in one of its own."""
    words: tuple[LabelWords, ...] = ()
    """Other words for the options, in prompt and target alike: of several, one is drawn for each row."""
    templates: tuple[str, ...] = ()
    """Of the templates that the task gives to the mixture, these alone; none named: all of them."""
    shown_exemplars: bool = False
    """Whether the templates themselves show exemplars, as natural-instructions' own examples."""

    @property
    def has_exemplars(self) -> bool:
        """Whether its prompts have exemplars, drawn or the templates' own."""
        return self.shots > 0 or self.shown_exemplars

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and self.share > 0):
            raise UsageError("a form's share must be above 0", where=str(self), got=str(self.share))
        if self.shots < 0:
            raise UsageError("a form's shots must be 0 or more", got=str(self.shots))
        if self.inverted and (self.cot == "trigger" or self.ablation != "none"):
            raise UsageError(
                "an inverted form asks for the question alone",
                where=str(self),
                expected="cot: none or rationale, and no ablation",
            )

    def __str__(self) -> str:
        """What differs from the plain form, but for the share."""
        told = (
            f"{field.name}={self._value(field.name)}"
            for field in fields(self)
            if field.name != "share" and getattr(self, field.name) != field.default
        )
        return " ".join(told)

    def _value(self, name: str) -> str:
        if name == "templates":
            return "+".join(self.templates)
        if name != "words":
            return str(getattr(self, name))
        return "|".join(",".join(f"{option}:{word}" for option, word in each) for each in self.words)


PLAIN_FORM = PromptForm()
"""No exemplars, options after FLAN's dashes."""


def prompting(
    form: PromptForm,
    *,
    seed: int = 0,
    epoch: int = 0,
    split: str = "train",
    max_tokens: int | None = None,
) -> Prompting:
    """What `text.prompting.prompt.prompt` takes for a form.

    Args:
        form: how a leaf's rows are put.
        seed: of what is drawn for each row.
        epoch: which time the row is met.
        split: of the leaf, from which exemplars are drawn too.
        max_tokens: the prompt's budget, to which exemplars are pruned; None: none are.
    """
    return Prompting(
        style=Style(options=form.options, option_order=form.option_order, seed=seed, epoch=epoch),
        thought=form.cot,
        inverted=form.inverted,
        ablation=form.ablation,
        form=SHOT_FORMS[form.shot_form],
        exemplar_split=split,
        exemplar_templates=form.exemplar_templates,
        max_tokens=max_tokens,
    )


def drawn_words(form: PromptForm, *key: object) -> dict[str, str]:
    """The other words for the options of one row, drawn by the key; empty where the form has none.

    >>> drawn_words(PromptForm(words=((("yes", "agree"), ("no", "disagree")),)), 0, "glue/rte", 7)
    {'yes': 'agree', 'no': 'disagree'}
    """
    return dict(form.words[draw(len(form.words), *key, "words")]) if form.words else {}
