import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.check import check_list
from ramekin.merge.check_model import check_adapter_base
from ramekin.merge.findings import raise_errors
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import plan_merge

A, B = ModelInput("a", Path("runs/a")), ModelInput("b", Path("runs/b"))


@pytest.mark.parametrize(
    ("base", "models", "message"),
    [
        (
            Path("base"),
            [A, B, A],
            r"a model is listed twice: 'a' \(runs/a\) and 'a' \(runs/a\); fix: list each model once",
        ),
        (
            Path("base"),
            [A, ModelInput("again", Path("runs/../runs/a"))],
            r"listed twice: 'a' \(runs/a\) and 'again'",
        ),
        (
            Path("base"),
            [A, ModelInput("a", Path("runs/b"))],
            r"listed twice: 'a' \(runs/a\) and 'a' \(runs/b\)",
        ),
        (Path("runs/b"), [A, B], r"the base is among the models: the base \(runs/b\) and 'b' \(runs/b\)"),
    ],
)
def test_the_list_of_models(base: Path | None, models: list[ModelInput], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        raise_errors(check_list(base, models, needs_base=True))


def test_one_adapter_on_two_bases_is_two_models() -> None:
    models = [ModelInput("a", Path("ad"), Path("x")), ModelInput("b", Path("ad"), Path("y"))]
    assert not [*check_list(None, models, needs_base=False)]
    assert not [*check_list(Path("runs/b"), [A, B], needs_base=False)]


def _plan(world, base: Path | None, *models: ModelInput, method: str = "task_arithmetic"):
    return plan_merge(method, base=base, models=models, output=world.root / "out", settings={})


def _refused(world, base: Path | None, *models: ModelInput, method: str = "task_arithmetic") -> str:
    with pytest.raises(WeightsError) as caught:
        _plan(world, base, *models, method=method)
    assert not (world.root / "out").exists()
    return str(caught.value)


def test_another_head(world, family) -> None:
    tied = ModelInput("tied", world.save("tied", tied=True))
    message = _refused(world, family[0], tied)
    assert "one model has an output head of its own, the other uses its embedding: lm_head.weight" in message
    assert f"in the base ({family[0]})" in message and "not in 'tied' (" in message and "fix: " in message


def test_another_vocabulary_size(world, family) -> None:
    large = ModelInput("large", world.save("large", vocab_size=44))
    message = _refused(world, family[0], *family[1], large)
    assert message == (
        f"the vocabularies differ in size: shared.weight: expected [40, 8] as in the base ({family[0]}), "
        f"got [44, 8] in 'large' ({large.folder}); fix: resize the embedding and the head of one of them to "
        "the other's rows, then merge"
    )


def test_another_shape(world, family) -> None:
    wide = ModelInput("wide", world.save("wide", d_model=10))
    message = _refused(world, family[0], wide)
    assert message.startswith("a tensor differs in shape: shared.weight: expected [40, 8] as in the base")
    assert "[40, 10] in 'wide'" in message


def test_missing_and_foreign_tensors(world, family) -> None:
    tensors = world.load(family[0])
    foreign = ModelInput("foreign", world.save("foreign", {**tensors, "more.weight": torch.ones(2)}))
    message = _refused(world, family[0], foreign)
    assert message.startswith(
        "the models do not have the same tensors (1 differ): more.weight: expected in both"
    )
    assert "in 'foreign'" in message and f"not in the base ({family[0]})" in message
    del tensors["encoder.block.0.layer.0.SelfAttention.q.weight"]
    missing = ModelInput("missing", world.save("missing", tensors))
    message = _refused(world, family[0], missing)
    assert "SelfAttention.q.weight" in message and "not in 'missing'" in message


def test_models_are_compared_with_the_first_where_there_is_no_base(world, family) -> None:
    large = ModelInput("large", world.save("large", vocab_size=44))
    message = _refused(world, None, family[1][0], large, method="simple_average")
    assert "as in 'm0' (" in message and "in 'large' (" in message


@pytest.mark.parametrize(
    ("key", "value", "mine"),
    [
        ("feed_forward_proj", "relu", "gated-gelu"),
        ("num_heads", 4, "2"),
        ("scale_decoder_outputs", True, "False"),
    ],
)
def test_another_configuration(world, family, key: str, value: object, mine: str) -> None:
    other = world.save("other", world.load(family[0]), config={key: value})
    message = _refused(world, family[0], ModelInput("other", other))
    assert message.startswith(f"the configurations differ: config.json#{key}: expected {mine} as in the base")
    assert f"got {value} in 'other' ({other}); fix: merge models of one architecture" in message


def test_transformers_5_writes_the_same_configuration_in_other_words(world, family) -> None:
    config = {"tie_word_embeddings": True, "scale_decoder_outputs": False, "transformers_version": "5.23.0"}
    other = world.save("other", world.load(family[0]), config=config)
    _plan(world, family[0], ModelInput("other", other))


def test_a_half_written_folder(world, family) -> None:
    (family[1][1].folder / "config.json").unlink()
    assert "the checkpoint has no config.json" in _refused(world, family[0], *family[1])


def _tokenizer(pieces: list[str], **settings: object) -> str:
    vocab = [[piece, -1.0] for piece in pieces]
    return json.dumps({"model": {"type": "Unigram", "vocab": vocab}, "added_tokens": [], **settings})


def test_tokenizers_of_other_pieces(world, family) -> None:
    base, models = family
    (base / "tokenizer.json").write_text(_tokenizer(["a", "b"]))
    _plan(world, base, *models)
    (models[1].folder / "tokenizer.json").write_text(_tokenizer(["a", "b"], truncation={"max_length": 5}))
    _plan(world, base, *models)
    (models[2].folder / "tokenizer.json").write_text(_tokenizer(["b", "a"]))
    message = _refused(world, base, *models)
    assert message.startswith("the tokenizers differ: the same id is another piece of text: tokenizer.json")
    assert f"that of the base ({base})" in message and "another in 'm2' (" in message


def test_sentencepiece_models_decide_where_both_have_one(world, family) -> None:
    base, (first, *_) = family
    (base / "tokenizer.json").write_text(_tokenizer(["a"]))
    (first.folder / "tokenizer.json").write_text(_tokenizer(["b"]))
    (base / "spiece.model").write_bytes(b"pieces")
    (first.folder / "spiece.model").write_bytes(b"pieces")
    _plan(world, base, first)
    (first.folder / "spiece.model").write_bytes(b"others")
    assert "spiece.model" in _refused(world, base, first)


def test_a_missing_or_pickled_checkpoint(world, family) -> None:
    assert "no such checkpoint folder" in _refused(world, family[0], ModelInput("x", world.root / "x"))
    folder = world.root / "pickled"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert "pickled weights only" in _refused(world, family[0], ModelInput("x", folder))


def test_a_truncated_checkpoint(world, family) -> None:
    path = family[1][0].folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    message = _refused(world, family[0], *family[1])
    assert "truncated" in message and str(path) in message


def test_a_dtype_that_is_not_merged(world, family) -> None:
    folder = world.save("whole-numbers", world.load(family[0]), dtype=torch.int32)
    assert "a tensor of this dtype cannot be merged" in _refused(world, family[0], ModelInput("x", folder))


Q = "encoder.block.0.layer.0.SelfAttention.q.weight"


def _adapter(world, name: str, *, base: str | None) -> ModelInput:
    return ModelInput(name, world.adapter(name, [Q], {Q: (8, 8)}, base=base))


@pytest.mark.parametrize("recorded", [None, "base", "google/base", "BASE_PATH"])
def test_an_adapter_of_this_base(world, family, recorded: str | None) -> None:
    recorded = str(family[0]) if recorded == "BASE_PATH" else recorded
    assert _plan(world, family[0], _adapter(world, "ad", base=recorded)).warnings == ()


def test_an_adapter_of_a_sibling_of_the_base(world) -> None:
    base = world.save("google/t5-v1_1-base")
    message = _refused(world, base, _adapter(world, "ad", base="google/flan-t5-base"))
    assert message.startswith("an adapter was trained on another base: 'ad' (")
    assert f"expected 'google/flan-t5-base', got {base}; fix: give the adapter its own base" in message


@pytest.mark.parametrize(("cached", "fits"), [("flan-t5-base", True), ("t5-v1_1-base", False)])
def test_an_adapter_on_a_snapshot_of_the_hub_cache(world, cached: str, fits: bool) -> None:
    base = world.save(f"models--google--{cached}/snapshots/0123abc")
    adapter = _adapter(world, "ad", base="google/flan-t5-base")
    if fits:
        assert _plan(world, base, adapter).warnings == ()
    else:
        assert "trained on another base" in _refused(world, base, adapter)


def test_an_adapter_whose_base_has_a_name_that_says_nothing(world, family) -> None:
    plan = _plan(world, family[0], _adapter(world, "ad", base="someone/else"))
    assert len(plan.warnings) == 1
    assert "'ad' (" in plan.warnings[0] and "'someone/else'" in plan.warnings[0]


def test_the_hash_of_the_base_decides(world, family) -> None:
    from ramekin.weights.lineage import Lineage, Parent, weights_sha256, write_manifest

    adapter = _adapter(world, "ad", base="someone/else")
    right = Parent("base", weights_sha256(family[0]), "base")
    write_manifest(adapter.folder, Lineage(kind="adapter", operation="finetune", parents=(right,)))
    assert not [*check_adapter_base(adapter, family[0], hash_of=weights_sha256)]
    assert not [*check_adapter_base(adapter, None, hash_of=weights_sha256)]
    other = world.save("other", seed=9)
    with pytest.raises(WeightsError, match="trained on another base"):
        raise_errors(check_adapter_base(adapter, other, hash_of=weights_sha256))


def test_an_adapter_on_another_base_than_the_merges(world, family) -> None:
    other = world.save("other", seed=9)
    adapter = _adapter(world, "ad", base="other")
    with pytest.raises(UsageError, match=r"on another base than the merge's: 'ad' .*expected the base \("):
        _plan(world, family[0], ModelInput("ad", adapter.folder, other))


def test_an_adapter_that_does_not_fit(world, family) -> None:
    narrow = ModelInput("narrow", world.adapter("narrow", [Q], {Q: (8, 4)}))
    assert f"does not fit its base: {narrow.folder}#{Q}" in _refused(world, family[0], narrow)


def test_no_weight_is_read_before_the_checks(world, family, monkeypatch) -> None:
    from ramekin.weights.reading import CheckpointReader

    def no_reading(*_: object, **__: object) -> torch.Tensor:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(CheckpointReader, "read", no_reading)
    _plan(world, *[family[0], *family[1]])
    save_file({"x": torch.ones(1)}, family[1][2].folder / "model.safetensors", metadata={"format": "pt"})
    _refused(world, family[0], *family[1])
