"""The report of a merge that was evaluated, whether its model was written or formed in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.evaluate.evaluation import Evaluation
from ramekin.recipes.data import TaskExamples
from ramekin.recipes.merge_schema import method_settings
from ramekin.recipes.results import columns_of, counters_of, machine, rules_text, score_row
from ramekin.recipes.runs import command_line
from ramekin.recipes.states import weights_state
from ramekin.report.values import CheckpointFact, Report, RunFacts, ScoreTable, Timing

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput

__all__ = ["EvaluatedMerge", "evaluated_merge_report"]


@lru_cache(maxsize=256)
def _sha256(folder: Path, _: str) -> str:
    """The hash of a folder's weights, computed once for all points of a sweep."""
    from ramekin.weights.lineage import weights_sha256

    return weights_sha256(folder)


@final
@dataclass(frozen=True, kw_only=True)
class EvaluatedMerge:
    """A merge, what it was made of, and what it scored."""

    method: Mapping[str, Any]
    """Its name and settings; `dummy` is the base as it is."""
    suite: str
    """What the model was evaluated on, in a word."""
    base: Path | None
    base_name: str
    models: Sequence["ModelInput"]
    sets: Sequence[TaskExamples]
    evaluation: Evaluation
    started: str
    merge_seconds: float
    warnings: tuple[str, ...] = ()


def evaluated_merge_report(found: EvaluatedMerge) -> Report:
    """Scores, what was merged into what, and what is needed to run it again."""
    method, evaluation, base = found.method["name"], found.evaluation, found.base_name
    is_base = method == "dummy"
    label = base if is_base else method
    parameters = evaluation.all_parameters
    facts = []
    if found.base is not None:
        facts.append(
            CheckpointFact(base, parameters=parameters, sha256=_sha256(found.base, weights_state(found.base)))
        )
    parents = (base,) if found.base is not None else ()
    facts += [
        CheckpointFact(m.name, "", parents, sha256=_sha256(m.folder, weights_state(m.folder)))
        for m in found.models
    ]
    if not is_base:
        facts.append(CheckpointFact(method, method, (*parents, *(m.name for m in found.models)), parameters))
    settings = ", ".join(f"{key}={value}" for key, value in method_settings(found.method).items())
    summary = f"{len(found.models)} models merged by {method}" + (f" ({settings})." if settings else ".")
    return Report(
        title=f"{label} on {found.suite}",
        summary=() if is_base else (summary,),
        tables=(
            ScoreTable(
                found.suite,
                columns_of(evaluation),
                (score_row(label, evaluation),),
                caption=f"Scored by the rules of {rules_text(evaluation)}.",
            ),
        ),
        timings=(Timing("merge", found.merge_seconds), Timing("answer", evaluation.seconds)),
        facts=RunFacts(
            command=command_line(),
            seed=evaluation.seed,
            started=found.started,
            machine=machine(),
            parameters=parameters,
            versions=evaluation.versions,
            data=tuple(each.origin for each in found.sets),
            checkpoints=tuple(facts),
            counters=counters_of(evaluation),
            warnings=found.warnings,
        ),
    )
