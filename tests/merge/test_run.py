import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ramekin.errors import RamekinError, UsageError, WeightsError
from ramekin.merge.array import TorchDevice
from ramekin.merge.inputs import ModelInput
from ramekin.merge.methods.simple_average import simple_average
from ramekin.merge.methods.task_arithmetic import task_arithmetic
from ramekin.merge.run import merge
from ramekin.weights.lineage import Lineage, read_lineage, weights_sha256, write_manifest
from ramekin.weights.verify import verify_checkpoint

CASES = [
    ("simple_average", {}),
    ("simple_average", {"weights": [1, 2, 3]}),
    ("task_arithmetic", {"scaling_factor": 0.4}),
    ("ties_merging", {}),
    ("ties_merging", {"preset": "fusionbench", "threshold": 20}),
    ("ties_merging", {"scope": "tensor", "merge_func": "mean", "density": 0.4}),
]
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
V = "decoder.block.0.layer.0.SelfAttention.v.weight"


def _sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _merge(world, base, models, method="task_arithmetic", settings=None, name="out", **more) -> Path:
    output = world.root / name
    merge(method, base=base, models=models, output=output, settings=settings or {}, **more)
    return output


def test_average_and_task_arithmetic_equal_the_function_tensor_by_tensor(world, family) -> None:
    base, models = family
    start, tuned = world.load(base), [world.load(model.folder) for model in models]
    averaged = world.load(_merge(world, base, models, "simple_average", name="average"))
    weighted = world.load(
        _merge(world, None, models, "simple_average", {"weights": [3, 2, 1]}, name="weighted")
    )
    added = world.load(_merge(world, base, models, settings={"scaling_factor": -0.7}, name="added"))
    assert averaged.keys() == added.keys() == start.keys()
    for name in start:
        own = [tensors[name] for tensors in tuned]
        assert torch.equal(averaged[name], simple_average(own))
        assert torch.equal(weighted[name], simple_average(own, weights=[3, 2, 1]))
        assert torch.equal(added[name], task_arithmetic(start[name], own, scaling_factor=-0.7))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("merge_func", ["sum", "mean", "max"])
@pytest.mark.parametrize("threshold", [10, 20, 50])
def test_the_fusionbench_preset_counts_as_that_tool_does(
    world, reference, tied: bool, merge_func: str, threshold: int
) -> None:
    base = world.save("base", tied=tied)
    start = world.load(base)
    models = [world.tuned(f"m{seed}", start, seed=seed) for seed in range(4)]
    settings = {"preset": "fusionbench", "threshold": threshold, "merge_func": merge_func}
    merged = world.load(_merge(world, base, models, "ties_merging", settings))
    expected = reference(
        start, [world.load(model.folder) for model in models], scaling_factor=0.3,
        keep_count=lambda n: int(n * threshold / 100) + 1, scope="model", merge_func=merge_func,
        times={"shared.weight": 4 if tied else 3},
    )  # fmt: skip
    assert all(torch.equal(merged[name], expected[name]) for name in start)


@pytest.mark.parametrize("preset", ["none", "paper"])
def test_the_other_presets_count_each_tensor_once(world, family, reference, preset: str) -> None:
    base, models = family
    merged = world.load(_merge(world, base, models, "ties_merging", {"preset": preset}))
    paper = preset == "paper"
    expected = reference(
        world.load(base), [world.load(model.folder) for model in models], scope="model",
        scaling_factor=1.0 if paper else 0.3, merge_func="mean" if paper else "sum",
        keep_count=(lambda n: int(n * 0.2) + 1) if paper else (lambda n: round(n * 0.2)),
    )  # fmt: skip
    assert all(torch.equal(merged[name], tensor) for name, tensor in expected.items())


def test_the_mergekit_preset(world, family, reference) -> None:
    base, models = family
    merged = world.load(_merge(world, base, models, "ties_merging", {"preset": "mergekit", "density": 0.3}))
    expected = reference(
        world.load(base), [world.load(model.folder) for model in models], scope="tensor",
        scaling_factor=1.0, merge_func="mean", keep_count=lambda n: max(1, int(n * 0.3)), zero_sign=1,
    )  # fmt: skip
    assert all(torch.equal(merged[name], tensor) for name, tensor in expected.items())


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize(("method", "settings"), CASES)
def test_shards_chunks_and_threads_do_not_change_a_byte(world, family, method, settings) -> None:
    base, models = family
    whole = _sha256(_merge(world, base, models, method, settings, name="whole"))
    sharded = [
        ModelInput(model.name, world.save(f"sharded-{model.name}", world.load(model.folder), shards=3))
        for model in models
    ]
    split = world.save("sharded-base", world.load(base), shards=2)
    assert _sha256(_merge(world, split, sharded, method, settings, name="sharded")) == whole
    for length, threads in ((24, 1), (400, 1), (7, 4)):
        name = f"l{length}"
        output = _merge(
            world, base, models, method, settings, name=name, chunk_length=length, threads=threads
        )
        assert _sha256(output) == whole
    torch_made = _merge(world, base, models, method, settings, name="torch", device=TorchDevice("cpu"))
    made, expected = world.load(torch_made), world.load(world.root / "whole")
    for tensor in expected:
        torch.testing.assert_close(made[tensor], expected[tensor])


@pytest.mark.parametrize(("method", "settings"), CASES)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_merged_in_fp32(world, method, settings, kind) -> None:
    base = world.save("base", dtype=kind)
    start = {name: tensor.float() for name, tensor in world.load(base).items()}
    models = [world.tuned(f"m{seed}", start, seed=seed, dtype=kind) for seed in range(3)]
    wide_base = world.save("wide-base", start)
    wide = [
        ModelInput(
            model.name,
            world.save(f"wide-{model.name}", {n: t.float() for n, t in world.load(model.folder).items()}),
        )
        for model in models
    ]
    same = world.load(_merge(world, base, models, method, settings, name="same"))
    as_fp32 = world.load(_merge(world, base, models, method, settings, name="fp32", dtype="float32"))
    exact = world.load(_merge(world, wide_base, wide, method, settings, name="exact"))
    for name in start:
        assert same[name].dtype == kind and as_fp32[name].dtype == torch.float32
        assert torch.equal(as_fp32[name], exact[name])
        assert torch.equal(same[name], exact[name].to(kind))


def test_models_of_several_dtypes_keep_the_bases(world) -> None:
    base = world.save("base")
    start = world.load(base)
    models = [
        world.tuned("a", start, seed=1),
        world.tuned("b", start, seed=2, dtype=torch.bfloat16, shards=2),
    ]
    merged = world.load(_merge(world, base, models))
    assert all(tensor.dtype == torch.float32 for tensor in merged.values())


@pytest.mark.parametrize(("method", "settings"), CASES[:4])
def test_adapters_merge_as_their_dense_models(world, method, settings) -> None:
    from ramekin.weights.adapter_folder import read_adapter

    base = world.save("base")
    start = world.load(base)
    shapes = {name: tuple(tensor.shape) for name, tensor in start.items()}
    adapters, dense = [], []
    for seed in range(3):
        folder = world.adapter(f"ad{seed}", [Q, V], shapes, seed=seed)
        adapters.append(ModelInput(f"ad{seed}", folder, base if seed else None))
        deltas = read_adapter(folder).changes
        full = {n: t + deltas[n].dense() if n in deltas else t for n, t in start.items()}
        dense.append(ModelInput(f"ad{seed}", world.save(f"dense{seed}", full)))
    streamed = _merge(world, base, adapters, method, settings, name="adapters")
    expected = world.load(_merge(world, base, dense, method, settings, name="dense"))
    mixed = _merge(world, base, [adapters[0], *dense[1:]], method, settings, name="mixed")
    for output in (streamed, mixed):
        for name, tensor in world.load(output).items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=1e-5)


def test_an_average_of_adapters_needs_no_base_but_their_own(world) -> None:
    base = world.save("base")
    shapes = {name: tuple(tensor.shape) for name, tensor in world.load(base).items()}
    adapters = [
        ModelInput(f"ad{seed}", world.adapter(f"ad{seed}", [Q], shapes, seed=seed), base) for seed in range(2)
    ]
    without = _merge(world, None, adapters, "simple_average", name="without")
    assert _sha256(without) == _sha256(_merge(world, base, adapters, "simple_average", name="with"))
    assert (without / "config.json").read_bytes() == (base / "config.json").read_bytes()
    roles = [(parent.name, parent.role) for parent in read_lineage(without).parents]  # type: ignore[union-attr]
    assert roles == [("ad0", "model"), ("ad1", "model"), ("base", "base")]


def test_keep_all_keep_none_and_factor_zero(world, family) -> None:
    base, models = family
    start = world.load(base)
    for position, settings in enumerate(
        ({"density": 0}, {"scaling_factor": 0}, {"density": 0.0, "scope": "tensor"})
    ):
        merged = world.load(_merge(world, base, models, "ties_merging", settings, name=f"none{position}"))
        assert all(torch.equal(merged[name], start[name]) for name in start)
    settings = {"density": 1, "scaling_factor": 1}
    merged = world.load(_merge(world, base, models[:1], "ties_merging", settings, name="all"))
    own = world.load(models[0].folder)
    for name in start:
        torch.testing.assert_close(merged[name], own[name])


def test_the_output_is_a_checkpoint_with_its_lineage(world, family) -> None:
    base, models = family
    (base / "generation_config.json").write_text('{"eos_token_id":   1}')
    (base / "tokenizer.json").write_text('{"model": {"vocab": []}, "added_tokens": []}')
    output = world.root / "deep" / "out"
    report = merge(
        "ties_merging",
        base=base,
        models=models,
        output=output,
        settings={"preset": "paper"},
        dtype="bfloat16",
        verify=True,
    )
    verify_checkpoint(output)
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert (output / name).read_bytes() == (base / name).read_bytes()
    assert report.sha256 == _sha256(output) == weights_sha256(output)
    lineage = read_lineage(output)
    assert lineage is not None
    assert (lineage.kind, lineage.operation, lineage.base) == ("dense", "merge/ties_merging", "base")
    assert [(p.name, p.role, p.sha256) for p in lineage.parents] == [
        ("base", "base", _sha256(base)),
        *((model.name, "model", _sha256(model.folder)) for model in models),
    ]
    assert lineage.settings == {**report.settings, "dtype": "bfloat16"}
    assert lineage.settings["merge_func"] == "mean"
    assert report.seconds > 0 and report.warnings == ()
    json.dumps(report.figures, allow_nan=False)


def test_a_lineage_has_the_hashes_that_are_known_without_reading_the_weights(world, family) -> None:
    base, models = family
    write_manifest(models[0].folder, Lineage("dense", "finetune"))
    blob = world.root / "blobs" / ("5" * 64)
    blob.parent.mkdir()
    (models[1].folder / "model.safetensors").rename(blob)
    (models[1].folder / "model.safetensors").symlink_to(blob)
    lineage = read_lineage(_merge(world, base, models, "simple_average", name="out"))
    assert lineage is not None
    assert [(p.name, p.sha256) for p in lineage.parents] == [
        ("base", None),
        (models[0].name, _sha256(models[0].folder)),
        (models[1].name, "5" * 64),
        *((model.name, None) for model in models[2:]),
    ]


def test_the_tokenizer_of_a_model_where_the_base_has_none(world, family) -> None:
    base, models = family
    (models[1].folder / "tokenizer.json").write_text("{}")
    output = _merge(world, base, models)
    assert (output / "tokenizer.json").read_text() == "{}"


def test_it_opens_as_a_model(tmp_path, make_checkpoint) -> None:
    from ramekin.weights.seq2seq import load_model, tensors_of

    base = make_checkpoint(tmp_path / "base", seed=0)
    models = [ModelInput(f"m{i}", make_checkpoint(tmp_path / f"m{i}", seed=i, like=base)) for i in (1, 2)]
    merge("task_arithmetic", base=base, models=models, output=tmp_path / "out", settings={})
    merged = tensors_of(load_model(tmp_path / "out"))
    start, *tuned = (tensors_of(load_model(f)) for f in (base, *(model.folder for model in models)))
    for name, tensor in merged.items():
        expected = task_arithmetic(start[name], [tensors[name] for tensors in tuned])
        assert torch.equal(tensor, expected.detach())


def test_old_files_that_store_the_embedding_several_times(world) -> None:
    plain = world.save("base", tied=True)
    start = world.load(plain)
    models = [world.tuned(f"m{seed}", start, seed=seed) for seed in range(2)]
    aliases = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")

    def old(name: str, folder: Path) -> Path:
        tensors = world.load(folder)
        return world.save(name, {**tensors, **dict.fromkeys(aliases, tensors["shared.weight"])})

    old_models = [ModelInput(model.name, old(f"old-{model.name}", model.folder)) for model in models]
    new = _merge(world, plain, models, "ties_merging", name="new")
    from_old = _merge(world, old("old-base", plain), old_models, "ties_merging", name="from-old")
    assert _sha256(new) == _sha256(from_old)
    broken = {**start, aliases[0]: start["shared.weight"] + 1}
    with pytest.raises(WeightsError, match="the embedding is stored twice with different values"):
        _merge(world, plain, [ModelInput("broken", world.save("broken", broken))], name="never")
    assert not (world.root / "never").exists()


@pytest.mark.parametrize("preset", ["none", "fusionbench"])
def test_a_tied_head_that_is_stored_counts_once_and_stays_tied(world, preset: str) -> None:
    plain = world.save("base", tied=True)
    start = world.load(plain)
    models = [world.tuned(f"m{seed}", start, seed=seed) for seed in range(3)]

    def stored(name: str, folder: Path) -> Path:
        tensors = world.load(folder)
        return world.save(name, {**tensors, "lm_head.weight": tensors["shared.weight"]})

    doubled = [ModelInput(model.name, stored(f"d-{model.name}", model.folder)) for model in models]
    settings = {"preset": preset}
    expected = world.load(_merge(world, plain, models, "ties_merging", settings, name="plain"))
    merged = world.load(
        _merge(world, stored("d-base", plain), doubled, "ties_merging", settings, name="doubled")
    )
    assert torch.equal(merged.pop("lm_head.weight"), expected["shared.weight"])
    assert (
        all(torch.equal(merged[name], expected[name]) for name in expected) and merged.keys() == start.keys()
    )


def test_a_model_that_is_not_finite_leaves_nothing(world, family) -> None:
    base, models = family
    tensors = world.load(base)
    tensors[V][0, 0] = float("nan")
    bad = ModelInput("bad", world.save("bad", tensors))
    with pytest.raises(WeightsError, match=rf"NaN or infinite: .*{V}: expected finite values in 'bad'"):
        _merge(world, base, [*models, bad])
    assert not any(path.name.startswith((".tmp", "out")) for path in world.root.iterdir())


def test_a_result_that_is_not_finite_is_not_written(world, family) -> None:
    with pytest.raises(WeightsError, match="a value to be written is not finite"):
        _merge(world, *family, settings={"scaling_factor": 1e6}, dtype="float16")
    assert not (world.root / "out").exists()


def test_an_input_that_is_not_what_its_manifest_says(world, family) -> None:
    from ramekin.weights.lineage import Lineage, write_manifest

    base, models = family
    write_manifest(models[1].folder, Lineage(kind="dense", operation="finetune"))
    path = models[1].folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="a file of the checkpoint was changed or damaged"):
        _merge(world, base, models, verify=True)
    assert not (world.root / "out").exists()
    _merge(world, base, models)


def test_overwriting(world, family) -> None:
    base, models = family
    output = _merge(world, base, models)
    first = _sha256(output)
    with pytest.raises(UsageError, match="never overwritten unasked"):
        _merge(world, base, models)
    _merge(world, base, models, settings={"scaling_factor": 0.9}, overwrite=True)
    assert _sha256(output) != first


def test_weights_that_are_not_one_a_model(world, family) -> None:
    with pytest.raises(UsageError, match="weights must be one number, or one for each model: expected 3"):
        _merge(world, *family, "simple_average", {"weights": [1, 2]})
    assert not (world.root / "out").exists()


def test_dummy_is_the_base(world, family) -> None:
    base, models = family
    assert _sha256(_merge(world, base, models, "dummy", name="of-base")) == _sha256(base)
    assert _sha256(_merge(world, None, models, "dummy", name="of-first")) == _sha256(models[0].folder)


def test_a_cut_of_zero_is_said_with_the_tensors(world) -> None:
    base = world.save("base")
    start = world.load(base)
    tuned = {name: tensor.clone() for name, tensor in start.items()}
    tuned[Q] += 1.0
    models = [ModelInput("sparse", world.save("sparse", tuned)), world.tuned("dense", start, seed=1)]
    report = merge("ties_merging", base=base, models=models, output=world.root / "out", settings={})
    (warning,) = report.warnings
    assert warning.startswith(f"'sparse' ({world.root / 'sparse'}): nothing was trimmed, the cut is 0")
    assert "lm_head.weight, shared.weight" in warning and Q not in warning
    assert report.figures["kept_share"][models[0].label] == 1.0  # type: ignore[index]


def test_values_that_equal_the_cut_are_said_with_the_tensors(world) -> None:
    base = world.save("base")
    tuned = {name: tensor.clone() for name, tensor in world.load(base).items()}
    start = {name: torch.zeros_like(tensor) for name, tensor in tuned.items()}
    base = world.save("zeros", start)
    tuned[Q] = torch.full_like(tuned[Q], 2.0)
    model = ModelInput("tied", world.save("tied", tuned))
    settings = {"scope": "tensor", "density": 0.5}
    report = merge("ties_merging", base=base, models=[model], output=world.root / "out", settings=settings)
    (warning,) = report.warnings
    assert "64 values were kept instead of 32, because some equal the cut 2; in 1 tensors" in warning
    assert Q in warning


def test_a_single_value_that_equals_the_cut_is_in_the_figures_and_no_warning(world) -> None:
    base = world.save("base")
    tuned = {name: tensor.clone() for name, tensor in world.load(base).items()}
    start = {name: torch.zeros_like(tensor) for name, tensor in tuned.items()}
    base = world.save("zeros", start)
    values = torch.arange(1, tuned["shared.weight"].numel() + 1, dtype=torch.float32)
    half = len(values) // 2
    values[half - 1] = values[half]  # the largest of those that go is as large as the smallest that stays
    tuned["shared.weight"] = values.reshape(tuned["shared.weight"].shape)
    model = ModelInput("tied", world.save("tied", tuned))
    settings = {"scope": "tensor", "density": 0.5}
    report = merge("ties_merging", base=base, models=[model], output=world.root / "out", settings=settings)
    cases = [case for case in report.figures["imprecise"] if case["tensor"] == "shared.weight"]  # type: ignore[union-attr]
    assert [case["kept"] - case["wanted"] for case in cases] == [1]
    assert not [warning for warning in report.warnings if "shared.weight" in warning]


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import merge

root, last = Path(sys.argv[1]), int(sys.argv[2])
lock, seen = threading.Lock(), 0

def step(*_):
    # Files opened, made, renamed and removed, and readings of weights; the last one asked for is not survived.
    global seen
    with lock:
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

def hook(event, _):
    if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir"):
        step()

sys.addaudithook(hook)
merge("ties_merging", base=root / "base", models=[ModelInput(f"m{i}", root / f"m{i}") for i in range(3)],
      output=root / "out", settings={}, chunk_length=64, shard_bytes=2000, progress=step)
print(seen)
"""


def _killed(root: Path, last: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", KILLED, str(root), str(last)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _kills(world, points: int) -> None:
    """Kill a merge at points spread over all that it does; nothing may stand under the final name."""
    whole = _killed(world.root, -1)
    assert whole.returncode == 0, whole.stderr
    output = world.root / "out"
    expected = {path.name: path.read_bytes() for path in output.iterdir()}
    steps = int(whole.stdout)
    left_behind = 0
    for point in range(points):
        shutil.rmtree(output, ignore_errors=True)
        last = 1 + point * (steps - 1) // max(1, points - 1)
        assert _killed(world.root, last).returncode == -signal.SIGKILL
        assert not output.exists() or {p.name for p in output.iterdir()} == expected.keys()
        left_behind += any(path.name.startswith(".tmp") for path in world.root.iterdir())
        if output.exists():  # killed after it was done
            continue
        again = _killed(world.root, -1)
        assert again.returncode == 0, again.stderr
        assert {path.name: path.read_bytes() for path in output.iterdir()} == expected
        assert not any(path.name.startswith(".tmp") for path in world.root.iterdir())
    assert left_behind >= points // 3  # most kills came while the output was being made


def test_a_killed_merge_leaves_nothing_under_the_final_name(world, family) -> None:
    _kills(world, 5)


@pytest.mark.slow
def test_fifty_kills_of_a_merge(world, family) -> None:
    _kills(world, 50)


def test_errors_come_before_the_output_is_touched(world, family) -> None:
    base, models = family
    output = _merge(world, base, models)
    before = _sha256(output)
    wrong = ModelInput("wrong", world.save("wrong", tied=True))
    with pytest.raises(RamekinError):
        _merge(world, base, [wrong], overwrite=True)
    assert _sha256(output) == before


def test_an_output_in_shards_is_the_same_model(world, family) -> None:
    base, models = family
    whole = _merge(world, base, models, name="whole")
    sharded = world.root / "sharded"
    report = merge("task_arithmetic", base=base, models=models, output=sharded, settings={}, shard_bytes=1500)
    files = sorted(path.name for path in sharded.glob("*.safetensors"))
    assert len(files) > 2 and not (sharded / "model.safetensors").exists()
    verify_checkpoint(sharded)
    assert report.sha256 == weights_sha256(sharded)
    assert report.bytes_written == sum((sharded / file).stat().st_size for file in files)
    again = _merge(world, None, [ModelInput("sharded", sharded)], "simple_average", name="again")
    assert _sha256(again) == _sha256(whole)
