"""What models are evaluated on: read and encoded once a process, however many models are asked."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.evaluate.mode import MODES
from ramekin.recipes.data import TaskExamples, evaluation_sets
from ramekin.recipes.places import Places
from ramekin.recipes.progress import AbstractProgress, SilentProgress, answering
from ramekin.recipes.results import evaluation_sets_of
from ramekin.recipes.states import InputFile, input_files, task_files
from ramekin.weights.beside import TOKENIZER_FILES

if TYPE_CHECKING:
    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.evaluate.runner import EncodedEvalSet

__all__ = ["Examination", "examine", "examined_rows"]


@final
@dataclass(frozen=True)
class Examination:
    """Tasks, and how they are asked and scored."""

    tasks: tuple[str, ...]
    split: str
    mode: str
    tokenizer: Path
    places: Places
    templates: str = "first"
    limit: int | None = None
    """Rows a task; None: all."""
    seed: int = 0
    """Of the intervals."""
    max_input_tokens: int = 512
    batch_tokens: int = 8192


def examine(
    model: Any,
    examination: Examination,
    *,
    progress: AbstractProgress | None = None,
    journal: Path | None = None,
) -> "Evaluation":
    """Score a model in memory.

    Args:
        model: an encoder-decoder, whose tokenizer is the examination's.
        examination: what it is asked.
        progress: told how many examples are answered.
        journal: the folder where finished answers are kept, for the same call to go on after a kill.
    """
    from ramekin.evaluate.runner import evaluate_encoded

    files = _files(examination)
    sets = _encoded(examination, files)
    with answering(progress or SilentProgress(), f"evaluate on {len(sets)} tasks") as on_progress:
        return evaluate_encoded(
            model,
            _tokenizer(examination.tokenizer, files),
            sets,
            batch_tokens=examination.batch_tokens,
            seed=examination.seed,
            max_input_tokens=examination.max_input_tokens,
            on_progress=on_progress,
            journal=journal,
        )


def examined_rows(examination: Examination) -> tuple[TaskExamples, ...]:
    """The rows of an examination."""
    return _rows(examination, _files(examination))


Files = tuple[InputFile, ...]


def _files(examination: Examination) -> Files:
    """The files it is read from, as they are: another state of them is another examination."""
    asked = [(name, examination.split) for name in examination.tasks]
    beside = input_files((), looked_for=[examination.tokenizer / name for name in TOKENIZER_FILES])
    return (*task_files(asked, examination.places), *beside)


@lru_cache(maxsize=4)
def _tokenizer(folder: Path, _: Files) -> Any:
    from ramekin.tensors.tokenizer import load_tokenizer

    return load_tokenizer(folder)


@lru_cache(maxsize=2)
def _rows(examination: Examination, _: Files) -> tuple[TaskExamples, ...]:
    return evaluation_sets(
        examination.tasks,
        split=examination.split,
        templates=examination.templates,
        limit=examination.limit,
        places=examination.places,
        mode=MODES[examination.mode],
    )


@lru_cache(maxsize=2)
def _encoded(examination: Examination, files: Files) -> "tuple[EncodedEvalSet, ...]":
    from ramekin.evaluate.runner import encode_sets

    return encode_sets(
        evaluation_sets_of(_rows(examination, files)),
        _tokenizer(examination.tokenizer, files),
        mode=MODES[examination.mode],
        max_input_tokens=examination.max_input_tokens,
    )
