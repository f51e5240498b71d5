"""Every merge method on the eight tasks of the built-in world: which of them help.

    python benchmarks/merge_methods.py [--folder DIR] [--rows 500] [--points 12]

Eight models, `mini/base` tuned on a task each for 400 steps, are merged into one by every method, with its
own settings and, where it has a scaling factor, with the one that a search finds on rows of the training
split (Nelder-Mead, `ramekin merge search`). All are scored on the same validation rows. Methods of one or two
models (slerp, expo, task analogy) and task negation, which unlearns, have no place in it. Prints the table as
Markdown, scores times 100 with the larger side of their 95 % interval; the last line is JSON. What is there
already in the folder is not made again; seed 0 throughout.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ramekin.merge.methods import METHODS, find_method

TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
LEFT_OUT = ("dummy", "expo", "slerp", "task_analogy", "task_negation")
WITH_ROWS = {"adamerging": "", "regmean_plus_plus": ""}
BOUNDS = "over={scaling_factor:[0,2.5]}"
OTHERS = {  # settings worth a line of their own
    "adamerging, a weight a model": "adamerging learn.per=task",
    "fisher, not normalised": "fisher method.normalize=false",
    "regmean, off_diagonal 0.95": "regmean method.off_diagonal=0.95",
    "ties_merging, preset paper": "ties_merging method.preset=paper",
    "task_arithmetic + svc": "task_arithmetic post=svc",
    "ties_merging + svc": "ties_merging post=svc",
}
RUN = (
    "recipe=demo recipe.full.max_steps=400 recipe.lora=null recipe.methods=[] recipe.sweep=null "
    "recipe.train_rows=10000 recipe.eval_rows=500"
)


def ramekin(*words: str) -> dict[str, Any]:
    """A command, and its JSON."""
    command = [sys.executable, "-c", "from ramekin.cli import main; main()", *words, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row_of(report: Mapping[str, Any], place: int = 0) -> list[dict[str, Any]]:
    """The cells of a report's first table."""
    cells: list[dict[str, Any]] = report["tables"][0]["rows"][place]["cells"]
    return cells


def read_report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


class Table:
    """The lines of the table as they are found, and where the models of them are."""

    def __init__(self, folder: Path, rows: int, points: int) -> None:
        self.folder, self.rows, self.points = folder, rows, points
        self.tasks = f"tasks=[{','.join(f'mini/{task}' for task in TASKS)}]"
        self.lines: list[tuple[str, str, list[dict[str, Any]]]] = []
        run = folder / "learned"
        if not (run / "report.json").is_file():
            ramekin("run", *RUN.split(), f"output={run}")
        self.models = [run / "models" / "full" / task for task in TASKS]
        self.inputs = ["base=mini/base", f"models=[{','.join(map(str, self.models))}]"]

    def statistics(self) -> str:
        """What fisher and regmean take, collected once."""
        places = [self.folder / "statistics" / task for task in TASKS]
        for task, model, place in zip(TASKS, self.models, places, strict=True):
            if not place.is_dir():
                ramekin("merge", "statistics", f"model={model}", f"task=mini/{task}", f"output={place}")
        return f"statistics=[{','.join(map(str, places))}]"

    def evaluated(self, label: str, model: Path | str) -> list[dict[str, Any]]:
        """A model's scores on all tasks."""
        output = self.folder / "evaluations" / label
        if not (output / "report.json").is_file():
            ramekin("evaluate", f"model={model}", self.tasks, f"limit={self.rows}", f"output={output}")
        return row_of(read_report(output))

    def add(self, label: str, words: Sequence[str], method: str) -> None:
        """A method with its own settings, and with the scaling factor that a search finds."""
        name = label.replace(" ", "_").replace(",", "")
        merged = self.folder / "merged" / name
        kind = find_method(method)
        more = [self.statistics()] if kind.statistics in ("fisher", "gram") else []
        if method in WITH_ROWS:
            more.append(self.tasks)
        if not merged.is_dir():
            ramekin("merge", *words, *self.inputs, *more, f"output={merged}")
        self.lines.append((label, "", self.evaluated(name, merged)))
        if not kind.scaled or method in WITH_ROWS:
            return
        search = self.folder / "searches" / name
        if not (search / "report.json").is_file():
            rows = ["split=train", "limit=200", f"points={self.points}", BOUNDS]
            ramekin("merge", "search", *words, *self.inputs, *more, self.tasks, *rows, f"output={search}")
        best = json.loads((search / "evaluation.json").read_text(encoding="utf-8"))["best"]
        found = self.evaluated(f"{name}-searched", search / "model")
        self.lines.append((label, f"{best['scaling_factor']:g}", found))

    def own(self) -> None:
        """The base, and each task by the model that was tuned on it."""
        self.lines.append(("mini/base", "", self.evaluated("base", "mini/base")))
        cells = []
        for task, model in zip(TASKS, self.models, strict=True):
            output = self.folder / "evaluations" / f"own-{task}"
            if not (output / "report.json").is_file():
                words = (f"model={model}", f"task=mini/{task}", f"limit={self.rows}", f"output={output}")
                ramekin("evaluate", *words)
            cells.append(row_of(read_report(output))[0])
        self.lines.append(("each task by its own model", "", [*cells, average(cells)]))


def average(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of several scores, whose rows differ."""
    value = sum(cell["value"] for cell in cells) / len(cells)
    half = sum(((cell["high"] - cell["low"]) / 2) ** 2 for cell in cells) ** 0.5 / len(cells)
    return {"value": value, "low": value - half, "high": value + half}


def shown(cell: Mapping[str, Any]) -> str:
    half = max(cell["high"] - cell["value"], cell["value"] - cell["low"])
    return f"{100 * cell['value']:.1f} ±{100 * half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("outputs/merge-methods"))
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--points", type=int, default=12)
    given = parser.parse_args()
    table = Table(given.folder.absolute(), given.rows, given.points)
    table.own()
    for name in sorted(set(METHODS) - set(LEFT_OUT)):
        table.add(name, [f"method={name}", *WITH_ROWS.get(name, "").split()], name)
        print(f"{name} done", file=sys.stderr, flush=True)
    for label, words in OTHERS.items():
        method, *rest = words.split()
        table.add(label, [f"method={method}", *rest], method)
        print(f"{label} done", file=sys.stderr, flush=True)
    references, merges = table.lines[:2], table.lines[2:]
    merges.sort(key=lambda line: -line[2][-1]["value"])
    print("| method | scaling factor |", " | ".join((*TASKS, "average")), "|")
    print("|---|---|", "|".join(["--:"] * (len(TASKS) + 1)), "|", sep="")
    for label, factor, cells in (*references, *merges):
        said = factor and f"{factor}, searched"
        print(f"| {label} | {said or 'its own'} |", " | ".join(map(shown, cells)), "|")
    values = [
        {"method": label, "scaling_factor": factor, "scores": [cell["value"] for cell in cells]}
        for label, factor, cells in table.lines
    ]
    print(json.dumps({"rows": given.rows, "points": given.points, "lines": values}))


if __name__ == "__main__":
    main()
