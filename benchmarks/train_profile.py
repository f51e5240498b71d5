"""Where a training step's time goes on a CPU: with transformers' own parts of a model, and with ramekin's.

    python benchmarks/train_profile.py
    python benchmarks/train_profile.py --shape flan-t5-small
    python benchmarks/train_profile.py --parts              what each of ramekin's parts brings

The same examples in the same micro-batches, steps in turns, under torch's profiler; the medians are of the
operators' own time. What is left of a step beside them is Python. With `--parts` only whole steps are timed,
on further sides too, each without one of ramekin's parts, and what a pass of sixteen examples keeps for its
way back is added up. Prints a table and, last, one JSON line.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from train_sides import SHAPES, make_items, make_model

KINDS: dict[str, tuple[str, ...]] = {
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::mv"),
    "random numbers": ("aten::bernoulli_", "aten::random_"),
    "zeroing": ("aten::fill_", "aten::zero_"),
    "adding up": ("aten::add_", "aten::index_add_", "aten::embedding_dense_backward", "aten::_coalesce"),
    "softmax and loss": (
        "aten::_softmax",
        "aten::_softmax_backward_data",
        "aten::_log_softmax",
        "aten::_log_softmax_backward_data",
        "aten::logsumexp",
        "aten::exp",
        "aten::exp_",
        "aten::all",
    ),
    "optimizer and norm": ("aten::_fused_adamw_", "aten::linalg_vector_norm", "aten::_foreach_mul_"),
}

REPLACED = {"norm": ("T5LayerNorm",), "GELU": ("NewGELUActivation",), "dropout": ("Dropout",)}
"""The parts that stand in the place of modules, and those modules' classes."""
PARTS = (*REPLACED, "attention", "embedding rows")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="d256", help="of the model (d256)")
    parser.add_argument("--global-batch", type=int, default=32, help="examples a step (32)")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048, help="budget (2048)")
    parser.add_argument("--steps", type=int, default=5, help="of each side (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the data (0)")
    parser.add_argument("--parts", action="store_true", help="leave out one part after the other")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    names = ["transformers", "ramekin", *(f"without {part}" for part in PARTS if options.parts)]
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(_side(name, options)) for name in names}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for number in range(options.steps + 1):
            for name, step in sides.items():
                measured = step()
                found[name] += [measured] if number else []  # the first step allocates
    medians = {
        name: {kind: statistics.median(step[kind] for step in steps) for kind in steps[0]}
        for name, steps in found.items()
    }
    print(f"{options.shape}, global batch {options.global_batch}: CPU ms, median of {options.steps} steps")
    print(f"  {'':<20}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for kind in medians["ramekin"]:
        print(f"  {kind:<20}" + "".join(f"{medians[name][kind]:{len(name) + 2}.0f}" for name in names))
    print(json.dumps({"benchmark": "train_profile", **vars(options), "milliseconds": medians}))
    return 0


@contextlib.contextmanager
def _side(name: str, options: argparse.Namespace) -> Iterator[Any]:
    """A function that takes a step and tells milliseconds by kind."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from ramekin.tensors.collate import collate
    from ramekin.train.faster import faster_on_cpu
    from ramekin.train.gradient import accumulate, cut_step, measure
    from ramekin.train.objective import ObjectiveRecipe, build_objective
    from ramekin.train.placement import Placement
    from ramekin.train.recipe import Recipe
    from ramekin.train.strategy import Replicated
    from ramekin.train.team import Alone

    placement = Placement(torch.device("cpu"), "fp32")
    items = make_items(options.global_batch, vocab=32128, seed=options.seed)
    model, objective = make_model(options.shape), build_objective(ObjectiveRecipe())
    strategy = Replicated(model, Recipe(max_steps=1), Alone())

    def take() -> None:
        cut = cut_step(items, Alone(), max_tokens=options.micro_batch_tokens)
        done = accumulate(model, objective, cut, placement, seed=0, step=0)
        measured = measure(done, strategy.grad_norm(), cut, placement, Alone(), objective.parts)
        strategy.update(learning_rate=1e-4, max_norm=1.0, norm=measured.grad_norm)

    def step() -> dict[str, float]:
        with _without(name.removeprefix("without ")):
            began = time.process_time()
            take()
            whole = {"whole step": 1000 * (time.process_time() - began)}
            return {**whole, "MB kept": kept()} if options.parts else {**profiled(), **whole}

    def kept() -> float:
        """Megabytes that a forward pass leaves for the backward pass, parameters aside."""
        seen: dict[int, torch.Tensor] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        batch = collate(items[:16])
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            losses = objective(model, batch)
        del losses
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return sum(t.untyped_storage().nbytes() for place, t in seen.items() if place not in own) / 2**20

    def profiled() -> dict[str, float]:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            take()
        times = {event.key: event.self_cpu_time_total / 1000 for event in profiler.key_averages()}
        by_kind = {kind: sum(times.get(op, 0.0) for op in ops) for kind, ops in KINDS.items()}
        known = {op for ops in KINDS.values() for op in ops}
        by_kind["other operators"] = sum(
            spent for op, spent in times.items() if op.startswith("aten::") and op not in known
        )
        return by_kind

    model.train()
    with contextlib.ExitStack() as stack:
        if name != "transformers":
            with _without(name.removeprefix("without ")):
                stack.enter_context(faster_on_cpu(model, placement.device))
        yield step


@contextlib.contextmanager
def _without(part: str) -> Iterator[None]:
    """While open, ramekin leaves a part of a model as it is; any other name leaves nothing out."""
    import torch

    from ramekin.train import faster

    replace = faster._faster
    with contextlib.ExitStack() as stack:
        if part in REPLACED:
            kept = REPLACED[part]
            own = {"_faster": lambda module: None if type(module).__name__ in kept else replace(module)}
            if part == "dropout":  # of the attention's weights, too
                own["drop"] = torch.nn.functional.dropout
        elif part == "attention":
            own = {"_ATTENTION": "sdpa", "_register_attention": lambda: None}
        else:
            own = {"_embeddings": lambda _: ()} if part == "embedding rows" else {}
        for name, value in own.items():
            stack.enter_context(mock.patch.object(faster, name, value))
        yield


if __name__ == "__main__":
    sys.exit(main())
