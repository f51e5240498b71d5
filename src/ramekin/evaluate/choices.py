"""What a ranking mode asks about each example, and which option the log-probabilities choose.

Either all options are scored given the prompt (rank classification), or one text is scored given an input for
each option: the instruction given the record with the option (FLIPPED, Ye et al. 2022, arXiv 2210.02969), or
the prompt given the option alone (the channel of Min et al. 2022, arXiv 2108.04106). Knows nothing of models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.errors import DataError
from ramekin.evaluate.mode import Mode, Normalisation
from ramekin.tensors.encode import cut, encode
from ramekin.tensors.tokenizer import EOS_ID, distinct_ids, has_unknown
from ramekin.text.example import Example
from ramekin.text.flip import Flipped, ending

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "Answer",
    "Choice",
    "ChoiceSet",
    "Ids",
    "Question",
    "check_rankable",
    "choose",
    "encode_channel",
    "encode_choices",
    "encode_flipped",
]

Ids: TypeAlias = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Question:
    """One input, and what is scored given it."""

    input_ids: Ids
    scored: tuple[Ids, ...]


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """One example as a ranking mode puts it to a model."""

    options: tuple[str, ...]
    """Each once."""
    questions: tuple[Question, ...]
    """Their log-probabilities, one after the other, are those of the options; with `pmi` those that they have
    without the prompt come after."""
    divisors: Mapping[Normalisation, tuple[int, ...]]
    """What each option's log-probability is divided by, for each normalisation that is asked for."""


@final
@dataclass(frozen=True, slots=True)
class ChoiceSet:
    """Examples as choices, in order, and how many of them lost something on the way."""

    items: tuple[Choice, ...]
    truncated_inputs: int
    """Examples with an input that was cut."""
    truncated_targets: int
    """Examples of which something that is scored was cut at the right end."""
    unknown_inputs: int
    """Examples with an `<unk>` in an input."""
    unknown_targets: int
    """Examples with an `<unk>` in what is scored."""
    input_tokens: int = 0
    """Tokens of all inputs before any were cut, `</s>` not counted; of one for each option all."""
    lost_tokens: int = 0
    """How many of them were cut."""
    lost_from_fields: int = 0
    """How many of those were the record's own words; the others were lost at the right end, or before the
    option that an input ends with."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What an example was answered with."""

    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """Where options are ranked, what each was ranked by: its log-probability, divided by the mode's rule."""
    is_tied: bool = False
    """Whether several options have the highest score, or several answers the most votes; then the first of
    them is the answer."""
    others: Mapping["Normalisation", str] = field(default_factory=dict)
    """Where options are ranked, what they are by the other normalisations that are reported."""
    samples: tuple[str, ...] = ()
    """Where several answers were drawn, all of them, as they were written."""
    votes: Mapping[str, int] = field(default_factory=dict)
    """How often each answer was read out of them."""
    log_prob: float | None = None
    """That of the target, where it is asked for."""
    num_tokens: int = 0
    """Tokens of the target, where its log-probability is asked for."""


def choose(choice: Choice, log_probs: Sequence[float]) -> Answer:
    """The option of the highest score, the first among equals; by the first normalisation, and the others.

    >>> yes_no = Choice(("yes", "no"), (), {"tokens": (1, 2)})
    >>> found = choose(yes_no, [-1.5, -2.0])
    >>> found.text, found.scores, found.is_tied
    ('no', {'yes': -1.5, 'no': -1.0}, False)
    """
    found = {each: _scores(choice, log_probs, each) for each in choice.divisors}
    first, *others = found
    values = found[first]
    best = max(values)
    return Answer(
        choice.options[values.index(best)],
        dict(zip(choice.options, values, strict=True)),
        values.count(best) > 1,
        {each: choice.options[found[each].index(max(found[each]))] for each in others},
    )


def _scores(choice: Choice, log_probs: Sequence[float], normalisation: Normalisation) -> list[float]:
    """What the options are ranked by."""
    count = len(choice.options)
    if normalisation == "pmi":
        return [given - alone for given, alone in zip(log_probs[:count], log_probs[count:], strict=True)]
    divisors = choice.divisors[normalisation]
    return [value / divisor for value, divisor in zip(log_probs[:count], divisors, strict=True)]


def check_rankable(examples: Iterable[Example], mode: Mode) -> None:
    """Refuse examples whose answer cannot be chosen among options.

    Raises:
        DataError: one has no options, or its answer is none of them; it is named, and the mode to use.
    """
    for example in examples:
        if not example.options:
            raise DataError(
                f"there are no options for mode '{mode.name}' to rank",
                where=example.provenance.id,
                expected="a prompt whose answer is among options",
                got=f"the answer {example.targets[:80]!r}",
                fix="use mode=generate, which compares texts",
            )
        if not {example.targets, *example.references}.intersection(example.options):
            raise DataError(
                f"the answer is not among the options that mode '{mode.name}' ranks",
                where=example.provenance.id,
                expected=f"one of {', '.join(map(repr, example.options[:8]))}",
                got=repr(example.targets[:80]),
                fix="use mode=generate, which compares texts, or correct the row",
            )


def encode_choices(
    examples: Sequence[Example],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    mode: Mode,
    max_input_tokens: int = 512,
) -> ChoiceSet:
    """The prompt of each example with all its options.

    Raises:
        DataError: an example cannot be ranked, is empty after tokenising, or has two options of equal tokens.
    """
    check_rankable(examples, mode)
    prompts = encode(
        examples,
        tokenizer,
        max_input_tokens=max_input_tokens,
        max_target_tokens=mode.max_target_tokens,
        input_eos=mode.input_eos,
    )
    whole = distinct_ids(tokenizer, (option for example in examples for option in example.options))
    room = _room(mode)
    ids = {option: each[:room] for option, each in whole.items()}
    choices = []
    for example, prompt in zip(examples, prompts.items, strict=True):
        options = _distinct_options(example, ids)
        scored = tuple(_scored(ids[option], mode) for option in options)
        divisors = {
            each: tuple(_divisor(*pair, each) for pair in zip(options, scored, strict=True))
            for each in mode.normalisations
        }
        # What an option has by itself is asked of an input that is empty, yet an encoder needs a token.
        alone = (Question((EOS_ID,), scored),) if "pmi" in divisors else ()
        choices.append(Choice(options, (Question(prompt.input_ids, scored), *alone), divisors))
    return ChoiceSet(
        tuple(choices),
        prompts.truncated_inputs,
        sum(any(len(whole[option]) > room for option in example.options) for example in examples),
        prompts.unknown_inputs,
        sum(any(has_unknown(whole[option]) for option in example.options) for example in examples),
        prompts.input_tokens,
        prompts.lost_tokens,
        prompts.lost_from_fields,
    )


def encode_flipped(
    examples: Sequence[Flipped],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    mode: Mode,
    max_input_tokens: int = 512,
) -> ChoiceSet:
    """The input of each example under each of its options, with the instruction.

    An input that is too long loses the end of the record's texts and keeps its label: cut at the right end it
    would be the same under all labels.

    Raises:
        DataError: an example has two options of equal tokens, or an empty one.
    """
    asked = [
        _Turned(each.example, each.example.targets, each.under, tuple(map(ending, each.example.options)))
        for each in examples
    ]
    return _encode_turned(asked, tokenizer, mode, max_input_tokens)


def encode_channel(
    examples: Sequence[Example],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    mode: Mode,
    max_input_tokens: int = 512,
) -> ChoiceSet:
    """Each option of an example as an input, with the whole prompt as what is scored: log p(prompt | option).

    Raises:
        DataError: an example cannot be ranked, or has two options of equal tokens, or an empty one.
    """
    check_rankable(examples, mode)
    asked = [_Turned(each, each.inputs, each.options, each.options) for each in examples]
    return _encode_turned(asked, tokenizer, mode, max_input_tokens)


@final
@dataclass(frozen=True, slots=True)
class _Turned:
    """An example of which one text is scored, under each of its options."""

    example: Example
    scored: str
    under: tuple[str, ...]
    """The inputs under each option."""
    endings: tuple[str, ...]
    """What each input ends with: the part that a cut must never reach."""


def _encode_turned(
    examples: Sequence[_Turned], tokenizer: "PreTrainedTokenizerFast", mode: Mode, max_input_tokens: int
) -> ChoiceSet:
    labels = distinct_ids(tokenizer, (option for each in examples for option in each.example.options))
    endings = distinct_ids(tokenizer, (text for each in examples for text in each.endings))
    targets = distinct_ids(tokenizer, (each.scored for each in examples))
    inputs = distinct_ids(tokenizer, (text for each in examples for text in each.under))
    room = max_input_tokens - int(mode.input_eos)
    input_end = (EOS_ID,) if mode.input_eos else ()
    choices: list[Choice] = []
    lengths: list[int] = []
    for each in examples:
        options = _distinct_options(each.example, labels)
        scored = _scored(targets[each.scored], mode)
        places = [each.example.options.index(option) for option in options]
        questions = tuple(
            Question(
                (*cut(inputs[each.under[place]], len(endings[each.endings[place]]), room), *input_end),
                (scored,),
            )
            for place in places
        )
        choices.append(Choice(options, questions, {"none": (1,) * len(options)}))
        lengths += [len(inputs[each.under[place]]) for place in places]
    return ChoiceSet(
        tuple(choices),
        sum(any(len(inputs[text]) > room for text in each.under) for each in examples),
        sum(len(targets[each.scored]) > _room(mode) for each in examples),
        sum(any(has_unknown(inputs[text]) for text in each.under) for each in examples),
        sum(has_unknown(targets[each.scored]) for each in examples),
        sum(lengths),
        sum(max(0, length - room) for length in lengths),
    )


def _distinct_options(example: Example, ids: Mapping[str, Ids]) -> tuple[str, ...]:
    """The example's options, each once.

    Raises:
        DataError: one has no tokens, or two have the same: the model cannot tell them apart.
    """
    by_ids: dict[Ids, str] = {}
    for option in example.options:
        if not ids[option]:
            raise DataError(
                "an option is empty after tokenising", where=example.provenance.id, got=repr(option)
            )
        other = by_ids.setdefault(ids[option], option)
        if other != option:
            raise DataError(
                "two options are the same to the model",
                where=example.provenance.id,
                expected="options of different tokens",
                got=f"{other!r} and {option!r}",
                fix="word them otherwise, or use mode=generate",
            )
    return tuple(by_ids.values())


def _room(mode: Mode) -> int:
    """Tokens of what is scored, its `</s>` left out."""
    return mode.max_target_tokens - int(mode.option_eos)


def _scored(ids: Ids, mode: Mode) -> Ids:
    return (*ids[: _room(mode)], *((EOS_ID,) if mode.option_eos else ()))


def _divisor(text: str, scored: Ids, normalisation: Normalisation) -> int:
    if normalisation == "tokens":
        return len(scored)
    if normalisation == "characters":
        return len(text)
    return len(text.encode()) if normalisation == "bytes" else 1
