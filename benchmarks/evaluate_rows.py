"""Rows for the comparisons of evaluation: real ones under ramekin's templates, or of an exact length.

A peer is given the very prompts and options, as JSON Lines; how it encodes them is its own affair.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerFast

from ramekin.catalog import Catalog
from ramekin.errors import RamekinError
from ramekin.evaluate.sets import EvalSet
from ramekin.recipes.data import read_task
from ramekin.recipes.places import Places
from ramekin.tensors.tokenizer import token_ids
from ramekin.text.example import Example, Provenance

__all__ = ["MULTIPLE_CHOICE", "Found", "made_set", "peer_rows", "read_sets", "write_rows"]

MULTIPLE_CHOICE = (
    "super_glue/rte",
    "super_glue/cb",
    "super_glue/copa",
    "closed_book_qa/arc_challenge",
    "mmlu/abstract_algebra",
    "mmlu/marketing",
    "mmlu/professional_law",
    "bbh/date_understanding",
    "bbh/reasoning_about_colored_objects",
)
"""Two to eighteen options a row, in the last two not equal in number, of one to sixty tokens."""


class Found(NamedTuple):
    """The sets that are there, and what is not."""

    sets: list[EvalSet]
    skipped: list[str]
    """Sets without data, and how many rows of which were left out, in words."""


def read_sets(
    names: Sequence[str],
    data_root: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    rows: int | None,
    templates: str = "first",
) -> Found:
    """The first template of each task on some rows of its validation split, or else of its test split.

    Rows with two options of the same tokens are left out: which of them is right no model can say.
    """
    found = Found([], [])
    for name in names:
        split = "validation" if "validation" in Catalog()[name].source.splits else "test"
        try:
            read = read_task(name, split=split, templates=templates, limit=rows, places=Places(data_root))
        except RamekinError as error:
            found.skipped.append(f"{name}: {str(error).splitlines()[0][:100]}")
            continue
        for each in read:
            fit = tuple(example for example in each.examples if _is_distinct(example, tokenizer))
            if left_out := len(each.examples) - len(fit):
                found.skipped.append(
                    f"{name}: {left_out} of {len(each.examples)} rows, with options of the same tokens"
                )
            found.sets.append(EvalSet(each.task, each.template, each.split, fit, each.records.origin))
    return found


def made_set(
    tokenizer: PreTrainedTokenizerFast,
    *,
    rows: int | None,
    input_tokens: int,
    options: int,
    option_tokens: int,
    seed: int = 0,
) -> EvalSet:
    """Rows of random words: prompts of `input_tokens` with `</s>`, options of `option_tokens` without.

    No two options of a row begin with the same word.
    """
    words, rng = _whole_words(tokenizer), random.Random(seed)
    examples = []
    for row in range(rows):
        inputs = " ".join(rng.choices(words, k=input_tokens - 1))
        firsts = rng.sample(words, options)
        choices = tuple(" ".join([first, *rng.choices(words, k=option_tokens - 1)]) for first in firsts)
        where = Provenance("made/words", "plain", "validation", row)
        examples.append(Example(inputs, choices[row % options], choices, where))
    lengths = {len(ids) for ids in token_ids(tokenizer, [each.inputs for each in examples])}
    if lengths != {input_tokens - 1}:
        raise SystemExit(f"the vocabulary joins words: prompts have {lengths} tokens")
    task = Catalog()["super_glue/copa"]  # one whose options are its rows' own
    return EvalSet(task, "made", "validation", tuple(examples), f"words, seed {seed}")


def peer_rows(each: EvalSet) -> Iterator[dict[str, Any]]:
    """What a peer is told of each row."""
    for example in each.examples:
        yield {
            "id": example.provenance.id,
            "text": example.inputs,
            "options": list(example.options),
            "gold": example.options.index(example.targets) if example.options else -1,
        }


def write_rows(path: Path, each: EvalSet) -> Path:
    """The same as JSON Lines."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in peer_rows(each)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _is_distinct(example: Example, tokenizer: PreTrainedTokenizerFast) -> bool:
    ids = [tuple(each) for each in token_ids(tokenizer, example.options)]
    return all(ids) and len(set(ids)) == len(ids)


def _whole_words(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Words of one token, in the order of the vocabulary."""
    pieces = tokenizer.convert_ids_to_tokens(range(3, 8000))
    words = [piece[1:] for piece in pieces if piece[0] == "▁" and len(piece) > 3 and piece[1:].isalpha()]
    ids = token_ids(tokenizer, words)
    return [word for word, each in zip(words, ids, strict=True) if len(each) == 1]
