"""Evaluate a model: examples in, an `Evaluation` with scores, intervals and every prediction out.

All sets of a model are answered together, sorted by length, whatever task they belong to. How tokens are
chosen and options scored is `infer`'s, what a metric is `text.metrics`'; this module joins them by the rules
of a mode. The sets and their encoding are `sets`' (offered here too).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.errors import UsageError
from ramekin.evaluate.answering import Asked, How, OnProgress, log_probs_of, versions, written_for
from ramekin.evaluate.answers import answers_of
from ramekin.evaluate.choices import Answer, ChoiceSet, Question, choose
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES, Mode
from ramekin.evaluate.sets import EncodedEvalSet, EvalSet, encode_sets
from ramekin.tensors.encode import EncodedSet
from ramekin.tensors.tokenizer import decode
from ramekin.text.answers import extract_answer, parse_number
from ramekin.text.metrics import METRICS, Answers, score_answers
from ramekin.text.task import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = [
    "EncodedEvalSet",
    "EvalSet",
    "OnProgress",
    "encode_sets",
    "evaluate",
    "evaluate_encoded",
    "metrics_of",
    "versions",
]

_TURNED_METRICS = ("rougeL", "chrf")
"""Of what a turned-around template asks for: a question, a story, always free text."""


def evaluate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    sets: Sequence[EvalSet],
    *,
    mode: Mode | str = "fusionbench",
    batch_tokens: int = 8192,
    seed: int = 0,
    max_input_tokens: int = 512,
    on_progress: OnProgress | None = None,
    journal: Path | None = None,
) -> Evaluation:
    """Score a model on every set.

    Args:
        model: an encoder-decoder, on the device it shall run on.
        tokenizer: its tokenizer.
        sets: the examples, a set a task and template.
        mode: the scoring rules, or their name in `MODES`.
        batch_tokens: padded tokens in a batch; it bounds memory and, near-ties aside, changes no answer.
        seed: of the bootstrap intervals.
        max_input_tokens: prompts longer than this are cut at the right end and counted.
        on_progress: told how many examples are answered.
        journal: a JSONL file that keeps finished answers, so that the same call goes on after a kill and
            ends in the same scores, bit for bit.

    Raises:
        UsageError: no such mode, two sets are the same, or a flipped mode's have no flipped form.
        DataError: a set is empty, an example has no tokens, or it has no options where they are ranked.
        WeightsError: the model writes logits that are not finite.
    """
    rules = MODES[mode] if isinstance(mode, str) else mode
    encoded = encode_sets(sets, tokenizer, mode=rules, max_input_tokens=max_input_tokens)
    return evaluate_encoded(
        model,
        tokenizer,
        encoded,
        mode=rules,
        batch_tokens=batch_tokens,
        seed=seed,
        max_input_tokens=max_input_tokens,
        on_progress=on_progress,
        journal=journal,
    )


def evaluate_encoded(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    sets: Sequence[EncodedEvalSet],
    *,
    mode: Mode,
    batch_tokens: int = 8192,
    seed: int = 0,
    max_input_tokens: int = 512,
    on_progress: OnProgress | None = None,
    journal: Path | None = None,
) -> Evaluation:
    """`evaluate` on sets that were encoded once for many models."""
    from ramekin.infer.generate import ignored_settings
    from ramekin.weights.seq2seq import parameter_counts

    _check_direction(sets, mode)
    started = time.perf_counter()
    answers, seconds = _answers(model, tokenizer, sets, How(mode, batch_tokens, on_progress, journal))
    total_seconds = time.perf_counter() - started
    parts, start = [], 0
    for place, each in enumerate(sets):
        end = start + len(each.source.examples)
        parts.append(_score_set(each, answers[start:end], mode, seed, seconds[place]))
        start = end
    counts = parameter_counts(model)
    return Evaluation(
        tasks=tuple(parts),
        mode=mode,
        seed=seed,
        batch_tokens=batch_tokens,
        max_input_tokens=max_input_tokens,
        seconds=total_seconds,
        trainable_parameters=counts.trainable,
        all_parameters=counts.all,
        versions=versions(),
        ignored_settings={} if mode.ranks else ignored_settings(model),
    )


def _check_direction(sets: Sequence[EncodedEvalSet], mode: Mode) -> None:
    for each in sets:
        if each.direction != mode.direction:
            raise UsageError(
                "the examples were encoded for another kind of mode",
                where=each.source.name,
                expected=mode.direction,
                got=each.direction,
            )


def _answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    sets: Sequence[EncodedEvalSet],
    how: How,
) -> tuple[list[Answer], Mapping[int, float]]:
    """The answer to every example of every set, and the seconds of each set."""
    asked = list(_asked(sets))
    if not how.mode.ranks:
        written, seconds = written_for(model, asked, how)
        texts = {ids: decode(tokenizer, ids) for ids in set(written)}
        return [Answer(texts[ids]) for ids in written], seconds
    ranked, seconds = log_probs_of(model, asked, how)
    choices = [c for each in sets if isinstance(each.encoded, ChoiceSet) for c in each.encoded.items]
    log_probs: list[list[float]] = [[] for _ in choices]
    for each, values in zip(asked, ranked, strict=True):
        log_probs[each.example] += values
    return list(map(choose, choices, log_probs)), seconds


def _asked(sets: Sequence[EncodedEvalSet]) -> Iterator[Asked]:
    """Every input of every example, in order."""
    place = 0
    for part, each in enumerate(sets):
        for example, questions in zip(each.source.examples, _questions(each.encoded), strict=True):
            for question in questions:
                yield Asked(question, place, example.provenance.id, part)
            place += 1


def _questions(encoded: EncodedSet | ChoiceSet) -> Iterator[tuple[Question, ...]]:
    """What is asked of each example."""
    if isinstance(encoded, ChoiceSet):
        yield from (choice.questions for choice in encoded.items)
    else:
        yield from ((Question(item.input_ids, ()),) for item in encoded.items)


def _score_set(
    each: EncodedEvalSet, given: Sequence[Answer], mode: Mode, seed: int, seconds: float
) -> TaskEvaluation:
    task = each.source.task
    answers = answers_of(
        each.source.examples,
        _read(each.source, given, mode),
        options=() if _is_turned(each.source) else task.options,
        golds=each.golds,
        references=each.references,
    )
    metrics = metrics_of(each.source, mode)
    return TaskEvaluation(
        task=task.name,
        template=each.source.template,
        split=each.source.split,
        origin=each.source.origin,
        options=answers.options,
        scores=tuple(score_answers(name, answers, seed=seed) for name in metrics),
        majority={name: METRICS[name].majority(answers) for name in metrics},
        predictions=tuple(_predictions(each, answers, given, mode)),
        seconds=seconds,
        truncated_inputs=each.encoded.truncated_inputs,
        truncated_targets=each.encoded.truncated_targets,
        unknown_inputs=each.encoded.unknown_inputs,
        changed_targets=each.changed_targets,
        skipped=each.source.skipped,
        ties=sum(answer.is_tied for answer in given),
        words=each.source.words,
    )


def _read(each: EvalSet, given: Sequence[Answer], mode: Mode) -> list[str]:
    """The answers, read out of what was written where the mode says so; "" where there is none."""
    if mode.extraction == "exact" or _is_turned(each):
        return [answer.text for answer in given]
    is_number = each.task.kind == "number"
    found = (
        extract_answer(answer.text, options=example.options or each.task.options, is_number=is_number)
        for answer, example in zip(given, each.examples, strict=True)
    )
    return [one.answer or "" for one in found]


def _is_turned(each: EvalSet) -> bool:
    """Whether the template asks for something else than the task's answer."""
    template = each.task.templates.get(each.template)
    return template is not None and template.turned


def metrics_of(each: EvalSet, mode: Mode) -> tuple[str, ...]:
    """What a set is scored by: the mode's headline for its kind of answer, then the task's own metrics."""
    kind: Kind = "text" if _is_turned(each) else each.task.kind
    own = _TURNED_METRICS if _is_turned(each) else each.task.metrics
    return tuple(dict.fromkeys((mode.headline.get(kind) or own[0], *own)))


def _predictions(
    each: EncodedEvalSet, answers: Answers, given: Sequence[Answer], mode: Mode
) -> Iterator[Prediction]:
    is_number = each.source.task.kind == "number" and not _is_turned(each.source)
    columns = zip(each.source.examples, answers.predictions, answers.accepted, answers.read, strict=True)
    for row, (example, text, accepted, read) in enumerate(columns):
        yield Prediction(
            id=example.provenance.id,
            inputs=example.inputs,
            target=answers.targets[row],
            prediction=text,
            correct=text in accepted,
            parsed=parse_number(text) if is_number else read,
            references=answers.references[row] if answers.references else (),
            options=answers.example_options[row] if answers.example_options else (),
            option_scores=given[row].scores,
            written=given[row].text if mode.extraction == "answer" else "",
            passage=example.passage,
            question=example.question,
        )
