"""Plain text as a task: some spans of words are taken out, and are to be written.

T5's pre-training objective (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4), on words instead of
tokens, so that it needs no tokenizer:

    the pilot <extra_id_0> the red boat   ->   <extra_id_0> never saw <extra_id_1>

Knows nothing of where the text is from.
"""

import random

from ramekin.text.example import Example, Provenance

__all__ = ["corrupt_spans", "denoising_example"]


def corrupt_spans(
    text: str, *, seed: int, density: float = 0.2, mean_span_words: float = 2.0, max_spans: int = 16
) -> tuple[str, str]:
    """Inputs and targets of one text.

    Args:
        text: at least two words.
        seed: of the choice of spans.
        density: the share of words taken out, at least one word and never all.
        mean_span_words: how many neighbouring words are taken at once, on average.
        max_spans: at most so many spans, as each needs a sentinel of its own.

    >>> corrupt_spans("the pilot never saw the red boat", seed=1)
    ('the pilot never saw the <extra_id_0>', '<extra_id_0> red boat <extra_id_1>')
    """
    words = text.split()
    if len(words) < 2:
        raise ValueError(f"a text of at least two words is needed, got {text!r}")
    rng = random.Random(seed)
    wanted = min(len(words) - 1, max(1, round(len(words) * density)))
    taken: set[int] = set()
    for _ in range(4 * wanted):
        if len(taken) >= wanted or _num_runs(taken) > max_spans:
            break
        length = min(wanted - len(taken), max(1, round(rng.expovariate(1 / mean_span_words))))
        start = rng.randrange(len(words) - length + 1)
        taken.update(range(start, start + length))
    inputs: list[str] = []
    targets: list[str] = []
    spans = 0
    for place, word in enumerate(words):
        if place not in taken:
            inputs.append(word)
            continue
        if place - 1 not in taken:
            inputs.append(f"<extra_id_{spans}>")
            targets.append(f"<extra_id_{spans}>")
            spans += 1
        targets.append(word)
    return " ".join(inputs), " ".join([*targets, f"<extra_id_{spans}>"])


def denoising_example(text: str, *, name: str, row: int, seed: int) -> Example:
    """One text as an example; `name` stands where a task's name would."""
    inputs, targets = corrupt_spans(text, seed=seed * 1_000_003 + row)
    return Example(inputs, targets, (), Provenance(name, "denoise", "train", row))


def _num_runs(places: set[int]) -> int:
    return sum(place - 1 not in places for place in places)
