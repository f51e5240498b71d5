"""The jobs of a road that can run side by side: one fine-tuning, one evaluation, one sweep.

A job is a plain value and leaves its result on disk, so that it is done once: a job whose result is there
hands it back. Jobs know nothing of each other or of the report.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from ramekin.files import write_json
from ramekin.recipes.adapter_config import AdapterConfig
from ramekin.recipes.data import training_examples
from ramekin.recipes.examination import Examination, examine
from ramekin.recipes.fine_tuning import adapter_recipe, loss_row
from ramekin.recipes.in_place import InPlaceModel
from ramekin.recipes.places import Places
from ramekin.recipes.results import counters_of, write_predictions_of
from ramekin.report.values import Cell, Counter, LossRow
from ramekin.train.recipe import Recipe

if TYPE_CHECKING:
    from ramekin.evaluate.evaluation import Evaluation
    from ramekin.merge.inputs import ModelInput
    from ramekin.weights.opening import Opened

__all__ = [
    "EvaluateJob",
    "Evaluated",
    "FineTuneJob",
    "FineTuned",
    "Kind",
    "SweepJob",
    "run_evaluation",
    "run_fine_tuning",
    "run_sweep",
]

Kind = Literal["full", "lora"]
_TRAINING = "training.json"


@final
@dataclass(frozen=True)
class FineTuneJob:
    """Tune one model on one task."""

    task: str
    kind: Kind
    base: Path
    base_name: str
    output: Path
    recipe: Recipe
    adapter: AdapterConfig
    rows: int
    places: Places


@final
@dataclass(frozen=True)
class FineTuned:
    """A tuned model and what its training told."""

    task: str
    kind: Kind
    folder: Path
    losses: LossRow
    seconds: float
    trainable_parameters: int
    lost: Mapping[str, int]
    """What was truncated or unknown, by kind."""


@final
@dataclass(frozen=True)
class EvaluateJob:
    """Evaluate one checkpoint or adapter."""

    label: str
    folder: Path
    base: Path
    examination: Examination
    output: Path
    """A folder for the result and the predictions."""


@final
@dataclass(frozen=True)
class SweepJob:
    """Evaluate one merge at many scaling factors, its models read once."""

    method: Mapping[str, Any]
    base: Path
    models: tuple["ModelInput", ...]
    factors: tuple[float, ...]
    examination: Examination
    output: Path


@final
@dataclass(frozen=True)
class Evaluated:
    """A model's scores, a cell a task."""

    label: str
    cells: tuple[Cell, ...]
    counters: tuple[Counter, ...]
    seconds: float
    parameters: int


def run_fine_tuning(job: FineTuneJob) -> FineTuned:
    """Tune, save, and hand back the result; a checkpoint that is there is taken as it is."""
    if not (job.output / "ramekin.json").is_file():
        _fine_tune(job)
    told = json.loads((job.output / _TRAINING).read_text(encoding="utf-8"))
    losses = LossRow(told["label"], tuple(told["losses"]))
    return FineTuned(
        job.task, job.kind, job.output, losses, told["seconds"], told["trainable_parameters"], told["lost"]
    )


def _fine_tune(job: FineTuneJob) -> None:
    from ramekin.tensors.encode import encode
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.loop import finetune
    from ramekin.weights.adapter import attach_adapter, save_adapter
    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.lineage import Lineage, Parent, weights_sha256

    (data,) = training_examples(
        [job.task], split="train", templates="first", limit=job.rows, places=job.places
    )
    opened, tokenizer = _open(job.base), load_tokenizer(job.base)
    encoded = encode(
        data.examples,
        tokenizer,
        max_input_tokens=job.recipe.max_input_tokens,
        max_target_tokens=job.recipe.max_target_tokens,
    )
    is_lora = job.kind == "lora"
    seed = job.recipe.seed
    model: Any = opened.model
    if is_lora:
        model = attach_adapter(model, adapter_recipe(job.adapter, tokenizer), seed=seed)
    working = job.output.with_name(f"{job.output.name}.unfinished")
    trained = finetune(model, encoded.items, job.recipe, run_dir=working, resume=True)
    lineage = Lineage(
        kind="adapter" if is_lora else "dense",
        operation="finetune",
        base=job.base_name,
        parents=(Parent(job.base_name, weights_sha256(job.base), "base"),),
        settings={
            "tasks": [job.task],
            "recipe": asdict(job.recipe),
            "data": [asdict(data.origin)],
            **({"adapter": job.adapter.model_dump(mode="json")} if is_lora else {}),
        },
        seed=seed,
    )
    told = {
        "label": job.task,
        "losses": list(loss_row(job.task, trained).losses),
        "seconds": trained.seconds,
        "trainable_parameters": trained.trainable_parameters,
        "lost": {
            "training rows skipped": data.skipped,
            "training inputs truncated": encoded.truncated_inputs,
            "training inputs with unknown characters": encoded.unknown_inputs,
        },
    }
    extras = {_TRAINING: (json.dumps(told, indent=2) + "\n").encode()}
    if is_lora:
        save_adapter(model, job.output, base=str(job.base), lineage=lineage, extra_files=extras)
    else:
        save_checkpoint(
            opened.model,
            job.output,
            tokenizer_folder=job.base,
            lineage=lineage,
            base_folder=job.base,
            extra_files=extras,
        )
    shutil.rmtree(working)


def run_evaluation(job: EvaluateJob) -> Evaluated:
    """Evaluate one model on everything; a result that is there is taken as it is."""
    kept = _kept(job.output)
    if kept is None:
        opened = _open(job.folder, base=job.base)
        kept = _keep(job.label, examine(opened.model, job.examination), job.output)
    return kept


def run_sweep(job: SweepJob) -> tuple[Evaluated, ...]:
    """Evaluate every scaling factor, on tensors that stay in memory."""
    folders = [job.output / f"{factor:g}" for factor in job.factors]
    found = [_kept(folder) for folder in folders]
    if all(found):
        return tuple(each for each in found if each is not None)
    # What is swept is the scaling factor alone, for which the models need not stay in memory.
    merged = InPlaceModel(job.base, job.models, device="cpu", in_memory=False)
    results = []
    for factor, folder in zip(job.factors, folders, strict=True):
        merged.merge({**job.method, "scaling_factor": factor})
        results.append(_keep(f"{factor:g}", examine(merged.model, job.examination), folder))
    return tuple(results)


def _open(folder: Path, base: Path | None = None) -> "Opened":
    from ramekin.weights.opening import open_model

    return open_model(folder, base=base)


def _keep(label: str, evaluation: "Evaluation", folder: Path) -> Evaluated:
    """Write predictions and then the scores, whose file says that the evaluation is whole."""
    evaluated = Evaluated(
        label,
        tuple(Cell.of(part.headline) for part in evaluation.tasks),
        counters_of(evaluation),
        evaluation.seconds,
        evaluation.all_parameters,
    )
    write_predictions_of(folder, evaluation)
    write_json(folder / "scores.json", asdict(evaluated))
    return evaluated


def _kept(folder: Path) -> Evaluated | None:
    path = folder / "scores.json"
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    return dataclasses.replace(
        Evaluated(**told),
        cells=tuple(Cell(**cell) for cell in told["cells"]),
        counters=tuple(Counter(**counter) for counter in told["counters"]),
    )
