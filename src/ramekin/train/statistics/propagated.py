"""Gram matrices of what the linear maps of several models read from one merge of them, block by block.

RegMean++ (https://arxiv.org/abs/2508.03121) merges a block by what each model's own block reads when it
stands on the merged blocks below it, instead of on that model's:

    h_i      = the merged embedding of task i's tokens
    for every block, the encoder's and then the decoder's:
        G_i   = X^T X / n of the inputs of every linear map in model i's block, fed with h_i
        block = solve(G_1 … G_N)                                   which the caller does
        h_i   = block(h_i)

Within a block a model's maps read what its own maps before them give. The decoder attends to the merged
encoder's output, and reads the gold targets. Position biases shared by a stack are those of its merged
first block, which is computed once more for every block: twice the work of a forward pass, and nothing is
held but one state a token. This module knows nothing of files, nor of how a block is merged.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import DataError
from ramekin.infer.ready import in_evaluation_mode
from ramekin.tensors.collate import Batch, collate
from ramekin.tensors.encode import Encoded
from ramekin.tensors.plan import batches_by_lengths
from ramekin.train.statistics.gram import Grams, InputSums, linear_weights
from ramekin.weights.layout import HEAD
from ramekin.weights.parameters import tensors_of

__all__ = ["Read", "Solve", "propagate"]

Read = Callable[[int, Sequence[str]], Mapping[str, Tensor]]
"""From the place of a model and the names of tensors to that model's tensors."""
Solve = Callable[[Sequence[str], Sequence[Grams]], Mapping[str, Tensor]]
"""From the names of a block's tensors and the Gram matrices of each model to the merged tensors."""


def propagate(
    merged: Any,
    examples: Sequence[Sequence[Encoded]],
    read: Read,
    solve: Solve,
    *,
    max_tokens: int = 8192,
    on_block: Callable[[], None] = lambda: None,
) -> None:
    """Collect block by block, and write what is solved into the merged model.

    Args:
        merged: a plain model; its tensors outside of blocks are merged already, those of blocks are written.
        examples: of each model, in the order of the models.
        read: gives a model's own tensors.
        solve: merges a block; at the end it is given the head, where that is a map of its own.
        max_tokens: padded tokens in a pass; of no effect but on rounding.
        on_block: called after each block.

    Raises:
        DataError: a model has no examples.
        WeightsError: what is computed is not finite.
    """
    if not examples or not all(examples):
        raise DataError("a model has no examples to be merged by", expected="at least one for each")
    device = next(merged.parameters()).device
    with in_evaluation_mode(merged), torch.no_grad():
        batches = [_batches(items, max_tokens, device) for items in examples]
        encoder = _Stack(merged, "encoder", [_encoder_inputs(each) for each in batches], batches)
        for index in range(len(encoder.blocks)):
            encoder.merge(index, read, solve)
            on_block()
        inputs = [
            [_decoder_inputs(batch, output) for batch, output in zip(each, outputs, strict=True)]
            for each, outputs in zip(batches, encoder.outputs(), strict=True)
        ]
        decoder = _Stack(merged, "decoder", inputs, batches)
        for index in range(len(decoder.blocks)):
            decoder.merge(index, read, solve)
            on_block()
        if HEAD in linear_weights(merged):
            _merge_head(merged, batches, decoder.outputs(), solve)


@final
class _Stack:
    """The encoder or the decoder of the merged model, as far as it is merged.

    Args:
        model: the merged model.
        name: `encoder` or `decoder`.
        inputs: what the stack is called with, by model and batch.
        batches: the same batches, for their padding.
    """

    def __init__(
        self, model: Any, name: str, inputs: list[list[dict[str, Any]]], batches: list[list[Batch]]
    ) -> None:
        self._model, self._name = model, name
        self._stack: Any = model.get_submodule(name)
        self._inputs, self._batches = inputs, batches
        self._states: list[list[Tensor | None]] = [[None] * len(each) for each in inputs]
        self.blocks: list[nn.Module] = list(self._stack.block)

    def merge(self, index: int, read: Read, solve: Solve) -> None:
        """Collect a block's Gram matrices of every model, have it merged, and go on behind it."""
        block, prefix = self.blocks[index], f"{self._name}.block.{index}."
        names = [name for name in tensors_of(self._model) if name.startswith(prefix)]
        grams = []
        for place in range(len(self._inputs)):
            own = copy.deepcopy(block)
            _write(own, prefix, read(place, names))
            maps = {
                f"{prefix}{name}.weight": each
                for name, each in own.named_modules()
                if isinstance(each, nn.Linear)
            }
            sums = InputSums(maps)
            with sums.watching():
                for number, batch in enumerate(self._batches[place]):
                    with sums.tokens_of(batch):
                        self._run(place, number, index, own)
            grams.append(sums.grams())
        _write(block, prefix, solve(names, grams))
        self._states = [
            [self._run(place, number, index, block) for number in range(len(each))]
            for place, each in enumerate(self._inputs)
        ]

    def outputs(self) -> list[list[Tensor]]:
        """What the whole stack gives, by model and batch."""
        return [
            [self._called(place, number, [_Resumed(self.blocks[0], self._state(place, number))])
             for number in range(len(each))]
            for place, each in enumerate(self._inputs)
        ]  # fmt: skip

    def _run(self, place: int, number: int, index: int, block: nn.Module) -> Tensor:
        """What a block gives on the merged blocks before it, without the stack's last normalisation."""
        found: list[Tensor] = []

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            found.append(output if isinstance(output, Tensor) else output[0])

        handle = block.register_forward_hook(keep)
        before = [_Resumed(self.blocks[0], self._state(place, number))] if index else []
        try:
            self._called(place, number, [*before, block])
        finally:
            handle.remove()
        return found[0]

    def _state(self, place: int, number: int) -> Tensor:
        state = self._states[place][number]
        assert state is not None  # the first block has been run
        return state

    def _called(self, place: int, number: int, blocks: Sequence[nn.Module]) -> Tensor:
        with _blocks_are(self._stack, blocks):
            output: Tensor = self._stack(**self._inputs[place][number]).last_hidden_state
        return output


@final
class _Resumed(nn.Module):
    """The first block of a stack for the position biases that it makes, with a later state for its own."""

    def __init__(self, first: nn.Module, state: Tensor) -> None:
        super().__init__()
        self.first, self.state = first, state

    def forward(self, *arguments: Any, **named: Any) -> Tensor | tuple[Any, ...]:
        """The first block's outputs, the state replaced; UMT5's layers have biases of their own."""
        output = self.first(*arguments, **named)
        return self.state if isinstance(output, Tensor) else (self.state, *output[1:])


@contextlib.contextmanager
def _blocks_are(stack: Any, blocks: Sequence[nn.Module]) -> Iterator[None]:
    """While open, a stack has other blocks."""
    own = stack.block
    stack.block = nn.ModuleList(blocks)
    try:
        yield
    finally:
        stack.block = own


def _merge_head(
    merged: Any, batches: Sequence[Sequence[Batch]], outputs: Sequence[Sequence[Tensor]], solve: Solve
) -> None:
    head: nn.Linear = merged.lm_head
    grams = []
    for each, states in zip(batches, outputs, strict=True):
        sums = InputSums({HEAD: head})
        for batch, state in zip(each, states, strict=True):
            with sums.tokens_of(batch):
                sums.add(HEAD, state)
        grams.append(sums.grams())
    head.weight.copy_(solve([HEAD], grams)[HEAD])


def _batches(items: Sequence[Encoded], max_tokens: int, device: torch.device) -> list[Batch]:
    places = batches_by_lengths([item.lengths for item in items], max_tokens=max_tokens)
    return [collate([items[place] for place in batch]).to(device) for batch in places]


def _encoder_inputs(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    return [{"input_ids": batch.input_ids, "attention_mask": batch.attention_mask} for batch in batches]


def _decoder_inputs(batch: Batch, encoded: Tensor) -> dict[str, Any]:
    return {
        "input_ids": batch.decoder_input_ids,
        "encoder_hidden_states": encoded,
        "encoder_attention_mask": batch.attention_mask,
        "use_cache": False,
    }


def _write(block: nn.Module, prefix: str, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in block.named_parameters():
        parameter.copy_(tensors[prefix + name])
