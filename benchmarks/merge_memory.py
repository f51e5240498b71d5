"""Memory and time of a merge from disk to disk: a base and N checkpoints of Flan-T5-base's shape.

    python benchmarks/merge_memory.py                        (8 models, 10 GB of temporary files)
    python benchmarks/merge_memory.py --shape small --models 4
    python benchmarks/merge_memory.py --method ties_merging

Random fp32 checkpoints are written to a temporary folder, then merged in a process of their own whose peak
resident memory is taken above what it held after its imports. Prints a table and, last, one JSON line.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from ramekin.files import write_json
from ramekin.weights.config import config_to_save, t5_config
from ramekin.weights.streaming import CheckpointWriter, PlannedTensor, planned_bytes

SHAPES: Mapping[str, Mapping[str, int]] = {
    "base": {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
}
"""The sizes of Flan-T5-base and Flan-T5-small."""

MERGER = """
import json, sys, time
from pathlib import Path
job = json.loads(sys.argv[1])
started = time.monotonic()
import torch
from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import merge

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

torch.zeros(8).add_(1)
imports, spent = time.monotonic() - started, time.process_time()
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = status("VmRSS:")
models = [ModelInput(Path(folder).name, Path(folder)) for folder in job["models"]]
report = merge(job["method"], base=Path(job["base"]), models=models, output=Path(job["output"]),
               settings={}, verify=job["verify"])
print(json.dumps({"imports_s": imports, "rss_after_imports": before, "rss_peak": status("VmHWM:"),
                  "seconds": report.seconds, "cpu_seconds": time.process_time() - spent,
                  "bytes_read": report.bytes_read, "bytes_written": report.bytes_written}))
"""


def main() -> int:
    """Make the checkpoints, merge them, print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="base")
    parser.add_argument("--method", default="task_arithmetic")
    parser.add_argument("--no-verify", action="store_true", help="take the inputs' hashes from manifests")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    chosen = parser.parse_args()
    plan = t5_tensors(SHAPES[chosen.shape])
    needed = (chosen.models + 2) * planned_bytes(plan)
    place = chosen.folder or Path(tempfile.gettempdir())
    if shutil.disk_usage(place).free < needed + 2e9:
        raise SystemExit(f"{needed / 1e9:.1f} GB and some room are needed in {place}; try --shape small")
    with tempfile.TemporaryDirectory(prefix="merge-memory-", dir=place) as folder:
        folders = [Path(folder) / name for name in ("base", *(f"tuned-{i}" for i in range(chosen.models)))]
        started = time.monotonic()
        for seed, checkpoint in enumerate(folders):
            write_random(checkpoint, plan, SHAPES[chosen.shape], seed=seed)
        print(f"{len(folders)} checkpoints of {planned_bytes(plan) / 1e6:.0f} MB in "
              f"{time.monotonic() - started:.0f} s")  # fmt: skip
        figures = measure(folders, Path(folder) / "out", chosen.method, verify=not chosen.no_verify)
    above = figures["rss_peak"] - figures["rss_after_imports"]
    print(f"{chosen.method}, {chosen.models} models, {chosen.shape} shape")
    print(f"  peak resident memory above imports  {above / 1e6:8.1f} MB")
    print(f"  resident after imports              {figures['rss_after_imports'] / 1e6:8.1f} MB")
    print(f"  merge and write                     {figures['seconds']:8.1f} s")
    print(f"  processor time, hashing included    {figures['cpu_seconds']:8.1f} s")
    print(f"  read                                {figures['bytes_read'] / 1e9:8.2f} GB")
    print(json.dumps({"benchmark": "merge_memory", "method": chosen.method, "models": chosen.models,
                      "shape": chosen.shape, "verify": not chosen.no_verify,
                      "peak_above_imports_bytes": above, **figures}))  # fmt: skip
    return 0 if above < 1e9 else 1


def t5_tensors(sizes: Mapping[str, int]) -> dict[str, PlannedTensor]:
    """Every tensor of a Flan-T5 of these sizes, fp32."""
    model, heads, inner = sizes["d_model"], sizes["num_heads"], sizes["num_heads"] * sizes["d_kv"]
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (32128, model), "lm_head.weight": (32128, model)}
    stacks = {"encoder": ("SelfAttention",), "decoder": ("SelfAttention", "EncDecAttention")}
    for stack, attentions in stacks.items():
        shapes[f"{stack}.final_layer_norm.weight"] = (model,)
        shapes[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, heads)
        for block in range(sizes["num_layers"]):
            prefix = f"{stack}.block.{block}.layer"
            for layer, attention in enumerate(attentions):
                for name in "qkv":
                    shapes[f"{prefix}.{layer}.{attention}.{name}.weight"] = (inner, model)
                shapes[f"{prefix}.{layer}.{attention}.o.weight"] = (model, inner)
                shapes[f"{prefix}.{layer}.layer_norm.weight"] = (model,)
            last = f"{prefix}.{len(attentions)}"
            for name in ("wi_0", "wi_1"):
                shapes[f"{last}.DenseReluDense.{name}.weight"] = (sizes["d_ff"], model)
            shapes[f"{last}.DenseReluDense.wo.weight"] = (model, sizes["d_ff"])
            shapes[f"{last}.layer_norm.weight"] = (model,)
    return {name: PlannedTensor("F32", shape) for name, shape in shapes.items()}


def write_random(
    folder: Path, plan: Mapping[str, PlannedTensor], sizes: Mapping[str, int], *, seed: int
) -> None:
    """Write a checkpoint of random values: one random block, repeated."""
    folder.mkdir()
    config = t5_config(vocab_size=32128, **sizes)  # type: ignore[arg-type]
    write_json(folder / "config.json", config_to_save(config, tied=False, scaled=False, dtype="float32"))
    block = torch.randn(1 << 20, generator=torch.Generator().manual_seed(seed)).mul_(0.02)
    with CheckpointWriter(folder / "model.safetensors", plan) as writer:
        for name in writer.order:
            for start in range(0, plan[name].numel, block.numel()):
                writer.write(name, block[: plan[name].numel - start])


def measure(folders: list[Path], output: Path, method: str, *, verify: bool) -> dict[str, float]:
    """Merge in a process of its own; what it reports of itself."""
    job = {
        "base": str(folders[0]),
        "models": [str(folder) for folder in folders[1:]],
        "output": str(output),
        "method": method,
        "verify": verify,
    }
    done = subprocess.run(
        [sys.executable, "-c", MERGER, json.dumps(job)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the merge failed:\n{done.stderr[-4000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
