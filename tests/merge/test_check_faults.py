"""Every kind of finding, with five methods: what `merge check` shows is what a merge raises or says.

A fault is put into a sound world of a base and two models; then exactly its kind is found, both models, the
tensor or key and the fix are named, and a merge refuses in the same words and leaves nothing behind.
"""

import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import RamekinError
from ramekin.merge.findings import KINDS, Finding
from ramekin.merge.inputs import ModelInput
from ramekin.merge.methods import find_method
from ramekin.merge.preflight import preflight
from ramekin.merge.run import merge
from ramekin.weights.lineage import Lineage, Parent, weights_sha256, write_manifest

METHODS = ("simple_average", "task_arithmetic", "ties_merging", "slerp", "tsv_merge")
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
WI = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"


@dataclass(frozen=True)
class Case:
    """A merge with a fault in it."""

    base: Path | None
    models: Sequence[ModelInput]
    settings: Mapping[str, object] = field(default_factory=dict)
    post: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Fault:
    """What is done to a sound merge, and what must be told of it."""

    make: Callable[[Any, Case], Case]
    told: str
    """In the message: a tensor, a key or a file."""
    severity: str = "error"
    models: tuple[str, ...] = ("base", "'m1'")
    """In the labels of the models that the finding is about."""
    fix: str = ""


def sound(world: Any) -> Case:
    """A base and two models of it, each with the same tokenizer."""
    base = world.save("base")
    start = world.load(base)
    models = [world.tuned(f"m{seed}", start, seed=seed) for seed in range(2)]
    for folder in (base, *(model.folder for model in models)):
        tokenizer(folder)
    return Case(base, models)


def tokenizer(folder: Path, count: int = 30, first: str = "p0") -> None:
    vocab = [[first, -1.0], *([f"p{i}", -1.0] for i in range(1, count))]
    document = {"model": {"type": "Unigram", "vocab": vocab}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(document))


def configured(
    index: int = 1, *, base: bool = False, drop: Sequence[str] = (), **keys: object
) -> Callable[[Any, Case], Case]:
    """Other keys in the configuration of a model, or of the base and all models."""

    def make(world: Any, case: Case) -> Case:
        assert case.base is not None
        folders = [case.base, *(m.folder for m in case.models)] if base else [case.models[index].folder]
        for folder in folders:
            config = json.loads((folder / "config.json").read_text()) | keys
            (folder / "config.json").write_text(
                json.dumps({k: v for k, v in config.items() if k not in drop})
            )
        return case

    return make


def tensors(
    change: Callable[[dict[str, torch.Tensor]], object], **keys: object
) -> Callable[[Any, Case], Case]:
    """Other tensors in the second model, and other keys in its configuration."""

    def make(world: Any, case: Case) -> Case:
        folder = case.models[1].folder
        loaded = world.load(folder)
        change(loaded)
        save_file(loaded, folder / "model.safetensors", metadata={"format": "pt"})
        return configured(**keys)(world, case)

    return make


def files(change: Callable[[Path], object]) -> Callable[[Any, Case], Case]:
    """Something done to the folder of the second model."""

    def make(world: Any, case: Case) -> Case:
        change(case.models[1].folder)
        return case

    return make


def adapter(
    change: Callable[[Path], object] = lambda folder: None, *, target: str = Q, shape: tuple[int, int] = (8, 8),
    base: str | None = "base", **more: Any,
) -> Callable[[Any, Case], Case]:  # fmt: skip
    """An adapter in the place of the second model."""

    def make(world: Any, case: Case) -> Case:
        folder = world.adapter("ad/m1", [target], {target: shape}, base=base, **more)
        change(folder)
        return replace(case, models=[case.models[0], ModelInput("m1", folder)])

    return make


def renamed(world: Any, case: Case) -> Case:
    return replace(case, models=[replace(case.models[0], name="m1"), case.models[1]])


def twice(world: Any, case: Case) -> Case:
    return replace(case, models=[replace(case.models[1], name="m0"), case.models[1]])


def linked(world: Any, case: Case) -> Case:
    path = case.models[1].folder / "model.safetensors"
    path.unlink()
    os.link(case.models[0].folder / "model.safetensors", path)
    return case


def copied(world: Any, case: Case) -> Case:
    path = case.models[1].folder / "model.safetensors"
    path.write_bytes((case.models[0].folder / "model.safetensors").read_bytes())
    for model in case.models:
        write_manifest(model.folder, Lineage(kind="dense", operation="finetune"))
    return case


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def long_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 20) + path.read_bytes()[8:])


def sharded(spoil: Callable[[Path, dict[str, Any]], object]) -> Callable[[Any, Case], Case]:
    """The second model in two shards, spoilt."""

    def make(world: Any, case: Case) -> Case:
        folder = world.save("sharded", world.load(case.models[1].folder), shards=2)
        tokenizer(folder)
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        spoil(folder, index["weight_map"])
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return replace(case, models=[case.models[0], ModelInput("m1", folder)])

    return make


def emptied(folder: Path, *, leave: str | None = None) -> None:
    for path in folder.iterdir():
        path.unlink()
    if leave is not None:
        (folder / leave).write_bytes(b"")


def unlike_manifest(folder: Path) -> None:
    write_manifest(folder, Lineage(kind="dense", operation="finetune"))
    with (folder / "config.json").open("a") as file:
        file.write(" ")


def moved(world: Any, case: Case) -> Case:
    return replace(case, models=[case.models[0], ModelInput("m1", world.root / "nowhere")])


def other_base(world: Any, case: Case) -> Case:
    case = adapter()(world, case)
    other = world.save("other", seed=9)
    tokenizer(other)
    return replace(case, models=[case.models[0], replace(case.models[1], base_folder=other)])


def hashed_elsewhere(world: Any, case: Case) -> Case:
    assert case.base is not None
    case = adapter(base="someone/else")(world, case)
    write_manifest(case.base, Lineage(kind="dense", operation="pretrain"))
    parent = Parent("someone/else", "0" * 64, "base")
    write_manifest(case.models[1].folder, Lineage(kind="adapter", operation="finetune", parents=(parent,)))
    return case


def unhashed(world: Any, case: Case) -> Case:
    assert case.base is not None
    case = adapter(base="base")(world, case)
    parent = Parent("base", weights_sha256(case.base), "base")
    write_manifest(case.models[1].folder, Lineage(kind="adapter", operation="finetune", parents=(parent,)))
    return case


def other_ranks(world: Any, case: Case) -> Case:
    return replace(case, models=[
        ModelInput("m0", world.adapter("ad/m0", [Q], {Q: (8, 8)}, rank=4)),
        ModelInput("m1", world.adapter("ad/m1", [Q], {Q: (8, 8)}, rank=2, seed=1)),
    ])  # fmt: skip


def prompt(folder: Path) -> None:
    config = {"peft_type": "PROMPT_TUNING", "task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": 3}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({"prompt_embeddings": torch.ones(3, 8)}, folder / "adapter_model.safetensors")


def with_keys(**keys: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | keys))

    return change


def half(world: Any, case: Case) -> Case:
    folder = world.save("half", world.load(case.models[1].folder), dtype=torch.bfloat16)
    tokenizer(folder)
    return replace(case, models=[case.models[0], ModelInput("m1", folder)])


def wider(loaded: dict[str, torch.Tensor]) -> None:
    for name in list(loaded):
        if "wi_0" in name:
            loaded[name] = torch.zeros(20, 8)


def deeper(loaded: dict[str, torch.Tensor]) -> None:
    for name in [name for name in loaded if name.startswith("encoder.block.0")]:
        loaded[name.replace("block.0", "block.1")] = loaded[name].clone()


def narrow(loaded: dict[str, torch.Tensor]) -> None:
    for name, tensor in list(loaded.items()):
        loaded[name] = torch.zeros(tuple(6 if size == 8 else size for size in tensor.shape))


def ungated(loaded: dict[str, torch.Tensor]) -> None:
    for name in [name for name in loaded if "wi_0" in name]:
        loaded[name.replace("wi_0", "wi")] = loaded.pop(name)


def rows(count: int) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda loaded: loaded.update({
        name: torch.zeros(count, 8) for name in ("shared.weight", "lm_head.weight")
    })  # fmt: skip


def of_all(make: Callable[[Path], object]) -> Callable[[Any, Case], Case]:
    def change(world: Any, case: Case) -> Case:
        assert case.base is not None
        for folder in (case.base, *(model.folder for model in case.models)):
            make(folder)
        return case

    return change


def tied(world: Any, case: Case) -> Case:
    return tensors(lambda loaded: loaded.pop("lm_head.weight"), tie_word_embeddings=True)(world, case)


def headless(world: Any, case: Case) -> Case:
    def drop(folder: Path) -> None:
        loaded = world.load(folder)
        del loaded["lm_head.weight"]
        save_file(loaded, folder / "model.safetensors", metadata={"format": "pt"})

    return of_all(drop)(world, case)


ALONE = ("'m1'",)
FAULTS: dict[str, Fault] = {
    "duplicate-name": Fault(renamed, "'m1' (", models=("'m1'",), fix="list each model once"),
    "duplicate-folder": Fault(twice, "'m0' (", models=("'m0'", "'m1'"), fix="give it a weight"),
    "duplicate-weights": Fault(linked, "the same file", "warning", ("'m0'", "'m1'"), "list each model once"),
    "duplicate-weights by hash": Fault(copied, "in both manifests", "warning", ("'m0'", "'m1'"), "once"),
    "no-folder": Fault(moved, "nowhere", models=ALONE),
    "no-weights": Fault(files(emptied), "model.safetensors", models=ALONE, fix="finished checkpoint"),
    "pickled-weights": Fault(
        files(lambda folder: emptied(folder, leave="pytorch_model.bin")), "pytorch_model.bin", models=ALONE,
        fix="convert it to safetensors",
    ),
    "damaged-file": Fault(files(cut), "it is truncated", models=ALONE, fix="download or make the checkpoint again"),
    "damaged-file by its header": Fault(files(long_header), "inside its header", models=ALONE, fix="again"),
    "damaged-file by garbage": Fault(
        files(lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 3) + b"{a}")),
        "not JSON", models=ALONE, fix="again",
    ),
    "damaged-json": Fault(
        files(lambda folder: (folder / "config.json").write_text("{")), "config.json", models=ALONE, fix="again"
    ),
    "missing-shard": Fault(
        sharded(lambda folder, _: (folder / "model-00002-of-00002.safetensors").unlink()),
        "model-00002-of-00002.safetensors", models=ALONE, fix="download the checkpoint again",
    ),
    "shard-index": Fault(
        sharded(lambda folder, homes: homes.update({"a.weight": "model-00001-of-00002.safetensors"})),
        "#a.weight", models=ALONE, fix="download the checkpoint again",
    ),
    "unlike-manifest": Fault(files(unlike_manifest), "config.json", models=ALONE, fix="make the checkpoint again"),
    "no-config": Fault(
        files(lambda folder: (folder / "config.json").unlink()), "config.json", models=ALONE, fix="half-written"
    ),
    "foreign-code": Fault(configured(auto_map={"AutoModel": "x"}), "#auto_map", models=ALONE, fix="plain"),
    "configuration-value": Fault(configured(num_heads="two"), "#num_heads", models=ALONE),
    "own-head": Fault(tied, "lm_head.weight", fix="T5 1.0 ties the head"),
    "vocabulary-size": Fault(tensors(rows(44), vocab_size=44), "shared.weight", fix="resize the embedding"),
    "missing-tensors": Fault(tensors(lambda loaded: loaded.pop(Q)), Q, fix="one architecture"),
    "extra-tensors": Fault(tensors(lambda loaded: loaded.update(more=torch.ones(2))), "more", fix="one arch"),
    "shape": Fault(tensors(lambda loaded: loaded.update({Q: torch.ones(6, 8)})), Q, fix="one architecture"),
    "dtype": Fault(
        tensors(lambda loaded: loaded.update({Q: torch.ones(8, 8, dtype=torch.int32)})), Q, models=ALONE,
        fix="convert the checkpoint",
    ),
    "not-encoder-decoder": Fault(
        configured(model_type="llama", is_encoder_decoder=False), "#model_type", models=ALONE, fix="of its kind"
    ),
    "model-type": Fault(configured(model_type="mt5"), "config.json#model_type", fix="one architecture"),
    "width": Fault(tensors(narrow, d_model=6), "config.json#d_model", fix="one architecture"),
    "key-width": Fault(configured(d_kv=8), "config.json#d_kv", fix="one architecture"),
    "feed-forward-width": Fault(tensors(wider, d_ff=20), WI, fix="one architecture"),
    "heads": Fault(configured(num_heads=4), "config.json#num_heads", fix="one architecture"),
    "layers": Fault(tensors(deeper, num_layers=2), "encoder.block.1.", fix="one architecture"),
    "feed-forward-kind": Fault(tensors(ungated, feed_forward_proj="relu"), "DenseReluDense.wi.weight", fix="one architecture"),
    "relative-attention": Fault(
        configured(relative_attention_num_buckets=16), "relative_attention_num_buckets", fix="one architecture"
    ),
    "start-token": Fault(configured(decoder_start_token_id=2), "decoder_start_token_id", fix="one arch"),
    "special-tokens": Fault(configured(eos_token_id=3), "eos_token_id", "warning", fix="leave 'm1'"),
    "special-tokens of padding": Fault(configured(pad_token_id=3, decoder_start_token_id=0), "pad_token_id", "warning"),
    "epsilon": Fault(configured(layer_norm_epsilon=1e-5), "layer_norm_epsilon", fix="one architecture"),
    "decoder-scaling": Fault(configured(scale_decoder_outputs=True), "scale_decoder_outputs", fix="one arch"),
    "head-missing": Fault(headless, "lm_head.weight", models=("base",), fix="download it again"),
    "head-tied": Fault(
        configured(base=True, tie_word_embeddings=True), "lm_head.weight", "warning", ("base",), "set it to false"
    ),
    "vocabulary-config": Fault(configured(base=True, vocab_size=44), "shared.weight", models=("base",), fix="set it to 40"),
    "vocabulary-config of a model": Fault(configured(vocab_size=44), "shared.weight", "warning", ALONE, "set it to 40"),
    "tokenizer": Fault(files(lambda folder: tokenizer(folder, first="x")), "tokenizer.json", fix="share a tokenizer"),
    "tokenizer-size": Fault(
        of_all(lambda folder: tokenizer(folder, 41)), "shared.weight", models=("base",), fix="resize"
    ),
    "no-tokenizer": Fault(
        of_all(lambda folder: (folder / "tokenizer.json").unlink()), "tokenizer.json", "notice",
        ("base", "'m0'", "'m1'"), "copy",
    ),
    "dtypes-between": Fault(half, "BF16", "notice", fix="written as the base ("),
    "dtypes-within": Fault(
        tensors(lambda loaded: loaded.update({Q: loaded[Q].half()})), Q, "notice", ALONE, "computed in fp32"
    ),
    "adapter-other-base": Fault(other_base, "other", fix="adapters of one base"),
    "adapter-base": Fault(hashed_elsewhere, "someone/else", fix="give the adapter its own base"),
    "adapter-base-unknown": Fault(adapter(base="someone/else"), "someone/else", "warning", fix="records"),
    "adapter-base-unhashed": Fault(unhashed, "sha256 ", "notice", fix="a merge hashes the base"),
    "adapter-target": Fault(
        adapter(target=Q.replace("block.0", "block.7")), "block.7", fix=f"this one has '{Q}'"
    ),
    "adapter-shape": Fault(adapter(shape=(8, 4)), Q, fix="trained on"),
    "adapter-parts": Fault(adapter(with_keys(r=3)), "SelfAttention.q", models=ALONE),
    "adapter-kind": Fault(adapter(with_keys(peft_type="LOKR")), "#peft_type", models=ALONE, fix="whole model"),
    "adapter-variant": Fault(adapter(with_keys(bias="all")), "#bias", models=ALONE, fix="whole model"),
    "no-weights of an adapter": Fault(
        adapter(lambda folder: (folder / "adapter_model.safetensors").unlink()), "adapter_model.safetensors",
        models=ALONE, fix="save it again",
    ),
    "adapter-ranks": Fault(other_ranks, "rank 4 scaled by 1.5", "notice", ("'m0'", "'m1'"), "by its own scale"),
    "soft-prompt": Fault(adapter(prompt), "ad/m1", models=ALONE, fix="leave it out"),
}  # fmt: skip
"""By kind; more than one of a kind have a word more."""
KIND_OF = {name: name.partition(" ")[0] for name in FAULTS}


def found_in(case: Case, method: str) -> tuple[Finding, ...]:
    return preflight(
        method, base=case.base, models=case.models, settings=case.settings, post=case.post
    ).findings


def refuses_or_says(world: Any, case: Case, method: str, finding: Finding) -> None:
    """A merge does with a finding what its severity says."""
    output = world.root / "out"

    def merged() -> tuple[str, ...]:
        return merge(
            method, base=case.base, models=case.models, settings=case.settings, post=case.post, output=output
        ).warnings

    if finding.severity == "error":
        with pytest.raises(RamekinError) as caught:
            merged()
        assert type(caught.value) is finding.error and caught.value.kind == finding.kind
        assert str(caught.value).startswith(finding.message)
        assert not [path for path in world.root.iterdir() if path.name.startswith(("out", ".tmp"))]
    else:
        assert (finding.message in merged()) == (finding.severity == "warning")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_told_and_refused(world, name: str, method: str) -> None:
    fault = FAULTS[name]
    case = fault.make(world, sound(world))
    findings = found_in(case, method)
    assert {finding.kind for finding in findings} == {KIND_OF[name]}, findings
    first = findings[0]
    assert first.severity == fault.severity
    said = " ".join((first.message, *first.models))
    assert fault.told in said and fault.fix in str(first.fix or "")
    assert all(finding.fix for finding in findings if finding.severity == "error")
    for label in fault.models:
        assert any(label in model for model in first.models)
        assert label.strip("'") in first.message or label in said
    refuses_or_says(world, case, method, first)


@pytest.mark.parametrize("method", METHODS)
def test_a_sound_world_has_no_findings(world, method: str) -> None:
    case = sound(world)
    assert found_in(case, method) == ()


NEEDS_BASE = [name for name in METHODS if find_method(name).needs_base]
OF_METHODS: dict[str, tuple[Sequence[str], Callable[[Any, Case], Case], str]] = {
    "base-among-models": (
        NEEDS_BASE,
        lambda world, case: replace(case, models=[*case.models[:1], ModelInput("b", case.base)]),
        "its delta is zero",
    ),
    "model-equals-base": (
        NEEDS_BASE,
        lambda world, case: (
            (case.models[1].folder / "model.safetensors").unlink(),
            os.link(case.base / "model.safetensors", case.models[1].folder / "model.safetensors"),
            case,
        )[-1],
        "leave it out",
    ),
    "base-needed": (NEEDS_BASE, lambda world, case: replace(case, base=None), "add base="),
    "adapter-without-base": (
        ("simple_average", "slerp"),
        lambda world, case: replace(adapter()(world, case), base=None),
        "name the base checkpoint",
    ),
    "adapter-as-base": (
        METHODS,
        lambda world, case: replace(case, base=world.adapter("ad/b", [Q], {Q: (8, 8)})),
        "open it with its base",
    ),
    "too-few-models": (NEEDS_BASE, lambda world, case: replace(case, models=[]), "add models="),
    "too-many-models": (
        ("slerp",),
        lambda world, case: replace(
            case, models=[*case.models, world.tuned("m2", world.load(case.base), seed=5)]
        ),
        "leave out the others",
    ),
    "values-per-model": (
        ("simple_average", "task_arithmetic", "ties_merging"),
        lambda world, case: replace(case, settings={"weights": [1, 2, 3]}),
        "give method.weights",
    ),
    "weights-sum-to-zero": (
        ("simple_average", "task_arithmetic", "karcher", "dare"),
        lambda world, case: replace(case, settings={"weights": [1, -1]}),
        "give other weights",
    ),
    "pattern": (
        ("task_arithmetic", "ties_merging", "tsv_merge"),
        lambda world, case: replace(case, settings={"scaling_factor": {"encoder": 0.3}}),
        "end the patterns with",
    ),
    "post": (
        ("simple_average", "slerp"),
        lambda world, case: replace(case, post={"name": "svc"}),
        "leave out post",
    ),
}


@pytest.mark.parametrize(
    ("kind", "method"), [(kind, method) for kind, (methods, _, _) in OF_METHODS.items() for method in methods]
)
def test_a_fault_of_the_method_and_its_models(world, kind: str, method: str) -> None:
    _, make, fix = OF_METHODS[kind]
    case = make(world, sound(world))
    if kind == "weights-sum-to-zero" and method in ("task_arithmetic", "dare"):
        case = replace(case, settings={**case.settings, "normalize": True})
    if kind == "weights-sum-to-zero" and method == "karcher":
        case = replace(case, settings={"weights": 0})
    findings = [finding for finding in found_in(case, method) if finding.kind != "no-tokenizer"]
    assert {finding.kind for finding in findings} == {kind}
    assert fix in str(findings[0].fix)
    own = kind not in ("adapter-as-base", "too-few-models")
    assert not own or any(case.models[-1].label in each for each in findings[0].models)
    refuses_or_says(world, case, method, findings[0])


@pytest.mark.parametrize("method", ["simple_average", "task_arithmetic"])
def test_weights_that_add_to_zero_in_some_tensors_alone(world, method: str) -> None:
    weights = [{"encoder": 1, ".*": {"depth": [1, 2]}}, {"encoder": -1, ".*": 1}]
    case = replace(sound(world), settings={"weights": weights, "normalize": True})
    (finding,) = found_in(case, method)
    assert finding.kind == "weights-sum-to-zero" and len(finding.tensors) == 6
    assert all(name.startswith("encoder.") for name in finding.tensors)
    assert finding.where is not None and "and 5 other tensors" in finding.where
    refuses_or_says(world, case, method, finding)
    assert not found_in(replace(case, settings={"weights": weights, "normalize": False}), method)


def test_every_kind_is_tested_here_or_where_it_is_raised() -> None:
    of_the_command = {"not-found", "output", "setting", "configuration", "statistics"}
    assert set(KINDS) - of_the_command == {*KIND_OF.values(), *OF_METHODS}
    assert len(set(KIND_OF.values())) >= 24


def test_rows_32100_and_32128(world) -> None:
    case = sound(world)
    for count, folder in ((32128, case.base), (32128, case.models[0].folder), (32100, case.models[1].folder)):
        loaded = world.load(folder)
        rows(count)(loaded)
        save_file(loaded, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text()) | {"vocab_size": count}
        (folder / "config.json").write_text(json.dumps(config))
    (finding,) = found_in(case, "ties_merging")
    assert finding.message == (
        f"the vocabularies differ in size: shared.weight: expected [32128, 8] as in the base ({case.base}), got "
        f"[32100, 8] in {case.models[1].label}; fix: resize the embedding and the head of one of them to the "
        "other's rows, then merge"
    )
    assert finding.tensors == ("shared.weight", "lm_head.weight")


def test_what_transformers_5_writes_is_no_fault(world) -> None:
    case = configured(base=True, tie_word_embeddings=True, scale_decoder_outputs=False)(world, sound(world))
    assert found_in(case, "ties_merging") == ()
    for model_type in ("mt5", "umt5"):
        case = configured(base=True, model_type=model_type, drop=["scale_decoder_outputs"])(world, case)
        assert found_in(case, "ties_merging") == ()
