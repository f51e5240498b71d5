"""Rows of the eight tasks and plain text of the world, each a pure function of its arguments."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from random import Random

from ramekin.sources.world.draw import chance, draw_event, draw_fact, pick, draw_comparison
from ramekin.sources.world.entailment import mnli, qnli, rte
from ramekin.sources.world.grammar import say
from ramekin.sources.world.judgement import cola, review, sst2
from ramekin.sources.world.lexicon import CLASS_OF, ENTITIES
from ramekin.sources.world.similarity import mrpc, qqp, stsb

__all__ = ["SPLITS", "TASKS", "corpus", "generate"]

_MAKERS: Mapping[str, Callable[[Random, int], dict[str, object]]] = {
    "cola": cola, "mnli": mnli, "mrpc": mrpc, "qnli": qnli, "qqp": qqp, "rte": rte, "sst2": sst2, "stsb": stsb}
_LEVELS = {"cola": 2, "mnli": 3, "mrpc": 2, "qnli": 2, "qqp": 2, "rte": 2, "sst2": 2, "stsb": 6}
TASKS: tuple[str, ...] = tuple(_MAKERS)
SPLITS = ("train", "validation")


def generate(task: str, split: str, *, n: int, seed: int) -> list[dict[str, object]]:
    rng = Random(f"{task}/{split}/{seed}")
    maker, levels = _MAKERS[task], _LEVELS[task]
    rows: list[dict[str, object]] = []
    order: list[int] = []
    while len(rows) < n:
        if not order:
            order = list(range(levels))
            for i in range(levels - 1, 0, -1):
                j = int(rng.random() * (i + 1))
                order[i], order[j] = order[j], order[i]
        label = order.pop()
        while True:
            row = maker(rng, label)
            if split_of(row) == split:
                break
        row["idx"] = len(rows)
        rows.append(row)
    return rows


def split_of(row: Mapping[str, object]) -> str:
    texts = sorted(v for v in row.values() if isinstance(v, str))
    return SPLITS[blake2b("\n".join(texts).encode(), digest_size=1).digest()[0] % 4 == 0]


def corpus(n: int, *, seed: int) -> list[str]:
    rng = Random(f"corpus/{seed}")
    return [_passage(rng) for _ in range(n)]


def _passage(rng: Random) -> str:
    which = rng.random()
    if which < 0.5:
        fact = draw_fact(rng, never=0.2, kind=0.1)
        return f"{say(rng, fact)} . that is to say {say(rng, fact)} ."
    if which < 0.6:
        return f"{say(rng, draw_fact(rng))} . {say(rng, draw_fact(rng))} ."
    if which < 0.7:
        e = pick(rng, ENTITIES); c = CLASS_OF[e]
        return f"the {e} is {'an' if c[0] in 'aeiou' else 'a'} {c} ."
    if which < 0.85:
        positive = chance(rng, 0.5)
        return f"{review(rng, positive)} . it was {'a success' if positive else 'a failure'} ."
    return str(cola(rng, 1)["sentence"]) + " ."
