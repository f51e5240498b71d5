"""Evaluate a model: examples in, an `Evaluation` with scores, intervals and every prediction out.

All sets of a model are answered together, sorted by length, whatever task they belong to. How tokens are
chosen is `infer`'s, what a metric is `text.metrics`'; this module joins them by the rules of a mode.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.errors import DataError, UsageError
from ramekin.evaluate.answers import answers_of
from ramekin.evaluate.evaluation import Evaluation, Prediction, TaskEvaluation
from ramekin.evaluate.journal import Journal, fingerprint
from ramekin.evaluate.mode import MODES, Mode
from ramekin.tensors.encode import EncodedSet, encode
from ramekin.tensors.tokenizer import decode, token_ids
from ramekin.text.answers import parse_number
from ramekin.text.example import Example
from ramekin.text.metrics import METRICS, Answers, score_answers
from ramekin.text.task import Kind, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from ramekin.infer.generate import Finished

__all__ = [
    "EncodedEvalSet",
    "EvalSet",
    "OnProgress",
    "encode_sets",
    "evaluate",
    "evaluate_encoded",
    "versions",
]

_TURNED_METRICS = ("rougeL", "chrf")
"""Of what a turned-around template asks for: a question, a story, always free text."""

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told (answered examples, all examples) after each batch."""


@final
@dataclass(frozen=True)
class EvalSet:
    """Examples of one task under one template that are scored together."""

    task: Task
    template: str
    split: str
    examples: tuple[Example, ...]
    origin: str
    """Where the records came from."""
    skipped: int = 0
    """Records that could not be read and were left out."""

    @property
    def name(self) -> str:
        """`glue/rte#fusionbench/validation`."""
        return f"{self.task.name}#{self.template}/{self.split}"


@final
@dataclass(frozen=True)
class EncodedEvalSet:
    """An `EvalSet` as tokens; it serves every model that shares the tokenizer."""

    source: EvalSet
    encoded: EncodedSet
    golds: tuple[str, ...]
    """What answers are compared with, by the mode's rule."""
    changed_targets: int
    """Targets that do not survive encoding and decoding."""
    references: tuple[tuple[str, ...], ...]
    """For each example, what counts as right beside its gold, by the mode's rule."""


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
        UsageError: no such mode, or two sets are the same.
        DataError: a set is empty, or an example has no tokens.
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


def encode_sets(
    sets: Sequence[EvalSet],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    mode: Mode,
    max_input_tokens: int = 512,
) -> tuple[EncodedEvalSet, ...]:
    """Tokenise the sets and find what answers are compared with; see `evaluate`."""
    _check_sets(sets)
    return tuple(_encode_set(each, tokenizer, mode, max_input_tokens) for each in sets)


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

    started = time.perf_counter()
    written, seconds = _answer(model, sets, mode, batch_tokens, on_progress, journal)
    total_seconds = time.perf_counter() - started
    texts: dict[tuple[int, ...], str] = {ids: decode(tokenizer, ids) for ids in set(written)}
    parts, start = [], 0
    for place, each in enumerate(sets):
        end = start + len(each.encoded.items)
        predictions = [texts[ids] for ids in written[start:end]]
        parts.append(_score_set(each, predictions, mode, seed, seconds[place]))
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
        ignored_settings=ignored_settings(model),
    )


def versions() -> dict[str, str]:
    """The versions that an answer depends on."""
    import platform
    from importlib.metadata import version

    names = ("ramekin", "torch", "transformers", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _check_sets(sets: Sequence[EvalSet]) -> None:
    seen: set[str] = set()
    for each in sets:
        if each.name in seen:
            raise UsageError(
                "the same examples are to be scored twice", where=each.name, fix="name them once"
            )
        seen.add(each.name)
        if not each.examples:
            raise DataError("there is nothing to score", where=each.name, expected="at least one example")


def _encode_set(
    each: EvalSet, tokenizer: "PreTrainedTokenizerFast", mode: Mode, max_input_tokens: int
) -> EncodedEvalSet:
    encoded = encode(
        each.examples,
        tokenizer,
        max_input_tokens=max_input_tokens,
        max_target_tokens=mode.max_target_tokens,
        input_eos=mode.input_eos,
    )
    decoded = {ids: decode(tokenizer, ids) for ids in {item.target_ids for item in encoded.items}}
    tripped = tuple(decoded[item.target_ids] for item in encoded.items)
    targets = tuple(example.targets for example in each.examples)
    changed = sum(map(str.__ne__, tripped, targets))
    if mode.gold == "round_trip":
        references = _round_trip(each.examples, tokenizer, mode.max_target_tokens)
        return EncodedEvalSet(each, encoded, tripped, changed, references)
    return EncodedEvalSet(each, encoded, targets, changed, tuple(e.references for e in each.examples))


def _round_trip(
    examples: Sequence[Example], tokenizer: "PreTrainedTokenizerFast", max_target_tokens: int
) -> tuple[tuple[str, ...], ...]:
    """The references encoded as targets are and decoded again; those that leave nothing are dropped."""
    texts = sorted({text for example in examples for text in example.references})
    ids = token_ids(tokenizer, texts)
    tripped = {
        text: decode(tokenizer, each[: max_target_tokens - 1]) for text, each in zip(texts, ids, strict=True)
    }
    return tuple(tuple(filter(None, map(tripped.__getitem__, e.references))) for e in examples)


def _answer(
    model: "PreTrainedModel",
    sets: Sequence[EncodedEvalSet],
    mode: Mode,
    batch_tokens: int,
    on_progress: OnProgress | None,
    journal: Path | None,
) -> tuple[list[tuple[int, ...]], list[float]]:
    """The tokens written for every example of every set, and the seconds of each set."""
    from ramekin.infer.generate import generate

    items = [item for each in sets for item in each.encoded.items]
    places = [place for place, each in enumerate(sets) for _ in each.encoded.items]
    names = [item.provenance.id for item in items]
    inputs = [item.input_ids for item in items]
    seconds = [0.0] * len(sets)
    with ExitStack() as stack:
        kept: Journal | None = None
        if journal is not None:
            opened = Journal(journal, weights=fingerprint(model), mode=mode, versions=versions())
            kept = stack.enter_context(opened)
        known = dict(_known(kept, names, inputs))
        answered = set(known)
        last = time.perf_counter()

        def finished(batch: "Finished") -> None:
            nonlocal last
            if kept is not None:
                fresh = (
                    (names[index], inputs[index], ids)
                    for index, ids in zip(batch.indices, batch.outputs, strict=True)
                    if index not in known
                )
                kept.add(fresh)
            now = time.perf_counter()
            _share(now - last, batch.indices, inputs, places, seconds)
            last = now
            answered.update(batch.indices)
            if on_progress is not None:
                on_progress(len(answered), len(items))

        written = generate(
            model,
            inputs,
            max_new_tokens=mode.max_new_tokens,
            batch_tokens=batch_tokens,
            known=known,
            on_batch=finished,
        )
    return [tuple(ids) for ids in written], seconds


def _known(
    journal: Journal | None, names: Sequence[str], inputs: Sequence[Sequence[int]]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    if journal is None:
        return
    for index, (name, ids) in enumerate(zip(names, inputs, strict=True)):
        answer = journal.answer(name, ids)
        if answer is not None:
            yield index, answer


def _share(
    elapsed: float,
    indices: Sequence[int],
    inputs: Sequence[Sequence[int]],
    places: Sequence[int],
    seconds: list[float],
) -> None:
    """Add a batch's time to its sets, by their share of its input tokens."""
    tokens = sum(len(inputs[index]) for index in indices)
    for index in indices:
        seconds[places[index]] += elapsed * len(inputs[index]) / tokens


def _score_set(
    each: EncodedEvalSet, written: Sequence[str], mode: Mode, seed: int, seconds: float
) -> TaskEvaluation:
    task = each.source.task
    turned = _is_turned(each.source)
    answers = answers_of(
        each.source.examples,
        written,
        options=() if turned else task.options,
        golds=each.golds,
        references=each.references,
    )
    metrics = _metrics("text", _TURNED_METRICS, mode) if turned else _metrics(task.kind, task.metrics, mode)
    return TaskEvaluation(
        task=task.name,
        template=each.source.template,
        split=each.source.split,
        origin=each.source.origin,
        options=answers.options,
        scores=tuple(score_answers(name, answers, seed=seed) for name in metrics),
        majority={name: METRICS[name].majority(answers) for name in metrics},
        predictions=tuple(_predictions(each, answers)),
        seconds=seconds,
        truncated_inputs=each.encoded.truncated_inputs,
        truncated_targets=each.encoded.truncated_targets,
        unknown_inputs=each.encoded.unknown_inputs,
        changed_targets=each.changed_targets,
        skipped=each.source.skipped,
    )


def _is_turned(each: EvalSet) -> bool:
    """Whether the template asks for something else than the task's answer."""
    template = each.task.templates.get(each.template)
    return template is not None and template.turned


def _metrics(kind: Kind, own: Sequence[str], mode: Mode) -> tuple[str, ...]:
    """The mode's headline for this kind of answer, then the task's own metrics."""
    return tuple(dict.fromkeys((mode.headline.get(kind) or own[0], *own)))


def _predictions(each: EncodedEvalSet, answers: Answers) -> Iterator[Prediction]:
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
        )
