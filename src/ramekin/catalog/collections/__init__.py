"""Collections of others as tasks: a local clone is read, and none of its code is run.

A folder's kind is told by what lies in it:

    promptsource           …/templates.yaml                      p3/DATASET.SUBSET
    natural-instructions   tasks/task001_….json                  ni/task001_…
    BIG-bench              benchmark_tasks/NAME/task.json         big_bench/NAME
    FLAN chain of thought  cot_data/NAME_train.tsv               flan_cot/NAME
    instructions           NAME.jsonl                            instructions/NAME

Registering looks at file names only; a task's file is read when the task is asked for. A collection may use
aliases and tags in its YAML as its own format does; nothing else is relaxed.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias, final

from ramekin.catalog.collections import (
    bigbench,
    flan_cot,
    instructions,
    natural_instructions,
    promptsource,
)
from ramekin.text.task import Task

__all__ = ["CLONES", "COLLECTION_FORMS", "Collected", "Collection", "collection_of"]

Collected: TypeAlias = tuple[str, Path]
"""A task's name and its file."""


@final
class Collection(NamedTuple):
    """A kind of collection."""

    kind: str
    files: Callable[[Path], Iterator[Collected]]
    """The tasks of a folder, by file names alone; nothing where the folder is of another kind."""
    read: Callable[[str, Path], Task]
    """One task from its file."""


_COLLECTIONS: Final = (
    Collection("promptsource", promptsource.task_files, promptsource.read_task),
    Collection("natural-instructions", natural_instructions.task_files, natural_instructions.read_task),
    Collection("BIG-bench", bigbench.task_files, bigbench.read_task),
    Collection("FLAN chain of thought", flan_cot.task_files, flan_cot.read_task),
    Collection("instructions", instructions.task_files, instructions.read_task),
)


COLLECTION_FORMS: Final = (
    "a clone of promptsource, natural-instructions or BIG-bench, FLAN's NAME_train.tsv, "
    "or NAME.jsonl with instructions"
)
"""What a folder may be, for errors."""
CLONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "p3": "a clone of promptsource (bigscience-workshop/promptsource on GitHub)",
        "ni": "a clone of natural-instructions (allenai/natural-instructions on GitHub)",
        "big_bench": "a clone of BIG-bench (google/BIG-bench on GitHub)",
        "flan_cot": "FLAN's chain-of-thought files (flan/v2/cot_data of google-research/FLAN on GitHub)",
        "instructions": "a folder of NAME.jsonl with instructions",
    }
)
"""What has the tasks of a family, for errors."""


def collection_of(folder: Path) -> tuple[Collection, tuple[Collected, ...]] | None:
    """What collection a folder is, and its tasks; None if it is none of those known."""
    for collection in _COLLECTIONS:
        found = tuple(collection.files(folder))
        if found:
            return collection, found
    return None
