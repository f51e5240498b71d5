"""The exact gradient of one step: the sum over its target tokens divided by their number.

However the step is cut into micro-batches, the gradient is that of the one big batch (up to rounding; with
dropout, in distribution). transformers' Trainer takes the mean of each micro-batch and adds those means up
for T5, so that its gradient grows with the number of micro-batches. This module knows nothing of
optimizers, epochs or files.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from ramekin.errors import ResourceError
from ramekin.tensors.collate import Batch, collate_rows
from ramekin.tensors.encode import Encoded
from ramekin.tensors.pack import packed_rows
from ramekin.tensors.plan import micro_batches, padded_tokens, shares
from ramekin.train.faster import prepare_row_gradients
from ramekin.train.objective import Losses, Objective, sum_by_example
from ramekin.train.placement import Placement
from ramekin.train.tally import StepCount
from ramekin.train.team import AbstractTeam

__all__ = [
    "Backward",
    "Cut",
    "Measured",
    "MicroBatch",
    "accumulate",
    "clip",
    "cut_step",
    "measure",
    "optimizer_memory",
    "within_memory",
]


class Backward(Protocol):
    """What adds the gradient of a pass's loss to what is there."""

    def __call__(self, loss: Tensor, is_last: bool, /) -> None:
        """Go back from a scalar; `is_last` of this process's passes of the step."""
        ...


def _backward(loss: Tensor, _: bool) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """A step's examples, and how this process computes its share of them."""

    examples: Sequence[Encoded]
    """Of all processes."""
    rows: Sequence[Sequence[int]]
    """Which examples share a row of a batch, as places in `examples`; one each, unless packed."""
    batches: Sequence[Sequence[int]]
    """This process's micro-batches, as places in `rows`."""
    first_number: int
    """The number of the first micro-batch among those of all processes, for dropout."""
    stride: int
    """From one number to the next."""
    count: StepCount
    """Of all processes."""

    def places(self, batch: Sequence[int]) -> list[int]:
        """A micro-batch as places in `examples`."""
        return [place for row in batch for place in self.rows[row]]


@final
@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One forward pass of a step, after it."""

    places: Sequence[int]
    batch: Batch
    losses: Losses
    """Detached."""


@final
@dataclass(frozen=True, slots=True)
class Measured:
    """What a step's passes gave, as numbers."""

    loss: float
    """Mean over the step's target tokens."""
    grad_norm: float
    by_example: tuple[float, ...]
    """Summed losses of each example of the step."""
    parts: Mapping[str, float]
    """Means over the step's target tokens of what the objective tells beside the loss."""


def cut_step(
    examples: Sequence[Encoded], team: AbstractTeam, *, max_tokens: int, packing: bool = False
) -> Cut:
    """Cut a step's examples into micro-batches of little padding and take this process's share.

    Args:
        examples: of all processes.
        team: the processes.
        max_tokens: padded tokens, both sides together, in a forward pass.
        packing: whether examples may share a row.
    """
    inputs_each = max(item.rows for item in examples)
    rows = _rows(examples, range(len(examples)), max_tokens=max_tokens, packing=packing)
    lengths = [_row_lengths(examples, row) for row in rows]
    dealt = shares(lengths, ranks=team.size, max_tokens=max_tokens, rows=inputs_each)
    return Cut(
        examples,
        rows,
        dealt[team.rank],
        team.rank,
        team.size,
        StepCount(
            examples=len(examples),
            input_tokens=sum(len(item.input_ids) + len(item.wrong_input_ids) for item in examples),
            target_tokens=sum(len(item.target_ids) for item in examples),
            computed_tokens=sum(item.tokens for item in examples),
            padded_tokens=sum(
                padded_tokens(lengths, batch, rows=inputs_each) for share in dealt for batch in share if batch
            ),
        ),
    )


def accumulate(
    model: Any,
    objective: Objective,
    cut: Cut,
    placement: Placement,
    *,
    seed: int,
    step: int,
    backward: Backward = _backward,
    in_lockstep: bool = False,
) -> list[MicroBatch]:
    """Add this process's share of the step's gradient to the parameters' `.grad`.

    Dropout is drawn from (seed, step, micro-batch) alone; the global random state is left changed. An empty
    micro-batch is left out; in lockstep, a short example stands in for it, its loss multiplied by zero.
    """
    prepare_row_gradients(model)
    done: list[MicroBatch] = []
    for turn, rows in enumerate(cut.batches):
        if not rows and not in_lockstep:
            continue
        items = [[cut.examples[place] for place in cut.rows[row]] for row in rows]
        batch = collate_rows(items or [[min(cut.examples, key=lambda item: item.tokens)]])
        batch = batch.to(placement.device)
        _seed(placement.device, _draw_seed(seed, step, cut.first_number + turn * cut.stride))
        with placement.autocast():
            losses = objective(model, batch)
        loss = losses.values.sum() / cut.count.target_tokens
        backward(loss if rows else 0 * loss, turn + 1 == len(cut.batches))
        if rows:
            done.append(MicroBatch(cut.places(rows), batch, losses.detached()))
    return done


def within_memory(
    model: Any,
    objective: Objective,
    cut: Cut,
    placement: Placement,
    *,
    seed: int,
    step: int,
    max_tokens: int,
    backward: Backward = _backward,
    in_lockstep: bool = False,
) -> tuple[list[MicroBatch], int]:
    """`accumulate`, with micro-batches halved for as long as the device runs out of memory.

    The gradient stays that of the global batch: what was computed before is thrown away. Returns the budget
    that was enough, too. In lockstep nothing can be begun anew.

    Raises:
        ResourceError: a single example is too much, or in lockstep a micro-batch.
    """
    tries = [(cut, max_tokens)] if in_lockstep else _ever_smaller(cut, max_tokens)
    for smaller, budget in tries:
        try:
            done = accumulate(
                model,
                objective,
                smaller,
                placement,
                seed=seed,
                step=step,
                backward=backward,
                in_lockstep=in_lockstep,
            )
            return done, budget
        except torch.OutOfMemoryError:
            model.zero_grad(set_to_none=True)
        # Outside the handler: the traceback holds the failed pass's tensors.
        if placement.device.type == "cuda":
            torch.cuda.empty_cache()
    if in_lockstep:
        raise ResourceError(
            "a micro-batch does not fit into the device's memory",
            where=f"step {step + 1}, {placement.device}",
            got=f"micro_batch_tokens={max_tokens}",
            fix="lower it in a new run, set gradient_checkpointing=true, or take more processes",
        )
    longest = max(cut.examples, key=lambda item: item.tokens)
    raise ResourceError(
        "a single example does not fit into the device's memory",
        where=f"step {step + 1}, {placement.device}",
        got=f"{longest.lengths[0]} input and {longest.lengths[1]} target tokens ({longest.provenance.id})",
        fix="shorten max_input_tokens, set gradient_checkpointing=true, or take a smaller model",
    )


@contextlib.contextmanager
def optimizer_memory(placement: Placement, step: int) -> Iterator[None]:
    """Say what it means that the device's memory ends outside the passes: smaller ones would not help.

    Raises:
        ResourceError: it has ended.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "the gradient and the optimizer's memory do not fit into the device's memory beside the model",
            where=f"step {step + 1}, {placement.device}",
            got=str(error).splitlines()[0],
            fix="use optimizer=adafactor, train an adapter, or share the model among devices (FSDP2)",
        ) from error


def _ever_smaller(cut: Cut, max_tokens: int) -> Iterator[tuple[Cut, int]]:
    """This process's examples as they are cut, and then in micro-batches of half the size, and half again."""
    yield cut, max_tokens
    own = [place for batch in cut.batches for place in cut.places(batch)]
    inputs_each = max((cut.examples[place].rows for place in own), default=1)
    packing = any(len(row) > 1 for row in cut.rows)
    while several := [batch for batch in cut.batches if len(cut.places(batch)) > 1]:
        lengths = [_row_lengths(cut.examples, row) for row in cut.rows]
        # Of those that can be cut: one long example must not keep the others together.
        largest = max(padded_tokens(lengths, batch, rows=inputs_each) for batch in several)
        max_tokens = max(1, min(max_tokens, largest) // 2)
        rows = _rows(cut.examples, own, max_tokens=max_tokens, packing=packing)
        lengths = [_row_lengths(cut.examples, row) for row in rows]
        cut = replace(cut, rows=rows, batches=micro_batches(lengths, max_tokens=max_tokens, rows=inputs_each))
        yield cut, max_tokens


def _rows(
    examples: Sequence[Encoded], places: Sequence[int], *, max_tokens: int, packing: bool
) -> Sequence[Sequence[int]]:
    """The rows that some of the examples stand in."""
    if not packing:
        return [(place,) for place in places]
    each = max((examples[place].rows for place in places), default=1)
    packed = packed_rows([examples[place].lengths for place in places], max_tokens=max_tokens // each)
    return [tuple(places[index] for index in row) for row in packed]


def _row_lengths(examples: Sequence[Encoded], row: Sequence[int]) -> tuple[int, int]:
    """(input tokens, target tokens) of a row; of the longer inputs, where there are two."""
    items = [examples[place] for place in row]
    right = sum(len(item.input_ids) for item in items)
    wrong = sum(len(item.wrong_input_ids) for item in items)
    return max(right, wrong), sum(len(item.target_ids) for item in items)


def measure(
    done: Sequence[MicroBatch],
    norm: Tensor,
    cut: Cut,
    placement: Placement,
    team: AbstractTeam,
    names: Sequence[str],
) -> Measured:
    """The step's losses over all processes and the norm of the whole gradient, with one wait for the device.

    Args:
        done: this process's passes.
        norm: of the whole gradient, a scalar.
        cut: the step.
        placement: where the numbers are.
        team: the processes.
        names: of the objective's parts.
    """
    sums = torch.zeros(len(cut.examples) + len(names), dtype=torch.float64, device=placement.device)
    for each in done:
        values = sum_by_example(each.losses.values, each.batch, num_examples=len(each.places))
        sums[list(each.places)] = values.to(sums)
        for place, name in enumerate(names, start=len(cut.examples)):
            sums[place] += each.losses.parts[name]
    *numbers, grad_norm = torch.cat([team.add(sums), norm.to(sums).reshape(1)]).tolist()
    by_example, parts = numbers[: len(cut.examples)], numbers[len(cut.examples) :]
    tokens = cut.count.target_tokens
    return Measured(
        sum(by_example) / tokens,
        grad_norm,
        tuple(by_example),
        {name: part / tokens for name, part in zip(names, parts, strict=True)},
    )


def clip(parameters: Iterable[nn.Parameter], *, max_norm: float, norm: float) -> None:
    """Scale gradients of a known norm down to `max_norm`, by the rule of `clip_grad_norm_`."""
    if norm > max_norm:
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(gradients, max_norm / (norm + 1e-6))


def _draw_seed(seed: int, step: int, micro_batch: int) -> int:
    """The seed of dropout in one forward pass; nothing random is left to save."""
    digest = hashlib.sha256(f"ramekin dropout {seed} {step} {micro_batch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _seed(device: torch.device, seed: int) -> None:
    # torch.manual_seed also queues a call, with a formatted stack, for every kind of device that is not
    # in use: half a millisecond each time, and a list that grows as long as the process lives.
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
