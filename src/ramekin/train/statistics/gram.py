"""The Gram matrices of what a model's linear maps read: `X^T X / n` over the real tokens of examples.

The decoder reads the gold targets, shifted by one (teacher forcing). Padding is left out on both sides: a
matrix is that of the tokens, whatever the batches. Maps that read the very same inputs (queries, keys and
values of a layer; the keys and values of all cross-attention, which read the encoder's output; the two halves
of a gated feed-forward layer) share a matrix. This module knows nothing of files or of merging.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import DataError, WeightsError
from ramekin.infer.ready import in_evaluation_mode
from ramekin.tensors.collate import IGNORED_LABEL, Batch, collate
from ramekin.tensors.encode import Encoded
from ramekin.tensors.plan import batches_by_lengths
from ramekin.train.objectives.forward import target_logits
from ramekin.weights.parameters import tensors_of

__all__ = ["Grams", "InputSums", "gram_matrices", "linear_weights", "reads_encoder"]


@final
@dataclass(frozen=True, slots=True)
class Grams:
    """The Gram matrices of a model's inputs."""

    matrices: Mapping[str, Tensor]
    """float64 (in, in), by the first weight that reads those inputs."""
    stored: Mapping[str, str]
    """The name in `matrices` by the weight, for every weight of a linear map."""


def gram_matrices(
    model: Any,
    items: Sequence[Encoded],
    *,
    max_tokens: int = 8192,
    on_examples: Callable[[int], None] = lambda _: None,
) -> Grams:
    """The second moments of the inputs of every linear map, over all real tokens of the examples.

    Products are made and added in float64, on the model's device.

    Args:
        model: a plain model; its mode is left as it was.
        items: the examples; each token counts once.
        max_tokens: padded tokens in a forward pass; of no effect but on rounding.
        on_examples: told how many examples a pass had.

    Raises:
        DataError: there are no examples.
        WeightsError: what the model computes is not finite.
    """
    if not items:
        raise DataError("there are no examples to measure", expected="at least one")
    device = next(model.parameters()).device
    sums = InputSums(linear_weights(model))
    with in_evaluation_mode(model), torch.inference_mode(), sums.watching():
        for places in batches_by_lengths([item.lengths for item in items], max_tokens=max_tokens):
            batch = collate([items[place] for place in places]).to(device)
            with sums.tokens_of(batch):
                target_logits(model, batch)
            on_examples(len(places))
    return sums.grams()


def linear_weights(model: Any) -> dict[str, nn.Linear]:
    """The linear maps of a model by the names of their weights; a head that is the embedding is none."""
    own = tensors_of(model).keys()
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.weight" in own
    }


def reads_encoder(weight: str) -> bool:
    """Whether a weight's inputs are the encoder's tokens: of its own layers, or as cross-attention sees them.

    >>> reads_encoder("decoder.block.0.layer.1.EncDecAttention.k.weight")
    True
    >>> reads_encoder("decoder.block.0.layer.1.EncDecAttention.q.weight")
    False
    """
    return weight.startswith("encoder.") or weight.endswith(
        (".EncDecAttention.k.weight", ".EncDecAttention.v.weight")
    )


@final
class InputSums:
    """Adds up the products of what linear maps read.

    Args:
        maps: by the names of their weights.
    """

    def __init__(self, maps: Mapping[str, nn.Linear]) -> None:
        self._maps, self._stored = dict(maps), {}  # type: dict[str, nn.Linear], dict[str, str]
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._seen: dict[int, tuple[str, Tensor]] = {}
        self._masks: dict[bool, Tensor] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While open, whatever the maps read is added."""
        with contextlib.ExitStack() as stack:
            for name, module in self._maps.items():
                handle = module.register_forward_pre_hook(self._hook(name))
                stack.callback(handle.remove)
            yield

    @contextlib.contextmanager
    def tokens_of(self, batch: Batch) -> Iterator[None]:
        """While open, a pass is of this batch, whose padding is left out."""
        self._masks = {True: batch.attention_mask.bool(), False: batch.labels != IGNORED_LABEL}
        try:
            yield
        finally:
            self._seen.clear()

    def add(self, name: str, inputs: Tensor) -> None:
        """Add what a map reads, (batch, length, in), without the padding of the pass's batch."""
        self._stored.setdefault(name, name)
        rows = inputs[self._masks[reads_encoder(name)]].double()
        product = rows.T @ rows
        if name in self._sums:
            self._sums[name] += product
        else:
            self._sums[name] = product
        self._counts[name] = self._counts.get(name, 0) + len(rows)

    def grams(self) -> Grams:
        """The sums over their numbers of tokens.

        Raises:
            WeightsError: what was read is not finite.
        """
        for name, total in self._sums.items():
            if not bool(torch.isfinite(total).all()):
                raise WeightsError("the inputs of a linear map are not finite", where=name)
        return Grams(
            {name: total / self._counts[name] for name, total in self._sums.items()}, dict(self._stored)
        )

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def look(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            inputs: Tensor = arguments[0]
            # A tensor that is held is not made again, so that its identity stands for it during a pass.
            first, _held = self._seen.setdefault(id(inputs), (name, inputs))
            if self._stored.setdefault(name, first) == name:
                self.add(name, inputs)

        return look
