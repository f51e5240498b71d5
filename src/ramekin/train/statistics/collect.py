"""Collect statistics of a model on examples, and write their arrays as they are ready.

This module knows nothing of tasks or merging; the description of a folder is its caller's to write.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from ramekin.infer.ready import in_evaluation_mode
from ramekin.tensors.encode import Encoded
from ramekin.train.statistics.fisher import fisher_information
from ramekin.train.statistics.gram import gram_matrices
from ramekin.train.statistics.sampling import with_sampled_target
from ramekin.weights.statistics import KindFacts, write_arrays

__all__ = ["FisherTargets", "collect_fisher", "collect_grams"]

FisherTargets = Literal["sampled", "empirical"]
"""Whose likelihood the Fisher information is of: targets drawn from the model, or the gold ones."""


def collect_fisher(
    model: Any,
    items: Sequence[Encoded],
    folder: Path,
    *,
    targets: FisherTargets = "sampled",
    seed: int = 0,
    max_target_tokens: int = 128,
    on_examples: Callable[[int], None] = lambda _: None,
) -> KindFacts:
    """The diagonal Fisher information, written as `fisher.safetensors`.

    Args:
        model: a plain model in evaluation mode.
        items: the examples.
        folder: where the file goes.
        targets: `sampled` from the model, or the gold targets (`empirical`).
        seed: of what is drawn.
        max_target_tokens: where a drawn target that has no end is cut.
        on_examples: told how many more are done.
    """

    def with_targets() -> Iterator[Encoded]:
        for item in items:
            yield (
                with_sampled_target(model, item, seed=seed, max_target_tokens=max_target_tokens)
                if targets == "sampled"
                else item
            )

    with in_evaluation_mode(model):
        found = fisher_information(model, with_targets(), on_example=lambda: on_examples(1))
    write_arrays(folder / "fisher.safetensors", {name: each.cpu().numpy() for name, each in found.items()})
    drawn = {"seed": seed, "max_target_tokens": max_target_tokens} if targets == "sampled" else {}
    return KindFacts(("fisher.safetensors",), about={"targets": targets, **drawn})


def collect_grams(
    model: Any,
    items: Sequence[Encoded],
    folder: Path,
    *,
    max_tokens: int = 8192,
    on_examples: Callable[[int], None] = lambda _: None,
) -> KindFacts:
    """The Gram matrices of the inputs of every linear map, written as `gram.safetensors`.

    Args:
        model: a plain model in evaluation mode.
        items: the examples.
        folder: where the file goes.
        max_tokens: padded tokens in a forward pass.
        on_examples: told how many more are done.
    """
    found = gram_matrices(model, items, max_tokens=max_tokens, on_examples=on_examples)
    write_arrays(
        folder / "gram.safetensors", {name: each.cpu().numpy() for name, each in found.matrices.items()}
    )
    return KindFacts(("gram.safetensors",), stored=found.stored)
