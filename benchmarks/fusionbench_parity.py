"""ramekin against FusionBench 0.2.33: the three merges, and the report that `fuse` writes.

    python benchmarks/fusionbench_parity.py --venv FOLDER          (makes the peer's environment there first)
    python benchmarks/fusionbench_parity.py --peer PEER_PYTHON
    python benchmarks/fusionbench_parity.py --peer PEER_PYTHON --model FOLDER --data-root DIR

The peer runs in an interpreter of its own, through its public classes, on the same folders.

Merges: on tiny models of both T5 kinds, the tensors it ends with against those that `ramekin.merge` writes.

Report: its Flan-T5 GLUE task pool against `ramekin fuse … report_save_path=…`, on one model and the same
rows: by default a small base, taught the eight tasks in GLUE's own templates for a moment so that its
answers vary, and rows of the built-in world as GLUE's columns. The pool passes no attention mask to
`generate`, which transformers infers from the padding up to 4.57; from 5 on only for decoder-only models,
so that there the peer's encoder reads 512 positions of mostly padding. The peer is therefore run beside
transformers 4.57.1, where the mask is inferred.

Prints a table and, last, one JSON line; exits 1 where something differs.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from parity_models import SHAPES, difference, make_models, run_peer
from pyarrow import parquet
from safetensors.torch import load_file

from ramekin.cli.progress import terminal_progress
from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import merge
from ramekin.recipes.bases.made import make_base
from ramekin.recipes.compose import compose
from ramekin.recipes.places import Places
from ramekin.recipes.schema import RunConfig
from ramekin.sources.world import TASKS, generate
from ramekin.weights.adapter import LoraRecipe, attach_lora, save_adapter
from ramekin.weights.checkpoint import Lineage
from ramekin.weights.seq2seq import load_model

PEER = ("torch==2.13.0", "fusion-bench==0.2.33", "transformers==4.57.1")

MERGE_DRIVER = """
import contextlib, io, json, sys
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM
with contextlib.redirect_stdout(io.StringIO()):
    from fusion_bench.method import SimpleAverageAlgorithm, TaskArithmeticAlgorithm, TiesMergingAlgorithm
    from fusion_bench.modelpool.seq2seq_lm.modelpool import load_lora_model
CLASSES = {"simple_average": SimpleAverageAlgorithm, "task_arithmetic": TaskArithmeticAlgorithm,
           "ties_merging": TiesMergingAlgorithm}
job = json.load(open(sys.argv[1]))
for case in job["cases"]:
    if case["inputs"] == "adapters":
        pool = {name: load_lora_model(job["base"], folder) for name, folder in job["adapters"].items()}
    else:
        pool = {name: AutoModelForSeq2SeqLM.from_pretrained(folder) for name, folder in job["models"].items()}
    if case["method"] != "simple_average":
        pool["_pretrained_"] = AutoModelForSeq2SeqLM.from_pretrained(job["base"])
    with contextlib.redirect_stdout(io.StringIO()):
        merged = CLASSES[case["method"]](**case["peer"]).run(pool)
    save_file({k: v.detach().clone() for k, v in merged.state_dict().items()}, case["peer_output"])
"""

FUSE_DRIVER = """
import json, os, sys
from pathlib import Path
job = json.load(open(sys.argv[1]))
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
import datasets
from omegaconf import OmegaConf
from transformers import T5ForConditionalGeneration
import fusion_bench.tasks.flan_t5_text_generation.glue_load_dataset as glue
from fusion_bench.compat.taskpool.flan_t5_glue_text_generation import FlanT5GLUETextGenerationTaskPool

def local_rows(path, name):
    # The pool maps every split of load_dataset("glue", name) and reads train's columns: train is there too.
    split = job["splits"][name]
    rows = datasets.Dataset.from_parquet(str(Path(job["data_root"]) / "glue" / name / f"{split}.parquet"))
    return datasets.DatasetDict({split: rows, "train": rows.select(range(1))})

glue.load_dataset = local_rows
mapped = datasets.DatasetDict.map
# num_proc=1 forks, and a fork beside torch's and the tokenizer's threads can hang.
datasets.DatasetDict.map = lambda self, *args, num_proc=None, **kwargs: mapped(self, *args, **kwargs)
pool = FlanT5GLUETextGenerationTaskPool(OmegaConf.create({
    "name": "flan-t5_glue_text_generation",
    "tasks": [{"name": n, "dataset": {"name": n, "split": s}} for n, s in job["splits"].items()],
    "tokenizer": job["tokenizer"], "cache_dir": None, "batch_size": job["batch_size"], "num_workers": 0,
}))
model = T5ForConditionalGeneration.from_pretrained(job["model"])
print("REPORT " + json.dumps(pool.evaluate(model)))
"""


@dataclass(frozen=True)
class Figure:
    """One number of the report that both wrote."""

    key: str
    peer: float
    ours: float


@dataclass(frozen=True)
class Row:
    """One comparison."""

    shape: str
    method: str
    settings: str
    models: int
    max_difference: float
    differing: int
    elements: int
    control: bool
    """Whether ramekin's default was used on purpose: its difference shows that the comparison can tell."""


def main() -> int:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="python of an environment with fusion-bench==0.2.33")
    parser.add_argument("--venv", type=Path, help="a folder to make that environment in")
    parser.add_argument("--models", type=int, default=4, help="tuned models to merge")
    parser.add_argument(
        "--model",
        type=Path,
        help="a checkpoint to report on, with as many decoder as encoder layers; by default one is made",
    )
    parser.add_argument("--data-root", type=Path, help="holds glue/TASK/validation.parquet; made by default")
    parser.add_argument("--rows", type=int, default=200, help="rows a task, where they are made")
    parser.add_argument("--only", choices=["merges", "report"], help="one of the two comparisons")
    chosen = parser.parse_args()
    if not chosen.peer and not chosen.venv:
        parser.error("give --peer PYTHON or --venv FOLDER")
    peer = chosen.peer or make_peer(chosen.venv)
    rows = [] if chosen.only == "report" else list(compare_merges(peer, num_models=chosen.models))
    for row in rows:
        print(
            f"{row.shape:24} {row.method:16} {row.settings:34} max difference {row.max_difference:.3g}, "
            f"{row.differing} of {row.elements} elements differ"
        )
    figures: list[Figure] = []
    if chosen.only != "merges":
        with tempfile.TemporaryDirectory(prefix="parity-") as folder:
            data_root = chosen.data_root or _world_as_glue(Path(folder) / "data", chosen.rows)
            model = chosen.model or _make_model(Path(folder) / "model", data_root)
            figures = compare_reports(peer, model.resolve(), data_root.resolve())
    for figure in figures:
        print(f"report {figure.key:44} FusionBench {figure.peer!r}, ramekin {figure.ours!r}")
    worst = max((row.max_difference for row in rows if not row.control), default=0.0)
    differing = [figure.key for figure in figures if figure.peer != figure.ours]
    merges = [{k: v for k, v in asdict(row).items() if k != "models"} for row in rows]
    print(json.dumps({"benchmark": "fusionbench_parity", "peer": PEER[1:], "models": chosen.models,
                      "max_difference": worst, "rows": merges, "report_keys": len(figures),
                      "report_keys_that_differ": differing}, ensure_ascii=False))  # fmt: skip
    return 0 if worst == 0 and not differing else 1


def make_peer(folder: Path) -> str:
    """The python of an environment with the peer, made if it is not there yet."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        # torch first, so that the peer draws in no other build; the rest at once, so that it fits together.
        for requirements in (PEER[:1], PEER[1:]):
            subprocess.run([str(python), "-m", "pip", "install", "-q", *requirements], check=True)
    return str(python)


def compare_merges(peer: str, *, num_models: int) -> Iterator[Row]:
    """Merge in both and compare every tensor under every name the peer gives it."""
    for shape, kind in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="parity-") as folder:
            yield from _compare_shape(peer, shape, kind, Path(folder), num_models)


def compare_reports(peer: str, model: Path, data_root: Path) -> list[Figure]:
    """Every number of the two reports of one model, under the keys of either.

    Args:
        peer: the peer's python.
        model: a checkpoint folder with its tokenizer.
        data_root: holds `glue/TASK/validation.parquet` (mnli: `validation_matched`) of the eight tasks.
    """
    with tempfile.TemporaryDirectory(prefix="parity-") as place:
        folder = Path(place)
        theirs = _peer_report(peer, model, data_root, folder)
        saved = folder / "report.json"
        pool = f"modelpool.models._pretrained_.pretrained_model_name_or_path={model}"
        words = ["method=dummy", "modelpool=Seq2SeqLMPool/_template", pool, f"data_root={data_root}"]
        words += ["taskpool=flan-t5_glue_text_generation", f"report_save_path={saved}"]
        words += [f"modelpool.tokenizer.pretrained_model_name_or_path={model}"]
        subprocess.run([sys.executable, "-m", "ramekin", "fuse", *words], check=True, cwd=folder)
        ours = json.loads(saved.read_text(encoding="utf-8"))
    flat_theirs, flat_ours = dict(_numbers(theirs)), dict(_numbers(ours))
    keys = [*flat_theirs, *(key for key in flat_ours if key not in flat_theirs)]
    return [Figure(key, flat_theirs.get(key, math.nan), flat_ours.get(key, math.nan)) for key in keys]


def _peer_report(peer: str, model: Path, data_root: Path, folder: Path) -> Any:
    """FusionBench's `flan-t5_glue_text_generation` report of a local model on local rows."""
    tokenizer = folder / "tokenizer"
    shutil.copytree(model, tokenizer, ignore=shutil.ignore_patterns("*.safetensors"))
    settings = tokenizer / "tokenizer_config.json"
    # The published T5 tokenizers say 512, and the pool pads every input to that.
    described = json.loads(settings.read_text(encoding="utf-8")) | {"model_max_length": 512}
    settings.write_text(json.dumps(described), encoding="utf-8")
    job = {
        "model": str(model),
        "tokenizer": str(tokenizer),
        "data_root": str(data_root),
        "splits": {task: _split(task) for task in TASKS},
        "batch_size": 32,
    }
    printed = run_peer(peer, FUSE_DRIVER, job, folder)
    line = next(line for line in printed.splitlines() if line.startswith("REPORT "))
    return json.loads(line.removeprefix("REPORT "))


def _split(task: str) -> str:
    return "validation_matched" if task == "mnli" else "validation"


def _numbers(report: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a nested report by their dotted keys."""
    for key, value in report.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{key}.")
        elif isinstance(value, int | float):
            yield above + key, value


def _world_as_glue(data_root: Path, rows: int) -> Path:
    """Rows of the built-in world under the names of GLUE's files."""
    for task in TASKS:
        for split, ours in ((_split(task), "validation"), ("train", "train")):
            place = data_root / "glue" / task / f"{split}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            found = generate(task, ours, n=rows, seed=0)
            parquet.write_table(pa.Table.from_pylist(found), place)
    return data_root


def _make_model(folder: Path, data_root: Path) -> Path:
    """A small base, taught the eight tasks in GLUE's templates for a moment.

    It has as many decoder layers as encoder layers: transformers 4.57 generates with no others.
    """
    base = folder.with_name("base")
    shape = ["recipe=demo", "recipe.base.name=parity/base", "recipe.base.num_decoder_layers=2"]
    road = compose("run", RunConfig, [*shape, "recipe.base.training.max_steps=120"]).recipe
    with terminal_progress() as progress:
        make_base(road.base, road.tasks, Places(), base, 0, progress)
    words = [f"model={base}", f"tasks=[{','.join(f'glue/{task}' for task in TASKS)}]", f"output={folder}"]
    words += [f"data_root={data_root}", "optimizer=adafactor", "learning_rate=5e-3", "dropout=0"]
    words += ["max_steps=100", "global_batch=32", "schedule=linear", "warmup_steps=5"]
    subprocess.run([sys.executable, "-m", "ramekin", "train", *words], check=True)
    return folder


def _cases(folder: Path) -> list[dict[str, Any]]:
    average: dict[str, Any] = {"method": "simple_average", "settings": {}, "peer": {}}
    factors = [{"scaling_factor": factor} for factor in (0.0, 0.3, 1.0)]
    arithmetic = [{"method": "task_arithmetic", "settings": each, "peer": each} for each in factors]
    ties = []
    for merge_func in ("sum", "mean", "max"):
        for threshold in (10, 20, 50):
            setting = {"scaling_factor": 0.3, "threshold": threshold, "merge_func": merge_func}
            ours = {"preset": "fusionbench", **setting}
            peer = {**setting, "remove_keys": []}
            ties.append({"method": "ties_merging", "settings": ours, "peer": peer})
    control = {**ties[1], "settings": {"density": 0.2}, "control": True}
    cases = [{**case, "inputs": "models"} for case in (average, *arithmetic, *ties, control)]
    cases += [{**case, "inputs": "adapters"} for case in (average, arithmetic[1], ties[1])]
    for position, case in enumerate(cases):
        case["peer_output"] = str(folder / f"peer-{position}.safetensors")
    return cases


def _compare_shape(
    peer: str, shape: str, kind: Mapping[str, Any], folder: Path, num_models: int
) -> Iterator[Row]:
    base, models, _ = make_models(folder, kind, num_models)
    inputs = {"models": models, "adapters": _make_adapters(folder, base, num_models)}
    named = {what: {each.name: str(each.folder) for each in found} for what, found in inputs.items()}
    cases = _cases(folder)
    run_peer(peer, MERGE_DRIVER, {"base": str(base), **named, "cases": cases}, folder)
    for case in cases:
        merge(
            case["method"],
            base=base,
            models=inputs[case["inputs"]],
            output=folder / "ours",
            settings=case["settings"],
            overwrite=True,
        )
        ours = load_file(folder / "ours" / "model.safetensors")
        theirs = load_file(case["peer_output"])
        differences = [difference(ours, name, tensor) for name, tensor in theirs.items()]
        yield Row(
            shape,
            case["method"],
            _words(case),
            num_models,
            max(float(difference.max()) for difference in differences),
            sum(int((difference != 0).sum()) for difference in differences),
            sum(difference.numel() for difference in differences),
            "control" in case,
        )


def _words(case: Mapping[str, Any]) -> str:
    """A case in the table's words."""
    settings = case["peer"]
    words = [f"λ={settings['scaling_factor']}"] if "scaling_factor" in settings else []
    if "threshold" in settings:
        words += [f"top {settings['threshold']} %", settings["merge_func"]]
    words += ["LoRA inputs"] if case["inputs"] == "adapters" else []
    return ", ".join([*words, *(["default counting"] if "control" in case else [])])


def _make_adapters(folder: Path, base: Path, num_models: int) -> list[ModelInput]:
    """LoRA adapters of the base, as if they had been trained."""
    adapters = []
    for seed in range(num_models):
        peft_model = attach_lora(load_model(base), LoraRecipe(rank=4, alpha=8), seed=seed)
        rng = torch.Generator().manual_seed(seed)
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
        place = folder / f"adapter-{seed}"
        lineage = Lineage(kind="adapter", operation="noise")
        save_adapter(peft_model, place, base=str(base), lineage=lineage)
        adapters.append(ModelInput(place.name, place))
    return adapters


if __name__ == "__main__":
    raise SystemExit(main())
