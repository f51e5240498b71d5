"""The gradient part of `benchmarks/train.py`: a step's gradient in parts against that of the whole batch.

    python benchmarks/train_gradients.py

The truth is transformers' own loss of one padded batch, differentiated once. Against it: what Seq2SeqTrainer
hands its optimizer when it accumulates over 1, 2, 4 and 8 batches, or shares them out to two processes
(gloo), and what ramekin does when it cuts the same examples into at least as many micro-batches. Without
dropout, without clipping; everything is deterministic.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from train_sides import make_items, make_model, peer_trainer

EXAMPLES = 16
PARTS = (1, 2, 4, 8)
PROCESSES = 2

Gradient = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A gradient beside the true one."""

    system: str
    processes: int
    parts: int
    """Micro-batches of a process."""
    ratio: float
    """Norm by the true norm."""
    error: float
    """The largest over the tensors of |difference| by |true gradient|."""


def compare(shape: str, seed: int) -> list[Comparison]:
    """All comparisons; those of several processes run in processes of their own."""
    found = [
        _comparison(system, 1, parts, shape, seed) for system in ("trainer", "ramekin") for parts in PARTS
    ]
    return found + [_launched(system, 4, shape, seed) for system in ("trainer", "ramekin")]


def _comparison(system: str, processes: int, parts: int, shape: str, seed: int) -> Comparison:
    items = make_items(EXAMPLES, vocab=32128, seed=seed)
    true = _true_gradient(_model(shape), items)
    sides: dict[str, Callable[..., tuple[int, Gradient]]] = {"trainer": _trainer, "ramekin": _ramekin}
    parts, got = sides[system](_model(shape), items, parts, processes)
    errors = [float((got[name] - true[name]).norm() / true[name].norm()) for name in true]
    return Comparison(system, processes, parts, _norm(got) / _norm(true), max(errors))


def _model(shape: str) -> Any:
    from ramekin.weights.seq2seq import set_dropout

    model = make_model(shape)
    set_dropout(model, 0.0)
    return model.train()


def _norm(gradient: Gradient) -> float:
    return float(sum(value.double().square().sum() for value in gradient.values())) ** 0.5


def _gradient(model: Any) -> Gradient:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _true_gradient(model: Any, items: list) -> Gradient:
    from ramekin.tensors.collate import collate

    batch = collate(items)
    model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss.backward()
    return _gradient(model)


def _trainer(model: Any, items: list, parts: int, processes: int) -> tuple[int, Gradient]:
    from transformers import TrainerCallback

    found: dict[str, Any] = {}

    class Look(TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            found.update(_gradient(model))

    with tempfile.TemporaryDirectory() as folder:
        peer_trainer(
            model,
            items,
            folder,
            Look(),
            max_steps=1,
            per_device_train_batch_size=EXAMPLES // parts // processes,
            gradient_accumulation_steps=parts,
            train_sampling_strategy="sequential",
            max_grad_norm=0.0,
            seed=0,
        ).train()
    return parts, found


def _ramekin(model: Any, items: list, parts: int, processes: int) -> tuple[int, Gradient]:
    import torch

    from ramekin.train.gradient import accumulate, cut_step
    from ramekin.train.launch import join
    from ramekin.train.objectives.likelihood import Likelihood
    from ramekin.train.placement import Placement
    from ramekin.train.recipe import Recipe
    from ramekin.train.strategy import Replicated

    placement = Placement(torch.device("cpu"), "fp32")
    team = join("cpu")
    budget = 1 << 20
    while len((cut := cut_step(items, team, max_tokens=budget)).batches) < parts:
        budget = budget * 9 // 10
    accumulate(model, Likelihood(), cut, placement, seed=0, step=0)
    Replicated(model, Recipe(max_steps=1), team).add_gradients()
    return len(cut.batches), _gradient(model)


def _launched(system: str, parts: int, shape: str, seed: int) -> Comparison:
    """The comparison of `PROCESSES` processes, as the first of them sees it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = json.dumps([system, PROCESSES, parts, shape, seed])
    running = [
        subprocess.Popen(
            [sys.executable, __file__, job],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(PROCESSES),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
        )
        for rank in range(PROCESSES)
    ]
    first, *_ = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{system} failed in {PROCESSES} processes")
    return Comparison(**json.loads(first))


def _serve(job: str) -> None:
    """A launched process: compare, and let the first one tell."""
    import torch

    channel, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    system, processes, parts, shape, seed = json.loads(job)
    found = _comparison(system, processes, parts, shape, seed)
    if torch.distributed.get_rank() == 0:
        channel.write(json.dumps(vars(found)))
        channel.flush()
    torch.distributed.destroy_process_group()


def show(found: list[Comparison]) -> None:
    """The table."""
    print("the gradient of 16 examples in parts: its norm by the true one, the worst tensor's relative error")
    for each in found:
        where = f"{each.processes} x " if each.processes > 1 else ""
        print(
            f"  {each.system:<8} {where + str(each.parts):>6} parts   x{each.ratio:8.5f}   {each.error:.1e}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve(sys.argv[1])
    else:
        show(compare("d256", 0))
