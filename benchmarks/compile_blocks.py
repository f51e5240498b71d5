"""What compiled blocks, gradient checkpointing and bf16 cost and save, forward and backward together.

    python benchmarks/compile_blocks.py                             a T5 of width 256 on the CPU
    python benchmarks/compile_blocks.py --device cuda --precision bf16 --d-model 512 --layers 8

Four sides take turns on every batch: plain (as a run is without these words, on a CPU with its faster parts),
compiled, recomputed, and plain in bf16 autocast. On a CPU the ratios are of CPU seconds, which hold on a
machine that does other things too. Compiling is timed apart, in
wall seconds; torch keeps what it compiled, so a second run on the machine starts faster. Prints a table and,
last, one JSON line.
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    import torch

    from ramekin.train.blocks import compiled, gradient_checkpointing
    from ramekin.train.faster import faster_on_cpu
    from ramekin.train.placement import place
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model, copy_model, parameter_counts, set_dropout

    torch.set_num_threads(options.threads)
    placement = place(options.precision, device=options.device)
    config = t5_config(
        vocab_size=options.vocab,
        d_model=options.d_model,
        d_kv=64,
        d_ff=2 * options.d_model,
        num_layers=options.layers,
        num_heads=max(1, options.d_model // 64),
    )
    plain = build_model(config, seed=options.seed, tied=False).to(placement.device).train()
    set_dropout(plain, options.dropout)
    other = copy_model(plain)
    batches = [batch.to(placement.device) for batch in make_batches(options)]
    seconds: dict[str, list[float]] = {"plain": [], "compiled": [], "recomputed": [], "bf16": []}
    half = place("bf16", device=options.device)
    with compiled(other), faster_on_cpu(plain, placement.device):
        started = time.perf_counter()
        for batch in batches:
            run(other, batch, placement)
        warm_up = time.perf_counter() - started
        for _ in range(options.rounds):
            for batch in batches:
                seconds["plain"].append(run(plain, batch, placement))
                seconds["compiled"].append(run(other, batch, placement))
                with gradient_checkpointing(plain):
                    seconds["recomputed"].append(run(plain, batch, placement))
                seconds["bf16"].append(run(plain, batch, half))
        figures = {
            "benchmark": "compile_blocks",
            **vars(options),
            "parameters": parameter_counts(plain).all,
            "warm_up_seconds": round(warm_up, 1),
            "speed_compiled": _speed(seconds, "compiled"),
            "speed_recomputed": _speed(seconds, "recomputed"),
            "speed_bf16": _speed(seconds, "bf16"),
            "kept_bytes": kept_bytes(plain, batches[0], placement, nullcontext()),
            "kept_bytes_recomputed": kept_bytes(plain, batches[0], placement, gradient_checkpointing(plain)),
            "torch": torch.__version__,
        }
    print(f"compiled:   {figures['speed_compiled']:.2f} of the plain speed, {warm_up:.0f} s to warm up")
    kept = figures["kept_bytes_recomputed"] / figures["kept_bytes"]
    print(f"recomputed: {figures['speed_recomputed']:.2f} of the plain speed, {kept:.2f} of the memory kept")
    print(f"bf16:       {figures['speed_bf16']:.2f} of the plain speed")
    print(json.dumps(figures))
    return 0


def make_batches(options: Any) -> list[Any]:
    """Batches of about `--tokens` tokens, inputs log-normal around 74 tokens, most targets short."""
    from ramekin.tensors.collate import collate
    from ramekin.tensors.encode import Encoded
    from ramekin.text.example import Provenance

    rng = random.Random(options.seed)

    def encoded(length: int, target_length: int) -> Encoded:
        ids = [(*(rng.randrange(3, options.vocab) for _ in range(n - 1)), 1) for n in (length, target_length)]
        return Encoded(ids[0], ids[1], Provenance("none/none", "none", "train", 0))

    batches = []
    for _ in range(options.batches):
        longest = min(250, max(20, int(rng.lognormvariate(4.3, 0.55))))
        rows = max(2, options.tokens // (longest + 8))
        batches.append(
            collate(
                [encoded(longest - rng.randrange(6), rng.choice((2, 3, 3, 4, 5, 5, 9))) for _ in range(rows)]
            )
        )
    return batches


def run(model: Any, batch: Any, placement: Any) -> float:
    """Seconds of one forward and backward; of the processor where the model is on it."""
    import torch

    from ramekin.train.faster import prepare_row_gradients
    from ramekin.train.objective import Likelihood

    prepare_row_gradients(model)
    on_cpu = placement.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    started = clock()
    with placement.autocast():
        loss = Likelihood()(model, batch).values.sum()
    loss.backward()
    if not on_cpu:
        torch.get_device_module(placement.device).synchronize()
    elapsed = clock() - started
    model.zero_grad(set_to_none=True)
    return elapsed


def kept_bytes(model: Any, batch: Any, placement: Any, context: Any) -> int:
    """Bytes of activations kept for the backward pass."""
    import torch

    from ramekin.train.objective import Likelihood

    kept: dict[int, int] = {}
    own = {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with context, placement.autocast(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = Likelihood()(model, batch).values.sum()
    del loss
    return sum(kept.values())


def _speed(seconds: dict[str, list[float]], side: str) -> float:
    return round(statistics.median(a / b for a, b in zip(seconds["plain"], seconds[side], strict=True)), 3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="where to run (cpu)")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="fp32 or bf16 autocast")
    parser.add_argument("--batches", type=int, default=16, help="batches of different lengths (16)")
    parser.add_argument("--tokens", type=int, default=1024, help="padded tokens of a batch (1024)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side on each batch (3)")
    parser.add_argument("--d-model", type=int, default=256, help="width (256)")
    parser.add_argument("--layers", type=int, default=4, help="layers of each stack (4)")
    parser.add_argument("--vocab", type=int, default=4096, help="vocabulary (4096)")
    parser.add_argument("--dropout", type=float, default=0.1, help="dropout (0.1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the data (0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
