"""Evaluate a model: examples in, an `Evaluation` with scores, intervals and every prediction out.

All sets of a model are answered together, sorted by length, whatever task they belong to. How tokens are
chosen and options scored is `infer`'s, what a metric is `text.metrics`'; this module joins them by the rules
of each set's mode. The sets and their encoding are `sets`' (offered here too).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ramekin.evaluate.answering import Asked, OnProgress, Progress, answered
from ramekin.evaluate.answers import answers_of
from ramekin.evaluate.choices import Answer, Choice, ChoiceSet, choose
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.journal import Found, Request
from ramekin.evaluate.mode import Mode
from ramekin.evaluate.reading import is_turned, read_answer
from ramekin.evaluate.sets import EncodedEvalSet, EvalSet, encode_sets
from ramekin.evaluate.voting import vote
from ramekin.infer.kept import versions
from ramekin.tensors.tokenizer import decode
from ramekin.text.answers import parse_number
from ramekin.text.metrics import METRICS, Answers, score_answers
from ramekin.text.metrics.squad import normalised
from ramekin.text.score import Score
from ramekin.text.task import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = [
    "EncodedEvalSet",
    "EvalSet",
    "OnProgress",
    "Progress",
    "encode_sets",
    "evaluate",
    "evaluate_encoded",
    "metrics_of",
    "requests_of",
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
        mode: the scoring rules of sets that have none of their own, or their name in `MODES`.
        batch_tokens: padded tokens in a batch; it bounds memory and, near-ties aside, changes no answer.
        seed: of the bootstrap intervals and of answers that are drawn.
        max_input_tokens: prompts longer than this are cut and counted.
        on_progress: told after each batch how far it is.
        journal: a folder that keeps finished answers, so that the same call goes on after a kill and ends in
            the same scores, bit for bit, and what was asked before, by whichever run, costs nothing.

    Raises:
        UsageError: no such mode, two sets are the same, or a flipped mode's have no flipped form.
        DataError: a set is empty, an example has no tokens, or it has no options where they are ranked.
        WeightsError: the model writes logits that are not finite.
    """
    encoded = encode_sets(sets, tokenizer, mode=mode, max_input_tokens=max_input_tokens)
    return evaluate_encoded(
        model,
        tokenizer,
        encoded,
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
    batch_tokens: int = 8192,
    seed: int = 0,
    max_input_tokens: int = 512,
    on_progress: OnProgress | None = None,
    journal: Path | None = None,
) -> Evaluation:
    """`evaluate` on sets that were encoded once for many models."""
    from ramekin.infer.generate import ignored_settings
    from ramekin.weights.seq2seq import parameter_counts

    started = time.perf_counter()
    asked = requests_of(sets, seed=seed)
    found, seconds = answered(
        model, asked, batch_tokens=batch_tokens, journal=journal, on_progress=on_progress
    )
    total_seconds = time.perf_counter() - started
    told: list[list[Found]] = [[] for _ in range(asked[-1].example + 1)] if asked else []
    for one, answer in zip(asked, found, strict=True):
        told[one.example].append(answer)
    parts, start = [], 0
    for place, each in enumerate(sets):
        end = start + len(each.source.examples)
        given = list(_answers(each, told[start:end], tokenizer))
        parts.append(_score_set(each, given, seed, seconds[place], model.config.vocab_size))
        start = end
    counts = parameter_counts(model)
    return Evaluation(
        tasks=tuple(parts),
        seed=seed,
        batch_tokens=batch_tokens,
        max_input_tokens=max_input_tokens,
        seconds=total_seconds,
        trainable_parameters=counts.trainable,
        all_parameters=counts.all,
        versions=versions(),
        ignored_settings=ignored_settings(model) if any(map(_writes, sets)) else {},
    )


def requests_of(sets: Sequence[EncodedEvalSet], *, seed: int = 0) -> list[Asked]:
    """Everything that is asked about every example, in order."""
    asked, place = [], 0
    for part, each in enumerate(sets):
        for requests in _requests(each, seed):
            asked += [Asked(request, place, part) for request in requests]
            place += 1
    return asked


def _requests(each: EncodedEvalSet, seed: int) -> Iterator[tuple[Request, ...]]:
    """What is asked about each example of a set."""
    if isinstance(each.encoded, ChoiceSet):
        for choice in each.encoded.items:
            yield tuple(Request(question.input_ids, question.scored) for question in choice.questions)
    elif each.mode.direction == "perplexity":
        for item in each.encoded.items:
            yield (Request(item.input_ids, (item.target_ids,)),)
    else:
        decoding = each.mode.decoding(seed if each.mode.sampling_temperature else 0)
        for item in each.encoded.items:
            yield (Request(item.input_ids, (), each.mode.max_new_tokens, decoding),)


def _writes(each: EncodedEvalSet) -> bool:
    return each.mode.direction == "generate"


def _answers(
    each: EncodedEvalSet, told: Sequence[Sequence[Found]], tokenizer: "PreTrainedTokenizerFast"
) -> Iterator[Answer]:
    """What each example of a set was answered with."""
    if isinstance(each.encoded, ChoiceSet):
        yield from map(_chosen, each.encoded.items, told)
    elif each.mode.direction == "perplexity":
        for item, (((log_prob,),),) in zip(each.encoded.items, told, strict=True):
            yield Answer("", log_prob=log_prob, num_tokens=len(item.target_ids))
    else:
        texts: dict[tuple[float, ...], str] = {}
        for (outputs,) in told:
            for ids in outputs:
                if ids not in texts:
                    texts[ids] = decode(tokenizer, [int(token) for token in ids])
        for (outputs,) in told:
            written = tuple(texts[ids] for ids in outputs)
            yield Answer(written[0], samples=written if each.mode.votes else ())


def _chosen(choice: Choice, told: Sequence[Found]) -> Answer:
    return choose(choice, [value for (values,) in told for value in values])


def _score_set(
    each: EncodedEvalSet, given: Sequence[Answer], seed: int, seconds: float, vocab_size: int
) -> TaskEvaluation:
    source, mode = each.source, each.mode
    task = source.task
    read = _read(source, given, mode)
    vocab_size = vocab_size if mode.direction == "perplexity" else 0
    answers = answers_of(
        source.examples,
        [one.text for one in read],
        options=() if is_turned(source) else task.options,
        golds=each.golds,
        references=each.references,
    )
    answers = replace(
        answers,
        losses=tuple((-one.log_prob, one.num_tokens) for one in read if one.log_prob is not None),
        vocab_size=vocab_size,
    )
    metrics = metrics_of(source, mode)
    scores = [score_answers(name, answers, seed=seed) for name in metrics]
    scores[1:1] = _other_scores(answers, read, mode, seed)
    return TaskEvaluation(
        task=task.name,
        template=source.template,
        split=source.split,
        mode=mode,
        origin=source.origin,
        options=answers.options,
        scores=tuple(scores),
        majority={
            score.metric: METRICS[score.metric if score.metric in metrics else "accuracy"].majority(answers)
            for score in scores
        },
        predictions=tuple(_predictions(each, answers, read, given)),
        seconds=seconds,
        truncated_inputs=each.encoded.truncated_inputs,
        truncated_targets=each.encoded.truncated_targets,
        unknown_inputs=each.encoded.unknown_inputs,
        changed_targets=each.changed_targets,
        skipped=source.skipped,
        ties=sum(answer.is_tied for answer in read),
        unread_samples=sum(answer.votes.get("", 0) for answer in read),
        words=source.words,
        shots=source.shots,
        pruned_exemplars=source.pruned_exemplars,
        label=source.label,
        vocab_size=vocab_size,
        max_input_tokens=source.max_input_tokens or 0,
        input_tokens=each.encoded.input_tokens,
        lost_tokens=each.encoded.lost_tokens,
        lost_from_fields=each.encoded.lost_from_fields,
    )


def _other_scores(answers: Answers, read: Sequence[Answer], mode: Mode, seed: int) -> list[Score]:
    """The accuracy by each other normalisation."""
    found = []
    for each in mode.normalisations[1:] if mode.ranks else ():
        others = replace(answers, predictions=tuple(one.others[each] for one in read))
        found.append(replace(score_answers("accuracy", others, seed=seed), metric=f"accuracy_{each}"))
    return found


def _read(each: EvalSet, given: Sequence[Answer], mode: Mode) -> list[Answer]:
    """The answers, read out of what was written where the mode says so; "" where there is none."""
    if mode.direction != "generate" or is_turned(each):
        return list(given)
    is_number = each.task.kind == "number"
    found = []
    for answer, example in zip(given, each.examples, strict=True):
        options = example.options or each.task.options
        read = [
            read_answer(text, mode, options=options, is_number=is_number)
            for text in answer.samples or (answer.text,)
        ]
        if not mode.votes:
            found.append(replace(answer, text=read[0] or ""))
            continue
        voted = vote(read, form=str if options or is_number else normalised)
        found.append(replace(answer, text=voted.answer or "", is_tied=voted.is_tied, votes=voted.votes))
    return found


def metrics_of(each: EvalSet, mode: Mode) -> tuple[str, ...]:
    """What a set is scored by: its headline, which its mode may choose for its kind of answer, then the
    task's own metrics.
    """
    kind: Kind = "text" if is_turned(each) else each.task.kind
    own = _TURNED_METRICS if is_turned(each) else each.task.metrics
    first = mode.headline.get(kind) or own[0]
    if mode.direction == "perplexity":
        return (first,)
    return tuple(dict.fromkeys((each.metric or first, first, *own)))


def _predictions(
    each: EncodedEvalSet, answers: Answers, read: Sequence[Answer], given: Sequence[Answer]
) -> Iterator[Prediction]:
    source = each.source
    is_number = source.task.kind == "number" and not is_turned(source)
    reads = each.mode.direction == "generate" and each.mode.extraction != "exact"
    columns = zip(source.examples, answers.predictions, answers.accepted, answers.read, strict=True)
    for row, (example, text, accepted, parsed) in enumerate(columns):
        answer = read[row]
        yield Prediction(
            id=example.provenance.id,
            inputs=example.inputs,
            target=answers.targets[row],
            prediction=text,
            correct=text in accepted,
            parsed=parse_number(text) if is_number else parsed,
            references=answers.references[row] if answers.references else (),
            options=answers.example_options[row] if answers.example_options else (),
            passage=example.passage,
            question=example.question,
            option_scores=answer.scores,
            written=given[row].text if reads and not answer.samples else "",
            others={str(name): text for name, text in answer.others.items()},
            samples=answer.samples,
            votes=answer.votes,
            log_prob=answer.log_prob,
            num_tokens=answer.num_tokens,
        )
