"""lm-eval 0.4.13 reads what `ramekin evaluate formats=lm_eval` writes.

    python benchmarks/lm_eval_reads.py --venv FOLDER    (makes the environment there first)

A model of random weights is evaluated on the built-in world: ranked by lm-eval's rules under every template,
and by a suite of several ways to answer. lm-eval's own functions find the files, take them apart by their
names and print the tables of tasks and of groups. Each score has to stand in a table to four decimals, every
key of the file has to be one that lm-eval's own schema lists (but `ramekin_version`, which says who wrote
it), and every row of the samples has to have the keys of that schema.

`--results FILE` reads a file that is there instead. Prints the tables and, last, one JSON line; exits 1 where
something is not as lm-eval has it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluate_models import random_model
from evaluate_peers import REQUIREMENTS, environment

from ramekin.catalog import load_task
from ramekin.sources.world import generate
from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer
from ramekin.text.render import render

RUNS = (
    ("tasks=[mini/rte,mini/mnli]", "templates=all", "mode=lm_eval"),
    ("suite=mini",),
    ("task=mini/rte", "mode=perplexity"),
)
OURS = {"ramekin_version"}
READER = """
import json, sys
from lm_eval import utils
from lm_eval.result_schema import EvalResults, SampleResult
path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    found = json.load(file)
listed = json.loads(sys.argv[2])
samples = utils.get_sample_results_filenames(listed)
rows = {}
for each in samples:
    with open(each, encoding="utf-8") as file:
        rows[each] = [json.loads(line) for line in file]
needed = SampleResult.__annotations__.keys()
print(json.dumps({
    "tasks": utils.make_table(found),
    "groups": utils.make_table(found, "groups") if "groups" in found else "",
    "unknown_keys": sorted(set(found) - set(EvalResults.__annotations__)),
    "results": utils.get_results_filenames(listed),
    "dates": sorted({utils.get_file_datetime(each) for each in samples}),
    "rows": {utils.get_file_task_name(each.rpartition("/")[2]): len(rows[each]) for each in samples},
    "rows_lacking_keys": sum(not needed <= row.keys() for each in rows.values() for row in each),
}))
"""


def main() -> int:
    """Write, let lm-eval read, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, required=True, help="lm-eval's environment, made if need be")
    parser.add_argument("--results", type=Path, help="a result file to read, instead of evaluating")
    parser.add_argument("--rows", type=int, default=8, help="rows a task (8)")
    args = parser.parse_args()
    python = environment(args.venv.resolve(), REQUIREMENTS["lmeval"])
    with tempfile.TemporaryDirectory(prefix="lm-eval-reads-") as temporary:
        files = [args.results] if args.results else list(_written(Path(temporary), args.rows))
        problems, scores = [], 0
        for path in files:
            told = _read(python, path)
            print(told["tasks"])
            print(told["groups"])
            found = json.loads(path.read_text(encoding="utf-8"))
            problems += list(_problems(path, found, told))
            scores += len(list(_values(found)))
    for problem in problems:
        print(f"! {problem}")
    print(json.dumps({"files": len(files), "scores": scores, "problems": len(problems)}))
    return 1 if problems else 0


def _written(folder: Path, rows: int) -> Iterator[Path]:
    """The result files of a random model on the built-in world."""
    texts = []
    for name in ("mini/rte", "mini/mnli", "mini/stsb", "mini/squad"):
        task = load_task(name)
        for place, row in enumerate(generate(name.removeprefix("mini/"), "train", n=40, seed=0)):
            example = render(task, row, split="train", row=place)
            texts += [example.inputs, example.targets]
    save_tokenizer(train_tokenizer(texts, vocab_size=400), folder / "tokenizer")
    model = random_model(folder / "model", "tiny", tokenizer_folder=folder / "tokenizer")
    for place, words in enumerate(RUNS):
        output = folder / f"run{place}"
        told = (f"model={model}", *words, f"limit={rows}", "formats=lm_eval", f"output={output}")
        command = [sys.executable, "-m", "ramekin", "evaluate", *told]
        kept = {**os.environ, "RAMEKIN_CACHE": str(folder / "cache")}
        subprocess.run(command, check=True, env=kept, stdout=subprocess.DEVNULL)
        yield from sorted(output.glob("lm_eval/*/results_*.json"))


def _read(python: Path, path: Path) -> Any:
    """What lm-eval makes of a result file and of the files beside it."""
    listed = json.dumps(sorted(map(str, path.parent.iterdir())))
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", READER, str(path), listed], check=True, capture_output=True, text=True, env=bare
    )
    return json.loads(done.stdout.splitlines()[-1])


def _values(found: Any) -> Iterator[tuple[str, str, float]]:
    """Every score: of which task or group, its key, its value."""
    for name, values in found["results"].items():
        for key, value in values.items():
            if "," in key and "_stderr," not in key:
                yield name, key, value


def _problems(path: Path, found: Any, told: Any) -> Iterator[str]:
    """What lm-eval does not read as it was written."""
    if told["results"] != [str(path)]:
        yield f"{path.name}: not found as a result file"
    if extra := set(told["unknown_keys"]) - OURS:
        yield f"{path.name}: keys that lm-eval has not: {', '.join(sorted(extra))}"
    lengths = {name: found["n-samples"][name]["effective"] for name in found["configs"]}
    if told["rows"] != lengths:
        yield f"{path.name}: rows of samples: expected {lengths}, got {told['rows']}"
    if told["rows_lacking_keys"]:
        yield f"{path.name}: {told['rows_lacking_keys']} rows of samples lack keys"
    if told["dates"] != [path.stem.removeprefix("results_")]:
        yield f"{path.name}: dates of samples: {told['dates']}"
    shown = list(_shown(told["tasks"]))
    for name, key, value in _values(found):
        alias = found["results"][name]["alias"]
        metric, _, filter_ = key.partition(",")
        if (alias, filter_, metric, float(f"{value:.4f}")) not in shown:
            yield f"{path.name}: {name} {key}={value:.4f} is not in the table"


def _shown(table: str) -> Iterator[tuple[str, str, str, float]]:
    """Name, filter, metric and value of every row of a Markdown table."""
    name = ""
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9:
            name = cells[0].removeprefix("- ") or name
            yield name, cells[2], cells[4], float(cells[6])


if __name__ == "__main__":
    sys.exit(main())
