"""ramekin's merge methods against FusionBench 0.2.33 and mergekit 0.1.5, method by method.

    python benchmarks/merge_parity.py --venv FOLDER      (makes the peers' environments there first)
    python benchmarks/merge_parity.py --fusionbench PYTHON --mergekit MERGEKIT_YAML
    python benchmarks/merge_parity.py --mergekit MERGEKIT_YAML --only ties --only slerp

On small models of both T5 kinds, made here, with four fine-tunes each (`parity_models.py`). FusionBench
merges in its own interpreter, through its public classes and functions (`parity_fusionbench.py`); mergekit
by its command, on a file that `ramekin merge --mergekit` reads unchanged (`parity_mergekit.py`). ramekin
takes the peer's preset where the method has one, else the settings that say the same.

Verdicts, by the largest difference of a tensor as a share of the largest value in it:

    same         every bit
    rounding     at most 1e-6
    its rounding at most 1e-6 from what the peer gives in float64, of the same float32 deltas
    differs      more, for a reason that is told and that the numbers bear out (`parity_known.py`)
    control      more, because ramekin was told otherwise on purpose: a difference is seen

Also shown: the largest absolute difference, the same as a share of the largest delta, and how many elements
differ. Prints a table and, last, one JSON line; exits 1 where a difference has no reason, a reason is not
borne out, or a control does not differ.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from merge_sides import REQUIREMENTS, make_environments
from parity_cases import Case, fusionbench_cases
from parity_known import KNOWN, ROUNDING, Merged, named_as_ours, relative
from parity_mergekit import SHAPES as MERGEKIT_SHAPES
from parity_mergekit import document_of, mergekit_cases, run_mergekit
from parity_models import SHAPES, Tensors, low_rank, make_models, save_statistics, shortened, turned
from safetensors.torch import load_file

from ramekin.merge.inputs import ModelInput
from ramekin.merge.matrices import is_matrix
from ramekin.merge.run import merge

DRIVER = Path(__file__).parent / "parity_fusionbench.py"
NUM_MODELS = 4


@dataclass(frozen=True)
class Row:
    """One comparison."""

    peer: str
    shape: str
    method: str
    settings: str
    max_difference: float
    of_largest_delta: float
    relative: float
    """The largest difference of a tensor as a share of the largest value in it."""
    differing: int
    elements: int
    verdict: str
    reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing of it is left to be looked at."""
        return self.verdict not in ("unexplained", "control does not differ")


@dataclass(frozen=True)
class World:
    """Models of one shape and what was measured of them, in folders."""

    shape: str
    base: Path
    inputs: Mapping[str, Sequence[ModelInput]]
    statistics: Mapping[str, Mapping[str, Path]]
    """The file of each kind, by model."""
    folder: Path


def main() -> int:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, help="a folder to make the peers' environments in")
    parser.add_argument("--fusionbench", help="python of an environment with fusion-bench==0.2.33")
    parser.add_argument("--mergekit", help="mergekit-yaml of an environment with mergekit==0.1.5")
    parser.add_argument("--only", action="append", help="methods whose name has this in it; repeatable")
    chosen = parser.parse_args()
    if chosen.venv:
        make_environments(("fusionbench", "mergekit"), chosen.venv)
        chosen.fusionbench = str(chosen.venv / "fusionbench" / "bin" / "python")
        chosen.mergekit = str(chosen.venv / "mergekit" / "bin" / "mergekit-yaml")
    if not chosen.fusionbench and not chosen.mergekit:
        parser.error("give --venv FOLDER, or --fusionbench PYTHON and --mergekit MERGEKIT_YAML")
    rows = []
    for row in _all_rows(chosen.fusionbench, chosen.mergekit, tuple(chosen.only or ("",))):
        rows.append(row)
        print(line(row), flush=True)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in {r.verdict for r in rows}}
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    figures = {"verdicts": counts, "rounding": ROUNDING, "rows": [asdict(row) for row in rows]}
    print(json.dumps({"benchmark": "merge_parity", "peers": REQUIREMENTS, **figures}, ensure_ascii=False))
    return 0 if rows and all(row.is_well for row in rows) else 1


def line(row: Row) -> str:
    """A row of the table."""
    numbers = f"{row.max_difference:9.2e} {row.of_largest_delta:9.2e} {row.differing:7} of {row.elements}"
    name = f"{row.peer:11} {row.shape:22} {row.method:17} {row.settings:40}"
    return f"{name} {numbers:36} {row.verdict}" + (f": {row.reason}" if row.reason else "")


def _all_rows(fusionbench: str | None, mergekit: str | None, only: Sequence[str]) -> Iterator[Row]:
    sides = (("FusionBench", fusionbench, SHAPES), ("mergekit", mergekit, MERGEKIT_SHAPES))
    for peer, program, shapes in sides:
        for shape, kind in shapes.items() if program else ():
            with tempfile.TemporaryDirectory(prefix="parity-") as place:
                world = make_world(Path(place), shape, kind)
                yield from _compare(peer, str(program), world, only)


def make_world(folder: Path, shape: str, kind: Mapping[str, Any]) -> World:
    """Every model that a case may ask for."""
    base, models, save = make_models(folder, kind, NUM_MODELS)
    start = _tensors(base)
    inputs = {
        "tuned": models,
        "turned": [models[0], save("turned", turned(_tensors(models[0].folder)))],
        "short": [
            save(f"short-{seed}", shortened(start, _tensors(model.folder)))
            for seed, model in enumerate(models)
        ],
        "low_rank": [save(f"low-rank-{seed}", low_rank(start, seed)) for seed in range(NUM_MODELS)],
    }
    statistics = {
        model.name: save_statistics(folder / f"statistics-{seed}", model, start, seed)
        for seed, model in enumerate(models)
    }
    return World(shape, base, inputs, statistics, folder)


def _tensors(folder: Path) -> Tensors:
    return dict(load_file(folder / "model.safetensors"))


def _compare(peer: str, program: str, world: World, only: Sequence[str]) -> Iterator[Row]:
    start = _tensors(world.base)
    matrices = sorted(name for name, tensor in start.items() if is_matrix(name, tuple(tensor.shape)))
    every = mergekit_cases() if peer == "mergekit" else fusionbench_cases(matrices)
    cases = [case for case in every if any(part in case.method for part in only)]
    if peer == "FusionBench":
        files = _run_fusionbench(program, world, cases)
    for place, case in enumerate(cases):
        if peer == "mergekit":
            folder = world.folder / f"mergekit-{place}"
            folder.mkdir()
            ours, theirs, exact = _run_both(program, world, case, folder)
        else:
            ours = _run_ours(world, case)
            file, wider = files[place]
            theirs, exact = dict(load_file(file)), None if wider is None else dict(load_file(wider))
        merged = Merged(
            start,
            [_tensors(model.folder) for model in _inputs(world, case)],
            ours,
            named_as_ours(ours, theirs),
            None if exact is None else named_as_ours(ours, exact),
            case.settings,
            _statistics(world, case),
        )
        yield judged(peer, world.shape, case, merged)


def judged(peer: str, shape: str, case: Case, merged: Merged) -> Row:
    """The row of a case."""
    pairs = [(merged.ours[name], theirs) for name, theirs in merged.theirs.items()]
    differences = [(ours.double() - theirs.double()).abs() for ours, theirs in pairs]
    largest = max(float(delta.abs().max()) for name in merged.theirs for delta in merged.deltas(name))
    worst = max(float(difference.max()) for difference in differences)
    found = relative(merged.ours, merged.theirs)
    row = Row(
        peer, shape, case.method, case.words, worst, worst / largest if largest else 0.0, found,
        sum(int((difference != 0).sum()) for difference in differences),
        sum(difference.numel() for difference in differences), "same",
    )  # fmt: skip
    if case.control:
        differs = found > ROUNDING
        return replace(row, verdict="control" if differs else "control does not differ")
    if worst == 0:
        return row
    if found <= ROUNDING:
        return replace(row, verdict="rounding")
    if merged.exact is not None and (exact := relative(merged.ours, merged.exact)) <= ROUNDING:
        return replace(row, verdict="its rounding", reason=f"{found:.1e}; {exact:.1e} from its float64")
    if case.known:
        known = KNOWN[case.known]
        if (told := known.proof(merged)) is not None:
            return replace(row, verdict="differs", reason=f"{known.because}: {told}")
        return replace(row, verdict="unexplained", reason=f"not borne out: {known.because}")
    exactly = "" if merged.exact is None else f"; {relative(merged.ours, merged.exact):.1e} from its float64"
    return replace(row, verdict="unexplained", reason=f"{found:.1e}{exactly}")


def _inputs(world: World, case: Case) -> Sequence[ModelInput]:
    return world.inputs[case.inputs][: case.num_models]


def _statistics(world: World, case: Case) -> list[Tensors]:
    if case.statistics is None:
        return []
    return [dict(load_file(world.statistics[model.name][case.statistics])) for model in _inputs(world, case)]


def _run_ours(world: World, case: Case) -> Tensors:
    models = _inputs(world, case)
    merge(
        case.method,
        base=world.base if case.base else None,
        models=models,
        output=world.folder / "ours",
        settings=case.settings,
        statistics=[world.statistics[m.name][case.statistics].parent for m in models if case.statistics],
        post=case.post,
        align=case.align,
        overwrite=True,
    )
    return _tensors(world.folder / "ours")


def _run_fusionbench(python: str, world: World, cases: Sequence[Case]) -> list[tuple[Path, Path | None]]:
    """The files of its tensors, in float32 and, where it is asked for, in float64."""
    asked, files = [], []
    for place, case in enumerate(cases):
        outputs = [world.folder / f"theirs-{place}-{dtype}.safetensors" for dtype in ("float32", "float64")]
        files.append((outputs[0], outputs[1] if case.exact else None))
        keys = ("run", "name", "arguments", "inputs", "num_models", "base", "statistics")
        said = {key: getattr(case, key) for key in keys} | {"seed": place}
        asked += [
            said | {"float64": bool(rank), "output": str(output)}
            for rank, output in enumerate(outputs[: 1 + case.exact])
        ]
    job = {
        "base": str(world.base),
        "inputs": {
            name: {model.name: str(model.folder) for model in models} for name, models in world.inputs.items()
        },
        "statistics": {
            name: {kind: str(file) for kind, file in kinds.items()}
            for name, kinds in world.statistics.items()
        },
        "cases": asked,
    }
    (world.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, str(DRIVER), str(world.folder / "job.json")]
    done = subprocess.run(
        command, cwd=world.folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"FusionBench failed:\n{done.stderr[-4000:]}")
    return files


def _run_both(binary: str, world: World, case: Case, folder: Path) -> tuple[Tensors, Tensors, Tensors | None]:
    """Ramekin's and mergekit's tensors of one file, and mergekit's in float64 where it is asked for."""
    document = document_of(case, world.base, _inputs(world, case))
    theirs = run_mergekit(binary, document, folder)
    words = ["--mergekit", str(folder / "config.yml"), f"output={folder / 'ours'}"]
    subprocess.run(
        [sys.executable, "-m", "ramekin", "merge", *words, *case.settings.get("words", ())],
        check=True,
        capture_output=True,
    )
    ours, exact = _tensors(folder / "ours"), None
    if case.exact:
        shutil.rmtree(folder)
        folder.mkdir()
        wider = document_of(case, world.base, _inputs(world, case), dtype="float64")
        exact = run_mergekit(binary, wider, folder)
    shutil.rmtree(folder)
    return ours, theirs, exact


if __name__ == "__main__":
    raise SystemExit(main())
