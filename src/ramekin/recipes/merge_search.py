"""The recipe behind `ramekin merge search`: the settings of a method that score best, and their merge.

Every point is a merge formed in place in a loaded model and evaluated; the models are read once. A search
that was stopped goes on: what was tried is told to the strategy again, which asks the same as before.
"""

import contextlib
import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import UsageError, WeightsError
from ramekin.evaluate.mode import MODES
from ramekin.files import write_json, write_text
from ramekin.recipes.evaluated_merge import EvaluatedMerge, evaluated_merge_report
from ramekin.recipes.examination import Examination, examine, examined_rows
from ramekin.recipes.in_place import InPlaceModel
from ramekin.recipes.merge import merge_inputs, run_merge
from ramekin.recipes.merge_search_schema import SearchConfig
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.results import columns_of, finish, score_row, short_name
from ramekin.recipes.runs import fresh_folder, run_folder
from ramekin.recipes.searches.space import Space, space_of
from ramekin.recipes.searches.strategies import STRATEGIES, Spent
from ramekin.recipes.states import weights_state
from ramekin.recipes.trial import examination_of, merge_plan_of, opened_for
from ramekin.report.values import Cell, Report, ScoreTable, Series, Sweep, TableRow, average_cell
from ramekin.report.wording import percent

if TYPE_CHECKING:
    from ramekin.evaluate.evaluation import Evaluation

__all__ = ["execute", "plan"]

_TRIED = "tried.json"
_WORST = -2.0  # what a merge that is not finite is worth: no score is below -1
_SHOWN = 10  # points in the report's table; results.csv has all

Values = dict[str, Any]


def plan(config: SearchConfig) -> Outcome:
    """What would be searched, merged and asked; reads headers and rows, loads no weights."""
    base, models = merge_inputs(config, SilentProgress())
    space = _space(config, len(models))
    merged = merge_plan_of(config, base, models)
    sets = examined_rows(examination_of(config, base or models[0].folder))
    lines = [
        f"search {config.method['name']} by {config.strategy}, at most {config.points} points:",
        *(
            f"  {each.key}{'' if each.model is None else f'[{models[each.model].name}]'}"
            f" from {each.low:g} to {each.high:g}"
            for each in space.dimensions
        ),
        merged.text(),
        "each evaluated on:",
    ]
    for each in sets:
        lines += each.preview(MODES[config.mode])
    values = {
        "strategy": config.strategy,
        "points": config.points,
        "over": [dataclasses.asdict(each) for each in space.dimensions],
        "merge": merged.to_json(),
        "rows": {each.task.name: len(each.examples) for each in sets},
    }
    return Outcome(values, "\n".join(lines))


def execute(config: SearchConfig, progress: AbstractProgress) -> Outcome:
    """Search, and write the best merge, its scores and every point that was tried."""
    with run_folder(config.output or fresh_folder("merge-search"), config) as folder:
        return _search_into(folder, config, progress)


@final
@dataclass(frozen=True)
class _Trial:
    """A point that was tried."""

    values: Values
    """The searched settings; the method's own where there was nothing to search with."""
    scores: Mapping[str, float]
    """By column; empty where the merge is not finite."""
    average: float | None
    low: float | None = None
    high: float | None = None
    """Of the average's interval."""


def _search_into(folder: Path, config: SearchConfig, progress: AbstractProgress) -> Outcome:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    set_threads(config.threads)
    base, models, opened = opened_for(config, progress, hold=set(config.over) != {"scaling_factor"})
    examination = examination_of(config, opened.tokenizer_folder)
    tried = _Tried(folder / _TRIED, [*(() if base is None else (base,)), *(m.folder for m in models)])
    trials = _search(config, _space(config, len(models)), tried, opened, examination, progress)
    scored = [each for each in trials if each.average is not None]
    if not scored:
        raise WeightsError(
            "no point of the search is a merge with finite weights",
            where=str(folder),
            fix="search between narrower bounds",
        )
    best = max(scored, key=lambda each: each.average or 0.0)  # the first of several as good
    method, steps = config.method_at(best.values), config.steps
    if config.keep and not (folder / "model").exists():
        run_merge(method, base, models, folder / "model", progress, **steps)
    merged = opened.merge(method, progress=progress, **steps)
    evaluation = examine(opened.model, examination, progress=progress, journal=folder / "best.jsonl")
    held_out = _held_out(folder, config, opened, progress)
    report = evaluated_merge_report(
        EvaluatedMerge(
            method=method,
            suite=", ".join(map(short_name, config.task_names)),
            base=base,
            base_name=config.base or "",
            models=models,
            sets=examined_rows(examination),
            evaluation=evaluation,
            started=started,
            merge_seconds=merged.seconds,
            warnings=merged.warnings,
        )
    )
    _write_all(folder, trials)
    told = {"best": best.values, "tried": [dataclasses.asdict(each) for each in trials]}
    return finish(folder, _told(report, config, trials, best, evaluation, held_out), evaluation, told)


def _own_settings(config: SearchConfig) -> dict[str, object]:
    """All settings of the method, where the configuration says nothing by their defaults."""
    from ramekin.merge.methods import parse_method
    from ramekin.merge.settings import settings_to_json

    return settings_to_json(parse_method(config.method))


def _space(config: SearchConfig, num_models: int) -> Space:
    return space_of(config.over, config.by_model, num_models=num_models)


def _search(
    config: SearchConfig,
    space: Space,
    tried: "_Tried",
    opened: InPlaceModel,
    examination: Examination,
    progress: AbstractProgress,
) -> Sequence[_Trial]:
    """Let the strategy ask, and evaluate what was not tried before."""
    with progress.stage(f"search by {config.strategy}", config.points) as stage:
        seen: dict[str, _Trial] = {}

        def value(point: tuple[float, ...]) -> float:
            values = space.settings(point)
            key = json.dumps(values)
            if key not in seen:
                if len(seen) == config.points:
                    raise Spent
                found = tried.get(values) or tried.add(_try(config, values, opened, examination))
                seen[key] = found
                stage.advance(1, _said(found))
            average = seen[key].average
            return _WORST if average is None else average

        with contextlib.suppress(Spent):
            STRATEGIES[config.strategy](value, space.start(_own_settings(config)), config.points, config.seed)
    return list(seen.values())


def _try(config: SearchConfig, values: Values, opened: InPlaceModel, examination: Examination) -> _Trial:
    from ramekin.merge.direction import NOT_FINITE

    try:
        opened.merge(config.method_at(values), **config.steps)
    except WeightsError as error:
        if error.kind != NOT_FINITE:
            raise
        return _Trial(values, {}, None)
    evaluation = examine(opened.model, examination)
    cells = [Cell.of(part.headline) for part in evaluation.tasks]
    average = average_cell(cells)
    scores = {name: cell.value for name, cell in zip(columns_of(evaluation), cells, strict=False)}
    assert average is not None  # there is a task
    return _Trial(values, scores, average.value, average.low, average.high)


@final
class _Tried:
    """The points that were tried, in a file that is whole at any moment."""

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        self._path = path
        self._weights = {str(folder): weights_state(folder) for folder in folders}
        self._trials: list[_Trial] = []
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["weights"] != self._weights:
                raise UsageError(
                    "the models are others than those that the search began with",
                    where=str(path),
                    fix="add overwrite=true to search anew, or choose another output",
                )
            self._trials = [_Trial(**each) for each in told["trials"]]

    def get(self, values: Values) -> _Trial | None:
        """A point, if it was tried."""
        return next((each for each in self._trials if each.values == values), None)

    def add(self, trial: _Trial) -> _Trial:
        """Keep a point."""
        self._trials.append(trial)
        trials = [dataclasses.asdict(each) for each in self._trials]
        write_json(self._path, {"weights": self._weights, "trials": trials})
        return trial


def _held_out(
    folder: Path, config: SearchConfig, opened: InPlaceModel, progress: AbstractProgress
) -> "Evaluation | None":
    """The scores of the best on rows that had no say."""
    if config.held_out is None:
        return None
    examination = examination_of(config, opened.tokenizer_folder, split=config.held_out)
    return examine(opened.model, examination, progress=progress, journal=folder / "held_out.jsonl")


def _told(
    report: Report,
    config: SearchConfig,
    trials: Sequence[_Trial],
    best: _Trial,
    evaluation: "Evaluation",
    held_out: "Evaluation | None",
) -> Report:
    """The report of the best merge with what the search tried."""
    columns = columns_of(evaluation)
    rows = [score_row(f"best, on {config.split}", evaluation)]
    if held_out is not None:
        rows.append(score_row(f"best, on {config.held_out}", held_out))
    ranked = sorted(trials, key=lambda each: -(_WORST if each.average is None else each.average))
    tried = ScoreTable(
        f"The best of {len(trials)} points",
        columns,
        tuple(TableRow(_label(each), _cells(each, columns)) for each in ranked[:_SHOWN]),
        caption=f"Searched by {config.strategy} on {config.split}.",
        stub=", ".join(config.over),
    )
    chosen = (
        f"{_label(best)}: {percent(best.average or 0.0)} on {config.split}, the best of {len(trials)} points "
        "on the rows it was chosen by; other rows may score less."
    )
    return dataclasses.replace(
        report,
        summary=(chosen, *report.summary),
        tables=(dataclasses.replace(report.tables[0], rows=tuple(rows)), tried),
        sweeps=_curve(config, trials, columns),
    )


def _curve(config: SearchConfig, trials: Sequence[_Trial], columns: Sequence[str]) -> tuple[Sweep, ...]:
    """The scores along the one number that is searched."""
    key, *others = config.over
    if others or any(isinstance(each.values[key], list) for each in trials):
        return ()
    places = sorted((each for each in trials if each.average is not None), key=lambda each: each.values[key])
    cells = [_cells(each, columns) for each in places]
    series = [Series(name, tuple(row[place] for row in cells)) for place, name in enumerate(columns)]
    return (
        Sweep(
            f"Scores along {key}",
            tuple(each.values[key] for each in places),
            tuple(series[:-1]) if len(columns) > 1 else tuple(series),
            series[-1] if len(columns) > 1 else None,
            x_label=key,
        ),
    )


def _cells(trial: _Trial, columns: Sequence[str]) -> tuple[Cell | None, ...]:
    if trial.average is None:
        return (None,) * len(columns)
    average = Cell(trial.average, trial.low, trial.high)
    cells: list[Cell | None] = [Cell(each) for each in trial.scores.values()]
    return (*cells, average) if len(columns) > 1 else (average,)


def _label(trial: _Trial) -> str:
    return ", ".join(f"{key}={_shown(value)}" for key, value in trial.values.items())


def _shown(value: float | Sequence[float]) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "[" + ",".join(f"{x:g}" for x in value) + "]"


def _said(trial: _Trial) -> str:
    return f"{_label(trial)}: {'not finite' if trial.average is None else percent(trial.average)}"


def _write_all(folder: Path, trials: Sequence[_Trial]) -> None:
    rows = [
        {**{key: _shown(value) for key, value in each.values.items()}, **each.scores, "average": each.average}
        for each in trials
    ]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "results.csv", text.getvalue())
