"""Kill a training run at random moments, start the same command again, and compare the final weights.

    python benchmarks/kill_resume.py                 20 kills, each run a process of its own
    python benchmarks/kill_resume.py --failpoints    a kill at every stage of saving a state
    python benchmarks/kill_resume.py --kind all --kills 201

Runs select their best weights as they go, so that those are saved, too. Prints a table and, last, one JSON
line. Exit code 1 if any run ended in other weights than the undisturbed one, last or best, or logged a step
twice or not at all.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

KINDS = ("full", "lora", "flipped")
Trial = tuple[str, int, str, bool]
"""(what was done, starts needed, sha256 of the final weights, whether every step was logged once)"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.child is not None:
        _train(options.child, options)
        return 0
    found = {}
    kinds = KINDS if options.kind == "all" else (options.kind,)
    options.kills //= len(kinds)
    for options.kind in kinds:
        with tempfile.TemporaryDirectory(prefix="kill-resume-") as folder:
            root = Path(folder)
            trials = failpoint_trials(root, options) if options.failpoints else random_trials(root, options)
        found[options.kind] = _told(trials, options)
    print(json.dumps(_figures(found, options)))
    return 0 if all(figures["good"] for figures in found.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="kills over all runs (20)")
    parser.add_argument("--kills-per-run", type=int, default=2, help="kills before a run may finish (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--steps", type=int, default=60, help="steps of a run (60)")
    parser.add_argument("--checkpoint-every", type=int, default=2, help="steps between states (2)")
    parser.add_argument(
        "--kind",
        choices=[*KINDS, "all"],
        default="full",
        help="what is trained: full, lora or flipped (full)",
    )
    parser.add_argument("--failpoints", action="store_true", help="kill at the stages of saving instead")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th stage of saving (1)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser


# -- the run under test


def _train(run_dir: Path, options: argparse.Namespace) -> None:
    """The command that is killed and started again: a tiny T5 on random tokens, from seeds alone."""
    import torch

    from ramekin.train.loop import finetune
    from ramekin.train.objectives.recipe import ObjectiveRecipe
    from ramekin.train.recipe import Recipe

    torch.set_num_threads(1)
    model = _model(options)
    recipe = Recipe(
        max_steps=options.steps,
        global_batch=8,
        micro_batch_tokens=64,
        learning_rate=1e-2,
        warmup_steps=3,
        checkpoint_every=options.checkpoint_every,
        eval_every=5,
        best_metric="norm",
        best_is="lowest",
    )
    flipped = options.kind == "flipped"
    objective = ObjectiveRecipe(name="flipped" if flipped else "direct")
    print("training", flush=True)
    finetune(
        model,
        _examples(flipped=flipped),
        recipe,
        run_dir=run_dir,
        resume=True,
        objective=objective,
        on_eval=_norm,
    )


def _model(options: argparse.Namespace):
    from ramekin.weights.adapter import LoraRecipe, attach_lora
    from ramekin.weights.config import t5_config
    from ramekin.weights.seq2seq import build_model

    config = t5_config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    model = build_model(config, seed=1, tied=False)
    return attach_lora(model, LoraRecipe(rank=2, dropout=0.1), seed=2) if options.kind == "lora" else model


def _examples(*, flipped: bool) -> list:
    from ramekin.tensors.encode import Encoded
    from ramekin.text.example import Provenance

    rng = random.Random(7)

    def ids(longest: int) -> tuple[int, ...]:
        return (*(rng.randrange(3, 64) for _ in range(rng.randint(1, longest))), 1)

    origin = Provenance("toy/random", "ids", "train", 0)
    return [Encoded(ids(20), ids(4), origin, ids(20) if flipped else ()) for _ in range(50)]


def _norm(model, step: int) -> dict[str, float]:
    return {"norm": float(sum(p.norm() for p in model.parameters()))}


def _outcome(run_dir: Path, options: argparse.Namespace) -> tuple[str, bool]:
    """(sha256 of the last and best weights, whether each step and evaluation was logged once, in order)."""
    last = run_dir / "state" / f"step-{options.steps:06d}"
    best = json.loads((last / "record.json").read_text())["best_step"]
    folders = (last, last.with_name(f"best-{best:06d}"))
    weights = b"".join((folder / "weights.safetensors").read_bytes() for folder in folders)
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in events if event["event"] == "step"]
    evals = [event["step"] for event in events if event["event"] == "eval"]
    due = sorted({*range(5, options.steps + 1, 5), options.steps})
    whole = steps == list(range(1, options.steps + 1)) and evals == due
    return hashlib.sha256(weights).hexdigest(), whole


# -- random moments, a process each


def random_trials(root: Path, options: argparse.Namespace) -> list[Trial]:
    command = [
        sys.executable,
        __file__,
        *("--steps", str(options.steps), "--checkpoint-every", str(options.checkpoint_every)),
        *("--kind", options.kind),
    ]
    seconds = _start(command, root / "undisturbed", None)
    assert seconds is not None
    sha256, whole = _outcome(root / "undisturbed", options)
    trials: list[Trial] = [(f"undisturbed, {seconds:.2f} s of training", 1, sha256, whole)]
    rng = random.Random(options.seed)
    kills = 0
    while kills < options.kills:
        run_dir = root / f"run-{len(trials)}-{kills}"
        moments: list[str] = []
        while len(moments) < options.kills_per_run and kills < options.kills:
            moment = (
                rng.randint(_logged(run_dir), options.steps),
                rng.uniform(0, 2 * seconds / options.steps),
            )
            if _start(command, run_dir, moment) is not None:
                break  # it was finished before its moment came
            kills += 1
            moments.append(f"step {moment[0]} + {1000 * moment[1]:.0f} ms")
        _start(command, run_dir, None)
        sha256, whole = _outcome(run_dir, options)
        trials.append((f"killed at {', '.join(moments)}", len(moments) + 1, sha256, whole))
        shutil.rmtree(run_dir)
    return trials


def _start(command: list[str], run_dir: Path, moment: tuple[int, float] | None) -> float | None:
    """Seconds of training until the command finished; None if it was killed first.

    The moment is counted in logged steps and seconds after that, so that it lies in the training however
    busy the machine is: within a step, in a save or between them.
    """
    process = subprocess.Popen([*command, "--child", str(run_dir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # from here on it trains
    began = time.perf_counter()
    if moment is not None:
        while process.poll() is None and _logged(run_dir) < moment[0]:
            time.sleep(0.002)
        time.sleep(moment[1])
        process.kill()
    code = process.wait()
    process.stdout.close()
    if code == -signal.SIGKILL:
        return None
    if code != 0:
        raise SystemExit(f"the run failed with exit code {code}")
    return time.perf_counter() - began


def _logged(run_dir: Path) -> int:
    """How many steps the run has logged so far."""
    path = run_dir / "events.jsonl"
    return path.read_bytes().count(b'"event": "step"') if path.exists() else 0


# -- every stage of a save, a fork each


def failpoint_trials(root: Path, options: argparse.Namespace) -> list[Trial]:
    import ramekin.train.loop  # noqa: F401  everything is imported before the first fork

    _model(options)
    stages = _in_fork(lambda: _trained_with(root / "undisturbed", options, kill_at=None))
    sha256, whole = _outcome(root / "undisturbed", options)
    trials: list[Trial] = [(f"undisturbed, {len(stages)} stages of saving", 1, sha256, whole)]
    saves = [number for number, stage in enumerate(stages) if stage == "write weights: not yet begun"]
    # The first save has nothing to fall back on, the third rotates, the last finishes the run.
    ends = [*saves[1:], len(stages)]
    chosen = [range(saves[n], ends[n]) for n in sorted({0, min(2, len(saves) - 1), len(saves) - 1})]
    for kill_at in [number for block in chosen for number in block][:: options.every]:
        run_dir = root / f"stage-{kill_at}"
        killed = _in_fork(lambda at=kill_at, to=run_dir: _trained_with(to, options, kill_at=at)) is None
        _in_fork(lambda to=run_dir: _trained_with(to, options, kill_at=None))
        sha256, whole = _outcome(run_dir, options)
        trials.append((f"killed at: {stages[kill_at]}", 1 + killed, sha256, whole and killed))
        shutil.rmtree(run_dir)
    return trials


def _in_fork(work: Callable[[], list[str]]) -> list[str] | None:
    """The result of `work` in a forked process; None if it was killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.write(writer, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        result = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGKILL:
        return None
    if status != 0:
        raise SystemExit(f"the run failed with exit code {status}")
    return json.loads(result)


def _trained_with(run_dir: Path, options: argparse.Namespace, *, kill_at: int | None) -> list[str]:
    """Train with every stage of saving counted, killing this process at one of them; the stages met."""
    from ramekin.train import state

    stages: list[str] = []

    def met(stage: str) -> None:
        stages.append(stage)
        if len(stages) - 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(holder: object, name: str) -> None:
        real = getattr(holder, name)

        def stage(*args, **kwargs):
            if saving:
                met(f"before {name}")
            return real(*args, **kwargs)

        setattr(holder, name, stage)

    def written(path: Path, tensors: dict) -> str:
        kind = path.name.split(".")[0]
        saving.append(path)
        met(f"write {kind}: not yet begun")
        digest = real_write(path, tensors)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        met(f"write {kind}: half written")
        path.write_bytes(whole)
        return digest

    def saved(*args, **kwargs):
        result = real_save(*args, **kwargs)
        met("saved, before anything else")
        saving.clear()
        return result

    saving: list[Path] = []
    real_write, real_save = state.write_tensors, state.save_state
    state.write_tensors = written
    saving_module = sys.modules["ramekin.train.saving"]
    saving_module.save_state = saved
    for holder, name in ((os, "fsync"), (os, "replace"), (Path, "rename"), (shutil, "rmtree")):
        counted(holder, name)
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        _train(run_dir, options)
    finally:
        sys.stdout = stdout
    return stages


# -- telling


def _told(trials: list[Trial], options: argparse.Namespace) -> dict[str, object]:
    expected = trials[0][2]
    print(f"{options.kind + ' run':<58} {'starts':>6}  {'weights':<12}  steps logged once")
    for what, starts, sha256, whole in trials:
        equal = "equal" if sha256 == expected else "DIFFERENT"
        print(f"{what:<58} {starts:>6}  {sha256[:12]}  {'yes' if whole else 'NO'}  {equal}", flush=True)
    return {
        "kills": sum(starts - 1 for _, starts, _, _ in trials),
        "runs": len(trials) - 1,
        "equal": sum(sha256 == expected for _, _, sha256, _ in trials[1:]),
        "logged_once": sum(whole for *_, whole in trials[1:]),
        "good": all(sha256 == expected and whole for _, _, sha256, whole in trials),
        "weights_sha256": expected,
    }


def _figures(found: dict[str, dict[str, object]], options: argparse.Namespace) -> dict[str, object]:
    totals = {
        key: sum(int(str(figures[key])) for figures in found.values())
        for key in ("kills", "runs", "equal", "logged_once")
    }
    return {
        "benchmark": "kill_resume",
        "moments": "failpoints" if options.failpoints else "random",
        "steps": options.steps,
        "checkpoint_every": options.checkpoint_every,
        "seed": options.seed,
        **totals,
        "good": all(figures["good"] for figures in found.values()),
        "kinds": found,
    }


if __name__ == "__main__":
    sys.exit(main())
