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
from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED
from ramekin.weights.seq2seq import build_model, set_tensors, tensors_of

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
CLASSES = {"simple_average": SimpleAverageAlgorithm, "task_arithmetic": TaskArithmeticAlgorithm,
           "ties_merging": TiesMergingAlgorithm}
job = json.load(open(sys.argv[1]))
for case in job["cases"]:
    names = dict(job["models"])
    if case["method"] != "simple_average":
        names["_pretrained_"] = job["base"]
    pool = {name: AutoModelForSeq2SeqLM.from_pretrained(folder) for name, folder in names.items()}
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
    # The pool maps every split of load_dataset("glue", name) and reads train's columns, so train is there too.
    split = job["splits"][name]
    rows = datasets.Dataset.from_parquet(str(Path(job["data_root"]) / "glue" / name / f"{job['files'][name]}.parquet"))
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


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="python of an environment with fusion-bench==0.2.33")
    parser.add_argument("--venv", type=Path, help="a folder to make that environment in")
    parser.add_argument("--models", type=int, default=4, help="tuned models (the peer adds 5 or more in "
                        "an order that depends on its vector width)")  # fmt: skip
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
            f"{row.shape:24} {row.method:16} {row.settings:24} max difference {row.max_difference:.3g}, "
            f"{row.differing} of {row.elements} elements differ"
        )
    worst = max(row.max_difference for row in rows)
    print(json.dumps({"benchmark": "fusionbench_parity", "peer": PEER[1], "models": chosen.models,
                      "max_difference": worst, "rows": [asdict(row) for row in rows]}))  # fmt: skip
    return 0 if worst == 0 or chosen.models > 4 else 1


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
        "files": splits,
        "limit": limit,
        "batch_size": 32,
    }
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        printed = _run_peer(peer, FUSE_DRIVER, job, Path(folder))
    line = next(line for line in printed.splitlines() if line.startswith("REPORT "))
    report: dict[str, Any] = json.loads(line.removeprefix("REPORT "))
    return report


def _cases(folder: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = [{"method": "simple_average", "settings": {}, "peer": {}}]
    for factor in (0.0, 0.3, 1.0):
        setting = {"scaling_factor": factor}
        cases.append({"method": "task_arithmetic", "settings": setting, "peer": setting})
    for merge_func in ("sum", "mean", "max"):
        for threshold in (10, 20, 50):
            setting = {"scaling_factor": 0.3, "threshold": threshold, "merge_func": merge_func}
            cases.append(
                {
                    "method": "ties_merging",
                    "settings": {"preset": "fusionbench", **setting},
                    "peer": {**setting, "remove_keys": []},
                }
            )
    for position, case in enumerate(cases):
        case["peer_output"] = str(folder / f"peer-{position}.safetensors")
    return cases


def _compare_shape(
    peer: str, shape: str, kind: Mapping[str, Any], folder: Path, num_models: int
) -> Iterator[Row]:
    base, models = _make_models(folder, kind, num_models)
    cases = _cases(folder)
    job = {"base": str(base), "models": {m.name: str(m.folder) for m in models}, "cases": cases}
    _run_peer(peer, MERGE_DRIVER, job, folder)
    for case in cases:
        merge(
            case["method"],
            base=base,
            models=models,
            output=folder / "ours",
            settings=case["settings"],
            overwrite=True,
        )
        ours = load_file(folder / "ours" / "model.safetensors")
        theirs = load_file(case["peer_output"])
        differences = [_difference(ours, name, tensor) for name, tensor in theirs.items()]
        words = " ".join(f"{k}={v}" for k, v in case["peer"].items() if k != "remove_keys")
        words = words.replace("scaling_factor", "λ").replace("threshold", "top").replace("merge_func=", "")
        yield Row(
            shape,
            case["method"],
            words,
            num_models,
            max(float(difference.max()) for difference in differences),
            sum(int((difference != 0).sum()) for difference in differences),
            sum(difference.numel() for difference in differences),
        )


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
