"""One of the processes that train together in a test: a job a line from stdin, its result a line to stdout.

Run as a script, with its rank, the number of processes and a file to meet by; `processes` in conftest does.
A job names a function below, variables of a launcher's environment and keywords; all and the results are JSON.
"""

import contextlib
import datetime
import hashlib
import importlib
import json
import os
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ramekin.errors import DataError, RamekinError
from ramekin.tensors.collate import collate
from ramekin.train.feed import Listed
from ramekin.train.gradient import accumulate, cut_step, measure
from ramekin.train.launch import join
from ramekin.train.launched import launched_strategy
from ramekin.train.loop import finetune
from ramekin.train.objective import Likelihood
from ramekin.train.placement import place
from ramekin.train.strategies import build_strategy
from ramekin.weights.attach import IA3Recipe, LoraRecipe, PromptRecipe, attach_adapter

WORLD = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
SIZES = {"num_layers": 2}
ADAPTERS = {
    "lora": LoraRecipe(rank=2),
    "dora": LoraRecipe(rank=2, dora=True),
    "ia3": IA3Recipe(),
    "prompt": PromptRecipe(num_virtual_tokens=3),
}


def main(rank: int, size: int, meeting: str) -> None:
    os.environ["LOCAL_RANK"] = str(rank)  # as any launcher sets it
    torch.set_num_threads(1)
    if size > 1:
        timeout = datetime.timedelta(seconds=100)
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=rank, world_size=size, timeout=timeout
        )
    for line in sys.stdin:
        name, environment, keywords = json.loads(line)
        os.environ.update(environment)
        try:
            result = {"value": globals()[name](rank, **keywords)}
        except RamekinError as error:
            result = {"error": type(error).__name__, "message": str(error), "joint": error.is_joint}
        finally:
            for variable in environment:
                del os.environ[variable]
        print("result", json.dumps(result), flush=True)


# -- what the processes train on


def model_of(*, tied: bool = False, adapter: str | None = None) -> Any:
    model = WORLD["make_model"](tied=tied, **SIZES)
    return model if adapter is None else attach_adapter(model, ADAPTERS[adapter], seed=2)


def digest(model: Any) -> str:
    sha256 = hashlib.sha256()
    for parameter in model.parameters():
        sha256.update(parameter.detach().numpy().tobytes())
    return sha256.hexdigest()


class Watched(Listed):  # type: ignore[misc]
    """A feed that remembers what it gave, and fails where it is told to."""

    def __init__(self, examples: Sequence[Any], *, fails_at: int | None) -> None:
        super().__init__(examples)
        self.given: list[list[str]] = []
        self.fails_at = fails_at

    def examples(self, step: int, *, seed: int, global_batch: int) -> Sequence[Any]:
        if step == self.fails_at:
            raise DataError("the disk of this process has a hole", where="shard 7")
        items = super().examples(step, seed=seed, global_batch=global_batch)
        self.given.append([item.provenance.id for item in items])
        return items


class Small:
    """The usual objective on a device that takes so many padded positions at a time."""

    parts = ()

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def __call__(self, model: Any, batch: Any) -> Any:
        if batch.input_ids.numel() + batch.labels.numel() > self.capacity:
            raise torch.OutOfMemoryError("too much")
        return Likelihood()(model, batch)


def die(*_: Any, **__: Any) -> Any:
    """What a process does in place of a call: it ends at once."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def dying_in(place: str) -> Iterator[None]:
    """While open, the process ends when it comes to `module:name` of `ramekin.train`."""
    module, _, name = place.partition(":")
    owner = importlib.import_module(f"ramekin.train.{module}")
    *outer, last = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    before = getattr(owner, last)
    setattr(owner, last, die)
    try:
        yield
    finally:
        setattr(owner, last, before)


# -- jobs


def gradient(
    rank: int,
    *,
    num_items: int,
    budget: int,
    tied: bool = False,
    adapter: str | None = None,
    packing: bool = False,
) -> dict[str, Any]:
    """The gradient of one step against that of one padded batch under the library's own loss."""
    items = WORLD["make_items"](num_items)
    model, alone = model_of(tied=tied, adapter=adapter), model_of(tied=tied, adapter=adapter)
    batch = collate(items)
    loss = alone(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
    loss.backward()
    expected = {name: p.grad for name, p in alone.named_parameters() if p.requires_grad}
    team = join("cpu")
    recipe = WORLD["make_recipe"](micro_batch_tokens=budget)
    placement = place("fp32", device="cpu")
    strategy = build_strategy(launched_strategy(), model, recipe, team, placement)
    strategy.trained.eval()
    objective = strategy.around(Likelihood())
    cut = cut_step(items, team, max_tokens=budget, packing=packing)
    done = accumulate(
        strategy.trained,
        objective,
        cut,
        placement,
        seed=0,
        step=0,
        backward=strategy.backward,
        in_lockstep=strategy.in_lockstep,
    )
    strategy.add_gradients()
    found = gradients_of(strategy)
    measured = measure(done, strategy.grad_norm(), cut, placement, team, ())
    norm = torch.nn.utils.get_total_norm(list(expected.values()))
    return {
        "strategy": type(strategy).__name__,
        "names": sorted(found) == sorted(expected) == sorted(strategy.names),
        "worst": max(float((found[n] - g).norm() / g.norm()) for n, g in expected.items() if g.norm() > 0),
        "loss": measured.loss / loss.item(),
        "norm": measured.grad_norm / norm.item(),
        "by_example": list(measured.by_example),
        "own_places": sorted(place for batch in cut.batches for place in cut.places(batch)),
        "rows": len(cut.rows),
        "empty": sum(not batch for batch in cut.batches),
        "gradient": hashlib.sha256(b"".join(g.numpy().tobytes() for g in found.values())).hexdigest(),
    }


def gradients_of(strategy: Any) -> dict[str, torch.Tensor]:
    """Every trainable tensor's gradient, whole."""
    if type(strategy).__name__ == "Zero":
        from deepspeed.utils import safe_get_full_grad

        trained = [(n, p) for n, p in strategy.trained.named_parameters() if p.requires_grad]
        with warnings.catch_warnings(action="ignore"):
            return {n: safe_get_full_grad(p) for n, p in trained}
    found = {name: p.grad for name, p in strategy.trained.named_parameters() if p.grad is not None}
    return {
        name: grad.full_tensor() if hasattr(grad, "full_tensor") else grad for name, grad in found.items()
    }


def train(
    rank: int,
    *,
    folder: str,
    adapter: str | None = None,
    tied: bool = False,
    num_items: int = 20,
    stop: tuple[int, int] | None = None,
    evaluate: str | None = None,
    other_data_at: int | None = None,
    hole: tuple[int, int] | None = None,
    capacity: tuple[int, int] | None = None,
    die: tuple[int, int] | None = None,
    lost: tuple[int, str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A run; `stop`, `hole`, `capacity` and `die` are (process, step or number), `lost` (process, place)."""
    given = WORLD["make_items"](num_items + (rank == other_data_at))
    fails_at = hole[1] if hole is not None and hole[0] == rank else None
    feed = Watched(given, fails_at=fails_at)
    model = model_of(tied=tied, adapter=adapter)
    recipe = WORLD["make_recipe"](**{"dropout": 0.0, **changes})
    small = capacity is not None and capacity[0] == rank
    told: list[Any] = []
    with (
        replaced_objective(Small(capacity[1]) if small and capacity else None),
        dying_in(lost[1]) if lost is not None and lost[0] == rank else contextlib.nullcontext(),
    ):
        examples, step_of = feed.examples, {"signal": stop, "death": die}

        def watched(step: int, **keywords: Any) -> Any:
            for what, when in step_of.items():
                if when is not None and tuple(when) == (rank, step):
                    os.kill(os.getpid(), signal.SIGTERM if what == "signal" else signal.SIGKILL)
            return examples(step, **keywords)

        feed.examples = watched  # type: ignore[method-assign]
        report = finetune(
            model,
            feed,
            recipe,
            run_dir=Path(folder),
            resume=True,
            on_eval=EVALUATIONS[evaluate] if evaluate is not None and rank == 0 else None,
            progress=lambda event: told.append(type(event).__name__),
        )
    return {
        "steps": report.steps,
        "ids": feed.given,
        "weights": digest(model),
        "norm": sum(float(p.detach().double().norm()) for p in model.parameters()),
        "head_is_embedding": base_of(model).lm_head.weight is base_of(model).shared.weight,
        "told": told,
        "notices": list(report.notices),
        "evals": [[each.step, dict(each.metrics)] for each in report.evals],
        "best": report.best.step if report.best else None,
        "final_loss": report.final_loss,
    }


def base_of(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def failing(model: Any, step: int) -> dict[str, float]:
    raise DataError("the evaluation's rows are bad", where="rows.jsonl:3")


def norm(model: Any, step: int) -> dict[str, float]:
    """A number that hangs on every weight; the model is whole and in evaluation mode."""
    assert not model.training
    assert not torch.is_grad_enabled()
    batch = collate(WORLD["make_items"](4, seed=9))
    logits = base_of(model).encoder(input_ids=batch.input_ids).last_hidden_state
    summed = sum(float(p.double().norm()) for p in model.parameters())
    return {"norm": summed, "encoder": float(logits.double().norm()), "fall": -float(step)}


EVALUATIONS = {"failing": failing, "norm": norm}


@contextlib.contextmanager
def replaced_objective(objective: Any) -> Iterator[None]:
    loop = sys.modules["ramekin.train.loop"]
    before = loop.build_objective
    if objective is not None:
        loop.build_objective = lambda _: objective
    try:
        yield
    finally:
        loop.build_objective = before


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
