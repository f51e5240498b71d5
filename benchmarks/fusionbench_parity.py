"""The three merges of ramekin against FusionBench 0.2.33's, on tiny models of both T5 kinds.

    python benchmarks/fusionbench_parity.py --peer PEER_PYTHON
    python benchmarks/fusionbench_parity.py --venv FOLDER          (makes the peer's environment first)
    python benchmarks/fusionbench_parity.py --peer PEER_PYTHON --fuse MODEL TOKENIZER DATA_ROOT

The peer runs in an interpreter of its own, through its public classes, on the same folders; the tensors it
ends with are compared with those that `ramekin.merge` writes. With `--fuse`, its Flan-T5 GLUE task pool
evaluates a local model on local rows and its report is printed, for comparison with `ramekin fuse`.
Prints a table and, last, one JSON line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import merge
from ramekin.weights.adapter import LoraRecipe, attach_lora, save_adapter
from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED
from ramekin.weights.seq2seq import build_model, load_model, set_tensors, tensors_of

PEER = ("torch==2.13.0", "fusion-bench==0.2.33")
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "flan (own head, gated)": {"tied": False, "feed_forward_proj": "gated-gelu"},
    "t5 1.0 (tied, relu)": {"tied": True, "feed_forward_proj": "relu"},
}
SIZES = {"vocab_size": 512, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 3, "num_heads": 4}

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
    if job["limit"]:
        rows = rows.select(range(min(job["limit"], len(rows))))
    return datasets.DatasetDict({split: rows, "train": rows.select(range(1))})

glue.load_dataset = local_rows
pool = FlanT5GLUETextGenerationTaskPool(OmegaConf.create({
    "name": "flan-t5_glue_text_generation",
    "tasks": [{"name": n, "dataset": {"name": n, "split": s}} for n, s in job["splits"].items()],
    "tokenizer": job["tokenizer"], "cache_dir": None, "batch_size": job["batch_size"], "num_workers": 0,
}))
model = T5ForConditionalGeneration.from_pretrained(job["model"])
print("REPORT " + json.dumps(pool.evaluate(model)))
"""


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
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="python of an environment with fusion-bench==0.2.33")
    parser.add_argument("--venv", type=Path, help="a folder to make that environment in")
    parser.add_argument("--models", type=int, default=4, help="tuned models")
    parser.add_argument("--fuse", nargs=3, type=Path, metavar=("MODEL", "TOKENIZER", "DATA_ROOT"))
    parser.add_argument("--tasks", default="cola,mrpc,qnli,rte,sst2,stsb", help="with --fuse")
    parser.add_argument("--limit", type=int, default=0, help="rows a task with --fuse; 0 is all")
    chosen = parser.parse_args()
    if not chosen.peer and not chosen.venv:
        parser.error("give --peer PYTHON or --venv FOLDER")
    peer = chosen.peer or make_peer(chosen.venv)
    if chosen.fuse:
        model, tokenizer, data_root = chosen.fuse
        report = peer_report(
            peer, model, tokenizer, data_root, tasks=chosen.tasks.split(","), limit=chosen.limit
        )
        print(json.dumps(report))
        return 0
    rows = list(compare_merges(peer, num_models=chosen.models))
    for row in rows:
        print(
            f"{row.shape:24} {row.method:16} {row.settings:34} max difference {row.max_difference:.3g}, "
            f"{row.differing} of {row.elements} elements differ"
        )
    worst = max(row.max_difference for row in rows if not row.control)
    figures = [{k: v for k, v in asdict(row).items() if k != "models"} for row in rows]
    print(json.dumps({"benchmark": "fusionbench_parity", "peer": PEER[1], "models": chosen.models,
                      "max_difference": worst, "rows": figures}, ensure_ascii=False))  # fmt: skip
    return 0 if worst == 0 else 1


def make_peer(folder: Path) -> str:
    """The python of an environment with the peer, made if it is not there yet."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for requirement in PEER:  # torch first, so that the peer does not choose another build
            subprocess.run([str(python), "-m", "pip", "install", "-q", requirement], check=True)
    return str(python)


def compare_merges(peer: str, *, num_models: int) -> Iterator[Row]:
    """Merge in both and compare every tensor under every name the peer gives it."""
    for shape, kind in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="parity-") as folder:
            yield from _compare_shape(peer, shape, kind, Path(folder), num_models)


def peer_report(
    peer: str, model: Path, tokenizer: Path, data_root: Path, *, tasks: Sequence[str], limit: int = 0
) -> dict[str, Any]:
    """FusionBench's `flan-t5_glue_text_generation` report of a local model on local rows.

    Args:
        peer: the peer's python.
        model: a checkpoint folder.
        tokenizer: a folder that `AutoTokenizer` opens.
        data_root: holds `glue/TASK/validation.parquet` (mnli: `validation_matched`).
        tasks: names among the eight.
        limit: rows a task, 0 for all.
    """
    splits = {task: "validation_matched" if task == "mnli" else "validation" for task in tasks}
    job = {
        "model": str(model.resolve()),
        "tokenizer": str(tokenizer.resolve()),
        "data_root": str(data_root.resolve()),
        "splits": splits,
        "limit": limit,
        "batch_size": 32,
    }
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        printed = _run_peer(peer, FUSE_DRIVER, job, Path(folder))
    line = next(line for line in printed.splitlines() if line.startswith("REPORT "))
    report: dict[str, Any] = json.loads(line.removeprefix("REPORT "))
    return report


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
    base, models = _make_models(folder, kind, num_models)
    inputs = {"models": models, "adapters": _make_adapters(folder, base, num_models)}
    named = {what: {each.name: str(each.folder) for each in found} for what, found in inputs.items()}
    cases = _cases(folder)
    _run_peer(peer, MERGE_DRIVER, {"base": str(base), **named, "cases": cases}, folder)
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
        differences = [_difference(ours, name, tensor) for name, tensor in theirs.items()]
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


def _difference(ours: Mapping[str, torch.Tensor], name: str, theirs: torch.Tensor) -> torch.Tensor:
    """Absolute differences; the peer's state_dict repeats the embedding under its other names."""
    if name in EMBEDDING_ALIASES or (name == HEAD and HEAD not in ours):
        name = SHARED
    return (ours[name] - theirs).abs()


def _make_models(folder: Path, kind: Mapping[str, Any], num_models: int) -> tuple[Path, list[ModelInput]]:
    """A base and models tuned from it by noise: some of it zero, some of it rounded, so that values tie."""
    shape = {key: value for key, value in kind.items() if key != "tied"}
    model = build_model(t5_config(**SIZES, **shape), seed=0, tied=kind["tied"])
    base = folder / "base"
    save_checkpoint(model, base, tokenizer_folder=None, lineage=Lineage(kind="dense", operation="build"))
    tensors = {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
    models = []
    for seed in range(num_models):
        rng = torch.Generator().manual_seed(seed)
        tuned = {}
        for name, tensor in tensors.items():
            noise = torch.randn(tensor.shape, generator=rng) * 0.02
            noise[torch.rand(tensor.shape, generator=rng) < 0.3] = 0.0
            if "layer_norm" in name:
                noise = (noise * 64).round() / 64
            tuned[name] = tensor + noise
        set_tensors(model, tuned)
        place = folder / f"tuned-{seed}"
        save_checkpoint(model, place, tokenizer_folder=None, lineage=Lineage(kind="dense", operation="noise"))
        models.append(ModelInput(f"tuned-{seed}", place))
    return base, models


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


def _run_peer(peer: str, driver: str, job: Mapping[str, Any], folder: Path) -> str:
    """Run a driver in the peer's python; its standard output."""
    (folder / "driver.py").write_text(driver)
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [peer, str(folder / "driver.py"), str(folder / "job.json")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
