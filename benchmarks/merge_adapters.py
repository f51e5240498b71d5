"""Time and memory of merging LoRA adapters into one, without their base.

    python benchmarks/merge_adapters.py [--models 8] [--rank 16] [--threads 2] [--seed 0]

The adapters are of random factors on q and v of Flan-T5-base (72 matrices of 768 x 768), the worst case for a
truncation. Each merge is a process of its own; seconds are of all of it, memory is its peak. The last line is
JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH, LAYERS = 768, 12
CASES = (
    ("task arithmetic, all directions", "method=task_arithmetic adapter_rank={all}"),
    ("task arithmetic, rank of one", "method=task_arithmetic adapter_rank={one}"),
    ("TIES, rank of one", "method=ties_merging adapter_rank={one}"),
    ("KnOTS and TIES, all directions", "method=ties_merging align=knots adapter_rank={all}"),
)


def layers() -> list[str]:
    stacks = {"encoder": ["0.SelfAttention"], "decoder": ["0.SelfAttention", "1.EncDecAttention"]}
    return [
        f"{stack}.block.{block}.layer.{attention}.{kind}"
        for stack, attentions in stacks.items()
        for block in range(LAYERS)
        for attention in attentions
        for kind in "qv"
    ]


def make_adapter(folder: Path, rank: int, seed: int) -> None:
    rng, tensors = np.random.default_rng(seed), {}
    for layer in layers():
        a = rng.standard_normal((rank, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
        tensors[f"base_model.model.{layer}.lora_A.weight"] = a
        b = rng.standard_normal((WIDTH, rank), dtype=np.float32) * np.float32(0.02)
        tensors[f"base_model.model.{layer}.lora_B.weight"] = b
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def merged(root: Path, words: list[str]) -> tuple[float, float, dict[str, float]]:
    """Seconds, peak memory in MB, and what the adapter leaves out."""
    command = [sys.executable, "-c", "from ramekin.cli import main; main()", "merge", *words, "--json"]
    before = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it has been waited for
    return time.monotonic() - before, usage.ru_maxrss / 1024, told["adapter"]["residual"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("--models", 8), ("--rank", 16), ("--threads", 2), ("--seed", 0)):
        parser.add_argument(name, type=int, default=value)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = [f"ad{place}" for place in range(options.models)]
        for place, name in enumerate(names):
            make_adapter(root / name, options.rank, options.seed + place)
        ranks = {"one": options.rank, "all": options.rank * options.models}
        for place, (title, words) in enumerate(CASES):
            more = f"models=[{','.join(names)}] output=out{place} threads={options.threads}"
            seconds, peak, residual = merged(root, f"{words.format(**ranks)} {more}".split())
            found[title] = {
                "seconds": round(seconds, 2),
                "peak_mb": round(peak),
                "left_out": residual["whole"],
            }
            print(
                f"{title:34} {seconds:6.1f} s  {peak:6.0f} MB  left out {residual['whole']:.3g}", flush=True
            )
    print(json.dumps({**vars(options), "merges": found}))


if __name__ == "__main__":
    main()
