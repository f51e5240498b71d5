"""A whole check: sound families of every architecture, several faults at once, values that are not finite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.inputs import ModelInput
from ramekin.merge.preflight import preflight
from ramekin.merge.run import merge
from ramekin.weights.lineage import Lineage, write_manifest
from ramekin.weights.reading import CheckpointReader

METHODS = ("simple_average", "task_arithmetic", "ties_merging", "slerp", "tsv_merge")
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
V = "decoder.block.0.layer.0.SelfAttention.v.weight"
BART = {
    "model_type": "bart", "is_encoder_decoder": True, "vocab_size": 40, "d_model": 8, "encoder_layers": 1,
    "decoder_layers": 1, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "scale_embedding": False,
}  # fmt: skip


def _kinds(method: str | None, base: Path | None, models: list[ModelInput], **more: Any) -> list[str]:
    found = preflight(method, base=base, models=models, **more)
    return [finding.kind for finding in found.findings]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tied", [False, True])
def test_sound_models_of_t5_and_of_flan_t5(
    tmp_path: Path, make_checkpoint: Callable[..., Path], method: str, tied: bool
) -> None:
    base = make_checkpoint(tmp_path / "base", seed=0, tied=tied)
    models = [ModelInput(f"m{i}", make_checkpoint(tmp_path / f"m{i}", seed=i, like=base)) for i in (1, 2)]
    found = preflight(method, base=base, models=models)
    assert found.findings == () and found.exit_code == 0
    assert found.models == ("m1", "m2") and found.dtypes == ("F32",) and 0 < found.seconds < 60
    with CheckpointReader(base) as reader:
        assert found.tensors == len(reader.names())
        assert found.parameters == sum(reader.info(name).numel for name in reader.names())
    assert found.to_json()["errors"] == 0 and found.to_json()["findings"] == []


def _bart(world: Any, name: str, **keys: object) -> Path:
    rng = torch.Generator().manual_seed(len(name))
    tensors = {
        "model.shared.weight": torch.randn(40, 8, generator=rng),
        "final_logits_bias": torch.zeros(1, 40),
    }
    for stack in ("encoder", "decoder"):
        tensors[f"model.{stack}.layers.0.fc1.weight"] = torch.randn(12, 8, generator=rng)
        tensors[f"model.{stack}.layers.0.self_attn.q_proj.weight"] = torch.randn(8, 8, generator=rng)
    if "vocab_size" in keys:
        rows = int(str(keys["vocab_size"]))
        tensors |= {"model.shared.weight": torch.zeros(rows, 8), "final_logits_bias": torch.zeros(1, rows)}
    folder: Path = world.save(name, tensors)
    (folder / "config.json").write_text(json.dumps({**BART, **keys}))
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []})
    )
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_bart_sound_and_with_faults(world, method: str) -> None:
    base = _bart(world, "base")
    models = [ModelInput(name, _bart(world, name)) for name in ("one", "three")]
    assert _kinds(method, base, models) == []
    scaled = ModelInput("scaled", _bart(world, "scaled", scale_embedding=True, attention_dropout=0.3))
    larger = ModelInput("larger", _bart(world, "larger", vocab_size=44))
    assert _kinds(method, base, [models[0], scaled]) == ["configuration"]
    (finding,) = preflight(method, base=base, models=[models[0], larger]).findings
    assert finding.kind == "vocabulary-size"
    assert finding.tensors == ("model.shared.weight", "final_logits_bias")


def _attached(folder: Path, base: Path, recipe: Any) -> ModelInput:
    from ramekin.weights.adapter import attach_adapter, save_adapter
    from ramekin.weights.lineage import Lineage, Parent, weights_sha256
    from ramekin.weights.seq2seq import load_model

    wrapped = attach_adapter(load_model(base), recipe, seed=1)
    parents = (Parent("org/base", weights_sha256(base), "base"),)
    lineage = Lineage(kind="adapter", operation="finetune", base="org/base", parents=parents)
    save_adapter(wrapped, folder, base="org/base", lineage=lineage)
    return ModelInput(folder.name, folder)


def test_sound_adapters_of_every_kind(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> None:
    from ramekin.weights.adapter import IA3Recipe, LoraRecipe, PromptRecipe

    base = make_checkpoint(tmp_path / "base", seed=0)
    recipes = {
        "lora": LoraRecipe(rank=2), "rslora": LoraRecipe(rank=2, rslora=True, targets=("q", "wi_0")),
        "dora": LoraRecipe(rank=2, dora=True), "ia3": IA3Recipe(),
    }  # fmt: skip
    models = [_attached(tmp_path / name, base, recipe) for name, recipe in recipes.items()]
    for method in METHODS:
        some = models[1:3] if method == "slerp" else models
        assert _kinds(method, base, some) == []
        assert (
            _kinds(
                method,
                base,
                [*models[:1], ModelInput("m", make_checkpoint(tmp_path / method, seed=1, like=base))],
            )
            == []
        )
    larger = _attached(tmp_path / "larger", base, LoraRecipe(rank=3))
    assert _kinds("ties_merging", base, [*models, larger]) == ["adapter-ranks"]
    prompt = _attached(tmp_path / "prompt", base, PromptRecipe(3))
    assert _kinds("ties_merging", base, [*models, prompt]) == ["soft-prompt"]
    other = make_checkpoint(tmp_path / "other", seed=5)
    found = preflight("ties_merging", base=other, models=models)
    assert [finding.kind for finding in found.findings] == ["adapter-base"] * 4
    assert found.exit_code == WeightsError.exit_code


def test_all_faults_are_listed_errors_first(world, family) -> None:
    base, models = family
    tensors = world.load(models[0].folder)
    del tensors[Q]
    tensors["more.weight"] = torch.ones(2)
    save_file(tensors, models[0].folder / "model.safetensors", metadata={"format": "pt"})
    (models[1].folder / "model.safetensors").unlink()
    config = json.loads((models[2].folder / "config.json").read_text())
    (models[2].folder / "config.json").write_text(json.dumps({**config, "num_heads": 4, "d_kv": 2}))
    found = preflight(
        "task_arithmetic", base=base, models=models, settings={"weights": [1, 2]}, post={"name": "svc"}
    )
    assert [(finding.kind, finding.severity) for finding in found.findings] == [
        ("values-per-model", "error"), ("no-weights", "error"), ("missing-tensors", "error"),
        ("extra-tensors", "error"), ("key-width", "error"), ("heads", "error"), ("no-tokenizer", "notice"),
    ]  # fmt: skip
    assert found.exit_code == UsageError.exit_code
    assert (found.count("error"), found.count("warning"), found.count("notice")) == (6, 0, 1)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (told["errors"], told["notices"], told["exit_code"]) == (6, 1, 2)
    assert told["findings"][2]["models"] == [f"the base ({base})", models[0].label]
    with pytest.raises(WeightsError, match=r"holds no weights: .*\(4 more: ramekin merge check lists them\)"):
        merge("task_arithmetic", base=base, models=models, settings={}, output=world.root / "out")


def test_a_renamed_tensor_is_recognised(world, family) -> None:
    base, models = family
    tensors = world.load(models[0].folder)
    tensors[Q.replace("SelfAttention", "SelfAttn")] = tensors.pop(Q)
    save_file(tensors, models[0].folder / "model.safetensors", metadata={"format": "pt"})
    missing, extra, _ = preflight("ties_merging", base=base, models=models).findings
    assert f"{models[0].label} has '{Q.replace('SelfAttention', 'SelfAttn')}' instead" in str(missing.fix)
    assert f"the base ({base}) has '{Q}' instead" in str(extra.fix)


def test_one_damaged_model_does_not_hide_the_others(world, family) -> None:
    base, models = family
    (base / "model.safetensors").write_bytes(b"")
    other = ModelInput("large", world.save("large", vocab_size=44))
    first, second, _ = preflight("ties_merging", base=base, models=[*models, other]).findings
    assert (first.kind, first.models) == ("damaged-file", (f"the base ({base})",))
    assert (second.kind, second.models) == ("vocabulary-size", (models[0].label, other.label))


def test_adapters_are_as_their_base_and_the_base_comes_first(world, family) -> None:
    base, models = family
    adapter = ModelInput("ad", world.adapter("ad", [Q], {Q: (8, 8)}))
    large = ModelInput("large", world.save("large", vocab_size=44))
    for some in ([models[0], adapter, large], [adapter, large, models[0]], [large, adapter]):
        finding = preflight("ties_merging", base=base, models=some).findings[0]
        assert finding.kind == "vocabulary-size" and finding.models == (f"the base ({base})", large.label)
    own = ModelInput("ad", adapter.folder, base)
    finding = preflight("simple_average", base=None, models=[large, own]).findings[0]
    assert finding.kind == "vocabulary-size" and finding.models == (large.label, own.label)


def test_without_a_method_what_every_method_asks_is_checked(world, family) -> None:
    base, models = family
    assert _kinds(None, base, models) == _kinds(None, None, models) == ["no-tokenizer"]
    found = preflight(None, base=base, models=[*models, ModelInput("b", base)])
    first = found.findings[0]
    assert (first.kind, first.severity) == ("base-among-models", "warning")
    assert found.exit_code == 0
    assert _kinds("dummy", base, [ModelInput("gone", world.root / "gone")]) == ["no-tokenizer"]


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("ties", {}, "unknown merge method"),
        ("ties_merging", {"settings": {"density": 20}}, "density=0.2"),
        ("ties_merging", {"post": {"name": "svd"}}, "unknown step"),
    ],
)
def test_words_that_cannot_be_are_refused(family, method: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preflight(method, base=family[0], models=family[1], **given)


def test_nothing_is_read_but_headers(world, family, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_reading(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    for place in (
        "ramekin.weights.reading.CheckpointReader._read_into",
        "ramekin.weights.lineage.sha256_file",
    ):
        monkeypatch.setattr(place, no_reading)
    adapter = ModelInput("ad", world.adapter("ad", [Q], {Q: (8, 8)}))
    assert _kinds("ties_merging", family[0], [*family[1], adapter]) == ["no-tokenizer"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_found_while_merging_and_nothing_is_left(
    world, family, method: str, value: float
) -> None:
    base, models = family
    tensors = world.load(models[1].folder)
    tensors[V][2, 3] = value
    save_file(tensors, models[1].folder / "model.safetensors", metadata={"format": "pt"})
    assert _kinds(method, base, models[:2]) == ["no-tokenizer"]
    with pytest.raises(WeightsError) as caught:
        merge(method, base=base, models=models[:2], settings={}, output=world.root / "out")
    told = str(caught.value)
    assert f"#{V}: expected finite values in {models[1].label}, got {value} at element 19; fix: leave" in told
    assert not [path for path in world.root.iterdir() if path.name.startswith(("out", ".tmp"))]


@pytest.mark.parametrize("method", METHODS)
def test_so_is_one_of_the_base_or_of_an_adapter(world, family, method: str) -> None:
    base, models = family
    folder = world.adapter("ad", [V], {V: (8, 8)})
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_A" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"not finite: .*lora_A"):
        merge(
            method,
            base=base,
            models=[models[0], ModelInput("ad", folder)],
            settings={},
            output=world.root / "out",
        )
    if method not in ("simple_average", "slerp"):  # these do not read it
        start = world.load(base)
        start[V][0, 1] = float("inf")
        save_file(start, base / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(WeightsError, match=r"finite values in the base \(.*got inf at element 1;"):
            merge(method, base=base, models=models[:2], settings={}, output=world.root / "out")
    assert not [path for path in world.root.iterdir() if path.name.startswith(("out", ".tmp"))]


def test_statistics_are_looked_at_by_their_headers(world, family) -> None:
    base, models = family[0], family[1][:2]
    arrays = {name: np.ones(tuple(each.shape)) for name, each in world.load(base).items()}
    own = [world.statistics(f"s-{each.name}", "fisher", each.folder, arrays) for each in models]
    other = world.statistics("s-other", "fisher", family[1][2].folder, arrays)
    for model in models:  # as ramekin writes it: the hash is known without reading
        write_manifest(model.folder, Lineage(kind="dense", operation="test"))

    def kinds(method: str, statistics) -> list[str]:
        found = preflight(method, base=base, models=models, settings={}, statistics=statistics)
        return [each.kind for each in found.findings if each.severity == "error"]

    assert kinds("fisher", own) == kinds("fisher", own[::-1]) == kinds("regmean_plus_plus", None) == []
    for method, wrong in [
        ("fisher", []),
        ("fisher", own[:1]),
        ("fisher", [own[0], other]),
        ("fisher", [*own, other]),
        ("regmean", own),
        ("task_arithmetic", own),
        ("fisher", [own[0], world.root / "nowhere"]),
    ]:
        assert kinds(method, wrong) == ["statistics"], (method, wrong)
        with pytest.raises((UsageError, WeightsError)):
            merge(method, base=base, models=models, settings={}, statistics=wrong, output=world.root / "out")


def test_an_embedding_that_cannot_be_counted_as_the_peer_does_is_found(world) -> None:
    base, model = _bart(world, "base"), ModelInput("m", _bart(world, "m"))
    found = preflight("ties_merging", base=base, models=[model], settings={"preset": "fusionbench"})
    (error,) = [each for each in found.findings if each.severity == "error"]
    assert "counting=fusionbench is known for T5 models only" in error.what
    assert error.fix == "use counting=unique"
