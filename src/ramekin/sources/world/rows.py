"""Rows of the world's tasks: a pure function of task, split, number and seed.

Which split a row belongs to is decided by its own texts, so train and validation share no row whatever seeds
and numbers were asked for. Knows nothing of where the rows go.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from random import Random

from ramekin.errors import UsageError
from ramekin.registry import Registry, unknown_name
from ramekin.sources.world.entailment import mnli, qnli, rte
from ramekin.sources.world.judgement import cola, sst2
from ramekin.sources.world.papers import papers
from ramekin.sources.world.passage import PARTS, boolq, multirc, squad
from ramekin.sources.world.similarity import mrpc, qqp, stsb
from ramekin.sources.world.steps import chain, ledger, ranking, tally

__all__ = ["SPLITS", "TASKS", "generate", "split_of"]

_LEVELS: Mapping[str, int] = {
    "mnli": 3,
    "papers": len(PARTS),
    "squad": len(PARTS),
    "stsb": 6,
}  # the others have two labels
_MAKERS: Registry[Callable[[Random, int], dict[str, object]]] = Registry(
    "task of the built-in world",
    [
        ("boolq", boolq),
        ("chain", chain),
        ("cola", cola),
        ("ledger", ledger),
        ("mnli", mnli),
        ("mrpc", mrpc),
        ("multirc", multirc),
        ("papers", papers),
        ("qnli", qnli),
        ("qqp", qqp),
        ("ranking", ranking),
        ("rte", rte),
        ("squad", squad),
        ("sst2", sst2),
        ("stsb", stsb),
        ("tally", tally),
    ],
)

TASKS: tuple[str, ...] = tuple(_MAKERS)
SPLITS: tuple[str, ...] = ("train", "validation")
_IN_VALIDATION = 80  # of 256


def generate(task: str, split: str, *, n: int, seed: int) -> list[dict[str, object]]:
    """`n` rows with the columns of the GLUE or SuperGLUE task, or of SQuAD, of that name, `idx` included.

    `chain`, `ledger`, `ranking` and `tally` are namesakes of nothing: facts, question, steps and answer;
    `papers`: abstract, introduction, question and answer.

    Rows are the same for the same `task`, `split` and `seed`, and a longer list begins with the shorter.
    Labels are balanced: each block of as many rows as there are labels has every label once (stsb: every
    number of agreeing parts; papers and squad: every part that is asked for).

    Raises:
        UsageError: the task or the split is unknown, or `n` is negative.
    """
    maker = _MAKERS[task]
    if split not in SPLITS:
        raise UsageError(unknown_name("split of the built-in world", split, SPLITS))
    if n < 0:
        raise UsageError(
            "a negative number of rows", where=f"{task}/{split}", expected="0 or more", got=str(n)
        )
    rng = Random(f"ramekin world/{task}/{split}/{seed}")
    labels = _labels(rng, _LEVELS.get(task, 2))
    rows: list[dict[str, object]] = []
    for idx in range(n):
        label = next(labels)
        row = maker(rng, label)
        while split_of(row) != split:
            row = maker(rng, label)
        row["idx"] = idx
        rows.append(row)
    return rows


def split_of(row: Mapping[str, object]) -> str:
    """The split that a row belongs to by its texts, in whatever order they stand."""
    texts = sorted(value for value in row.values() if isinstance(value, str))
    digest = blake2b("\n".join(texts).encode(), digest_size=1).digest()
    return "validation" if digest[0] < _IN_VALIDATION else "train"


def _labels(rng: Random, levels: int) -> Iterator[int]:
    """Every label once, in random order; and again."""
    while True:
        left = list(range(levels))
        while left:
            yield left.pop(int(rng.random() * len(left)))
