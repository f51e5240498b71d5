"""F1 of one option, and its plain mean over all options (van Rijsbergen 1979; scikit-learn's `macro`)."""

from functools import partial
from typing import TYPE_CHECKING

from ramekin.errors import UsageError
from ramekin.text.metrics.bootstrap import bootstrapped
from ramekin.text.metrics.classes import class_codes, class_counts
from ramekin.text.metrics.metric import Metric, Resampler
from ramekin.text.metrics.notes import class_note, joined, text_note
from ramekin.text.metrics.values import Answers
from ramekin.text.score import Score

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ramekin.text.metrics.values import Floats

__all__ = ["F1", "F1_MACRO", "f1_metric"]


# one option


def _positive(answers: Answers) -> str:
    if answers.positive is not None:
        return answers.positive
    if len(answers.options) != 2:
        raise UsageError(
            "f1 needs to know which option is positive",
            expected="two options (the second is positive), or positive=OPTION",
            got=f"options {list(answers.options)}",
        )
    return answers.options[1]


def _f1(name: str, answers: Answers, seed: int) -> Score:
    """F1 of the positive option; an unparsable prediction is never positive.

    Chance is p / (p + 1/2): precision p (the positive share) and recall 1/2 of a fair coin.
    """
    positive = _positive(answers)
    share = answers.targets.count(positive) / len(answers.targets)
    lacking = "" if share else f"no target is '{positive}': {name} undefined, reported as 0"
    return bootstrapped(
        name,
        answers,
        _f1_prepare(answers),
        seed,
        chance=share / (share + 0.5),
        unparsable=answers.unparsable,
        note=joined(text_note(answers), lacking or class_note(answers)),
    )


def _f1_prepare(answers: Answers) -> Resampler:
    """2 TP / (2 TP + FP + FN), 0 where that is 0 / 0."""
    import numpy as np

    positive = _positive(answers)
    predicted = np.array([text == positive for text in answers.predictions])
    wanted = np.array([text == positive for text in answers.targets])
    agreed, marked = (predicted & wanted).astype(np.float64), predicted.astype(np.float64) + wanted

    def resampled(drawn: "Floats") -> "Floats":
        both, either = drawn @ agreed, drawn @ marked
        return np.where(either > 0, 2 * both / np.maximum(either, 1), 0.0)

    return resampled


def _f1_majority(answers: Answers) -> float:
    share = answers.targets.count(_positive(answers)) / len(answers.targets)
    return 2 * share / (1 + share)


# the mean over options

_NONE_HELD = "no target is an option: f1_macro reported as 0"


def _options(answers: Answers) -> tuple[str, ...]:
    if len(answers.options) < 2:
        raise UsageError(
            "f1_macro needs the options",
            expected="two or more options that all examples share",
            got=f"options {list(answers.options)}",
        )
    return answers.options


def _f1_macro(answers: Answers, seed: int) -> Score:
    """The mean of the options' F1. An unparsable prediction misses its target's option and belongs to none.

    As with scikit-learn's own labels, an option that is neither a target nor a prediction is left out of the
    mean, so a small sample of many options is not scored on options that it does not hold. Chance is the mean
    over options of 2 p q / (p + q), with the option's share p of the targets and a guesser's q = 1 / options.
    """
    options = _options(answers)
    shares = [answers.targets.count(option) / len(answers.targets) for option in options]
    held = [2 * p / (1 + p * len(options)) for p in shares if p]
    return bootstrapped(
        "f1_macro",
        answers,
        _f1_macro_prepare(answers),
        seed,
        chance=sum(held) / len(options),
        unparsable=answers.unparsable,
        note=joined(text_note(answers), class_note(answers) if held else _NONE_HELD),
    )


def _f1_macro_prepare(answers: Answers) -> Resampler:
    import numpy as np

    options = _options(answers)
    codes: dict[Hashable, int] = {option: code for code, option in enumerate(options)}
    wanted, predicted = class_codes(answers.targets, codes), class_codes(answers.predictions, codes)
    agreed = np.where(wanted == predicted, wanted, len(codes))
    classes = len(codes) + 1

    def resampled(drawn: "Floats") -> "Floats":
        both = class_counts(drawn, agreed, classes)[:, : len(options)]
        either = class_counts(drawn, wanted, classes) + class_counts(drawn, predicted, classes)
        either = either[:, : len(options)]
        held = np.maximum((either > 0).sum(axis=1), 1)
        values: Floats = (2 * both / np.maximum(either, 1)).sum(axis=1) / held
        return values

    return resampled


def _f1_macro_majority(answers: Answers) -> float:
    """Of the commonest option c with share p: its F1 over the options that are targets, and c."""
    counts = [answers.targets.count(option) for option in _options(answers)]
    share = max(counts) / len(answers.targets)
    return 2 * share / (1 + share) / max(1, sum(count > 0 for count in counts))


def f1_metric(name: str) -> Metric:
    """F1 of the positive option under that name."""
    return Metric(name, partial(_f1, name), _f1_prepare, _f1_majority)


F1 = f1_metric("f1")
"""Of the positive option alone."""
F1_MACRO = Metric("f1_macro", _f1_macro, _f1_macro_prepare, _f1_macro_majority)
"""Of all options alike."""
