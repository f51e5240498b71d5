"""What an evaluation found: per task its scores, its predictions and everything that was lost on the way.

Plain values and their JSON. Knows nothing of how answers were found.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from ramekin import files
from ramekin.errors import DataError
from ramekin.evaluate.answers import clusters_of, questions_of
from ramekin.evaluate.mode import Mode
from ramekin.text.metrics import Answers
from ramekin.text.score import Score

__all__ = ["Evaluation", "Prediction", "TaskEvaluation", "to_json", "write_predictions"]


@final
@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered example."""

    id: str
    """The example's id: task, template, split and row."""
    inputs: str
    """The prompt."""
    target: str
    """What the answer was compared with, by the mode's rule."""
    prediction: str
    """What the model wrote, special tokens dropped, or the answer that was read out of it; where options are
    ranked, the one that was chosen; where the target is scored, nothing."""
    correct: bool
    """Whether it equals the target or another reference, character for character."""
    parsed: str | float | None
    """The answer that was read: an option, a number, or free text; None if it was unparsable."""
    references: tuple[str, ...] = ()
    """The answers that count as right beside the target, by the mode's rule."""
    options: tuple[str, ...] = ()
    """The example's own admissible answers, where examples differ in them."""
    option_scores: Mapping[str, float] = field(default_factory=dict)
    """Where options are ranked, what each was ranked by: its log-probability, divided by the mode's rule."""
    written: str = ""
    """The whole of what the model wrote, where the mode reads the answer out of it; else empty."""
    passage: str = ""
    """A short hash of what the example shares with others, where the task says what that is."""
    question: str = ""
    """A short hash of the question of which the example is one candidate answer, where it is of one."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Where options are ranked, what is chosen by the other normalisations that the mode reports."""
    samples: tuple[str, ...] = ()
    """Where several answers are drawn, all of them, as they were written."""
    votes: Mapping[str, int] = field(default_factory=dict)
    """How often each answer was read out of the samples; under "" those that could not be read."""
    log_prob: float | None = None
    """Where the target is scored, its log-probability."""
    num_tokens: int = 0
    """Where the target is scored, its tokens."""


@final
@dataclass(frozen=True, slots=True)
class TaskEvaluation:
    """One task's part of an evaluation."""

    task: str
    template: str
    split: str
    mode: Mode
    """The rules by which it was scored."""
    origin: str
    """Where the records came from: a file, a hub revision or the synthetic world with its seed."""
    options: tuple[str, ...]
    """The admissible answers; empty for numbers, free text and where each prediction has its own."""
    scores: tuple[Score, ...]
    """The headline first, then the task's other metrics."""
    majority: Mapping[str, float]
    """What the best constant answer reaches, by metric."""
    predictions: tuple[Prediction, ...]
    """One an example, in the order of the examples."""
    seconds: float
    """Wall time of its answers (tasks share batches: by their share of the input tokens)."""
    truncated_inputs: int = 0
    """Prompts that were cut."""
    truncated_targets: int = 0
    """Targets that were cut at the right end."""
    unknown_inputs: int = 0
    """Prompts with characters that the vocabulary lacks."""
    changed_targets: int = 0
    """Targets that do not survive encoding and decoding: the model cannot write them exactly. Where options
    are ranked: examples with characters in what is scored that the vocabulary lacks."""
    skipped: int = 0
    """Records that could not be read and were left out."""
    ties: int = 0
    """Examples with several options of the highest score, or several answers of the most votes; the first
    was taken."""
    unread_samples: int = 0
    """Where several answers are drawn: those that nothing could be read out of."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Options and the words that stood for them instead, in prompts and answers."""
    shots: int = 0
    """Exemplars before each question."""
    pruned_exemplars: int = 0
    """Exemplars that did not fit, or were not there, of all examples together."""
    label: str = ""
    """What tells it from a part of the same task, template and split."""
    vocab_size: int = 0
    """Where targets are scored: the tokens that each of theirs is one of."""
    max_input_tokens: int = 0
    """What its prompts are cut to, where that is not the evaluation's; 0: it is."""
    input_tokens: int = 0
    """Tokens of all prompts before any were cut; of an input for each option all of them."""
    lost_tokens: int = 0
    """How many of them were cut."""
    lost_from_fields: int = 0
    """How many of those were the ends of the record's own words; the others were lost at the right end."""

    @property
    def name(self) -> str:
        """`glue/rte#fusionbench/validation`."""
        return f"{self.task}#{self.template}/{self.split}" + (f" ({self.label})" if self.label else "")

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.predictions)

    @property
    def headline(self) -> Score:
        """The main score."""
        return self.scores[0]

    @property
    def answers(self) -> Answers:
        """Predictions and what counts as right side by side, to be scored or resampled."""
        references = tuple(p.references for p in self.predictions)
        options = tuple(p.options for p in self.predictions)
        return Answers(
            tuple(p.prediction for p in self.predictions),
            tuple(p.target for p in self.predictions),
            self.options,
            references=references if any(references) else (),
            example_options=options if any(options) else (),
            clusters=clusters_of((p.passage, p.id) for p in self.predictions),
            questions=questions_of((p.question, p.id) for p in self.predictions),
            losses=tuple((-p.log_prob, p.num_tokens) for p in self.predictions if p.log_prob is not None),
            vocab_size=self.vocab_size,
        )


@final
@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one or more tasks, each by its own rules."""

    tasks: tuple[TaskEvaluation, ...]
    seed: int
    """Of the bootstrap intervals, and of answers that are drawn; greedy ones have none."""
    batch_tokens: int
    max_input_tokens: int
    seconds: float
    """Wall time of all answers, loading and scoring not included."""
    trainable_parameters: int
    all_parameters: int
    versions: Mapping[str, str]
    ignored_settings: Mapping[str, object]
    """Settings of the checkpoint's generation configuration that decoding here does not honour."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The rules by which the tasks were scored, each once."""
        return tuple({part.mode.name: part.mode for part in self.tasks}.values())

    def task(self, name: str) -> TaskEvaluation:
        """The part of one task.

        Raises:
            DataError: it was not evaluated.
        """
        for part in self.tasks:
            if part.task == name:
                return part
        known = ", ".join(part.task for part in self.tasks)
        raise DataError("the task was not evaluated", where=name, expected=known)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values, predictions left out (`write_predictions` has them)."""
    return {
        "modes": {mode.name: mode.to_json() for mode in evaluation.modes},
        "seed": evaluation.seed,
        "batch_tokens": evaluation.batch_tokens,
        "max_input_tokens": evaluation.max_input_tokens,
        "seconds": evaluation.seconds,
        "trainable_parameters": evaluation.trainable_parameters,
        "all_parameters": evaluation.all_parameters,
        "versions": dict(evaluation.versions),
        "ignored_settings": dict(evaluation.ignored_settings),
        "tasks": [_task_json(part) for part in evaluation.tasks],
    }


def _task_json(part: TaskEvaluation) -> dict[str, Any]:
    scores = [
        {
            **asdict(score),
            "normalised": score.normalised,
            "majority": part.majority[score.metric],
            "above_chance": score.above_chance,
        }
        for score in part.scores
    ]
    return {
        "task": part.task,
        "template": part.template,
        "split": part.split,
        "mode": part.mode.name,
        "origin": part.origin,
        "n": part.n,
        "options": list(part.options),
        "scores": scores,
        "seconds": part.seconds,
        "truncated_inputs": part.truncated_inputs,
        "truncated_targets": part.truncated_targets,
        "unknown_inputs": part.unknown_inputs,
        "changed_targets": part.changed_targets,
        "skipped": part.skipped,
        **({"ties": part.ties} if part.mode.ranks or part.mode.votes else {}),
        **{key: value for key, value in _rarer(part).items() if value},
    }


def _rarer(part: TaskEvaluation) -> dict[str, Any]:
    """What most tasks have nothing of."""
    return {
        "unread_samples": part.unread_samples,
        "words": dict(part.words),
        "shots": part.shots,
        "pruned_exemplars": part.pruned_exemplars,
        "label": part.label,
        "vocab_size": part.vocab_size,
        "max_input_tokens": part.max_input_tokens,
        "input_tokens": part.input_tokens,
        "lost_tokens": part.lost_tokens,
        "lost_from_fields": part.lost_from_fields,
    }


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions as JSONL, one a line, atomically; what most lack where it is there."""
    lines = [json.dumps(_row(p), ensure_ascii=False, allow_nan=False) + "\n" for p in predictions]
    files.write_text(path, "".join(lines))


def _row(prediction: Prediction) -> dict[str, Any]:
    values = asdict(prediction)
    absent = _OFTEN_EMPTY if prediction.log_prob is None else (*_OFTEN_EMPTY, *_OF_ANSWERS)
    return {key: value for key, value in values.items() if value or key not in absent}


_OF_ANSWERS = ("prediction", "correct", "parsed")
"""Of a target that is scored nothing is answered."""


_OFTEN_EMPTY = (
    "references",
    "options",
    "option_scores",
    "written",
    "passage",
    "question",
    "others",
    "samples",
    "votes",
    "log_prob",
    "num_tokens",
)
