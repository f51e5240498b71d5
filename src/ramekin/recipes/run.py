"""The recipe behind `ramekin run` and `ramekin demo`: walk a road and write its report."""

import json

from ramekin.evaluate.mode import MODES
from ramekin.recipes.data import evaluation_sets
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import AbstractProgress
from ramekin.recipes.results import report_text
from ramekin.recipes.road.report import road_report
from ramekin.recipes.road.walk import walk
from ramekin.recipes.runs import fresh_folder, run_folder
from ramekin.recipes.schema import RunConfig
from ramekin.report.document import to_json
from ramekin.report.write import write_report

__all__ = ["execute", "plan"]


def plan(config: RunConfig) -> Outcome:
    """The stages of the recipe and the rows it evaluates on; nothing is trained."""
    road, mode = config.recipe, MODES[config.recipe.mode]
    sets = evaluation_sets(
        road.tasks,
        split=road.split,
        templates="first",
        limit=road.eval_rows,
        places=places_of(config),
        mode=mode,
    )
    kinds = [name for name, recipe in (("whole", road.full), ("LoRA", road.lora)) if recipe is not None]
    factors = len(road.sweep.factors) if road.sweep else 0
    stages = [
        f"make the base {road.base.name}",
        f"fine-tune {len(road.tasks)} tasks ({' and '.join(kinds)})",
        f"merge by {', '.join(str(m['name']) for m in road.methods)}",
        *([f"sweep {factors} scaling factors"] if factors else []),
        f"evaluate everything on {len(sets)} tasks",
    ]
    lines = [f"{road.title}:", *(f"  {i}. {stage}" for i, stage in enumerate(stages, start=1))]
    for each in sets:
        lines += each.preview(mode)
    return Outcome({"recipe": road.name, "stages": stages}, "\n".join(lines))


def execute(config: RunConfig, progress: AbstractProgress) -> Outcome:
    """Walk the road; returns the report."""
    with run_folder(config.output or fresh_folder(config.recipe.name), config) as folder:
        report = road_report(walk(config, folder, progress), config.seed)
        write_report(report, folder)
    return Outcome(json.loads(json.dumps(to_json(report))), f"{report_text(report)}\nwritten to {folder}")
