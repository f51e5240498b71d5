"""How a model's transformer blocks are run while it trains: recomputed in the backward pass, or compiled.

Each is a context that leaves the model as it was; names of parameters do not change in it. This module knows
nothing of the training loop.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from ramekin.errors import WeightsError
from ramekin.train.recipe import Recipe

__all__ = ["blocks_as", "compiled", "gradient_checkpointing"]

_RECOMPILE_LIMIT = 64
"""Graphs a block may have: first or not, padded or not, training or not, with and without an adapter."""


@contextlib.contextmanager
def blocks_as(recipe: Recipe, model: nn.Module) -> Iterator[None]:
    """While open, the blocks run as the recipe's `gradient_checkpointing` and `compile` say."""
    with contextlib.ExitStack() as stack:
        if recipe.gradient_checkpointing:
            stack.enter_context(gradient_checkpointing(model))
        if recipe.compile:
            stack.enter_context(compiled(model))
        yield


@contextlib.contextmanager
def gradient_checkpointing(model: nn.Module) -> Iterator[None]:
    """While open, a block in training mode keeps its inputs only, and runs again in the backward pass.

    The second run draws the dropout of the first, so the gradients are the same to the bit; memory for
    activations falls to about one block's, for a third more arithmetic (Chen et al. 2016, arXiv 1604.06174).

    Args:
        model: a T5, mT5 or UMT5, or an adapter's wrapper around one.

    Raises:
        WeightsError: the model has no blocks that can be run again.
    """
    from torch.utils.checkpoint import checkpoint

    # The library's own switch also makes the embeddings' output require a gradient, by a hook that stays when
    # it is turned off; run again like this, a block needs no such thing, not even where all but an adapter is
    # frozen.
    with _attributes(
        _blocks(model),
        gradient_checkpointing=True,
        _gradient_checkpointing_func=partial(checkpoint, use_reentrant=False),
    ):
        yield


@contextlib.contextmanager
def compiled(model: nn.Module, *, backend: str | Callable[..., Any] = "inductor") -> Iterator[None]:
    """While open, `torch.compile` makes each kind of block one graph for all lengths.

    Blocks of one kind share their graphs, so that compiling takes as long for a deep model as for a shallow
    one: some two minutes on a CPU (torch keeps what it compiled on the machine: then half a minute); a
    coincidence of lengths costs another graph. A T5 of width 256 was then 1.2 times as fast on one thread of
    a Xeon with AVX-512 as transformers' blocks, and no faster than with the parts of `faster`, which are not
    put into compiled blocks (`benchmarks/compile_blocks.py`): it is for other devices. Gradients equal those
    of transformers' blocks to rounding, with the same dropout; but which graphs there are depends on the
    batches seen, so a resumed run equals one that was never stopped to rounding only.

    Args:
        model: a T5, mT5 or UMT5, or an adapter's wrapper around one.
        backend: of `torch.compile`, its name or a function.

    Raises:
        WeightsError: the model has no blocks.
    """
    blocks = _blocks(model)
    # Inductor's own random numbers are others than torch's, and on a CPU they cost more than compiling gains.
    options = {"fallback_random": True} if backend == "inductor" else None
    # Beyond the limit blocks would run uncompiled, with a warning only.
    with torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT):
        for block in blocks:
            block.compile(dynamic=True, backend=backend, options=options)
        try:
            yield
        finally:
            for block in blocks:
                block._compiled_call_impl = None


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The transformer blocks of both stacks."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    found = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not found:
        raise WeightsError(
            "the model has no transformer blocks",
            where=type(model).__name__,
            expected="a model of the T5 family",
            fix="leave gradient_checkpointing and compile off",
        )
    return found


@contextlib.contextmanager
def _attributes(modules: list[nn.Module], **values: Any) -> Iterator[None]:
    """While open, the modules have these attributes; afterwards, those they had."""
    before = [{key: vars(module)[key] for key in values if key in vars(module)} for module in modules]
    for module in modules:
        vars(module).update(values)
    try:
        yield
    finally:
        for module, old in zip(modules, before, strict=True):
            for key in values:
                vars(module).pop(key)
            vars(module).update(old)
