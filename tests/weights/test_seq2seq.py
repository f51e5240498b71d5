"""The head stays: every path that transformers 5 breaks, on T5 1.0, T5 1.1, mT5 and UMT5 shapes."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.config import t5_config
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED
from ramekin.weights.seq2seq import (
    Counts,
    TieState,
    build_model,
    config_of,
    copy_model,
    load_model,
    parameter_counts,
    tensors_of,
    tie_state,
)

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]
FLAN_BASE = t5_config(d_model=768, d_ff=2048, num_layers=12, num_heads=12)
KINDS = [
    pytest.param("t5", True, TieState(True, True), id="T5 1.0"),
    pytest.param("t5", False, TieState(False, False), id="T5 1.1"),
    pytest.param("mt5", False, TieState(False, False), id="mT5"),
    pytest.param("umt5", True, TieState(True, True), id="UMT5 tied"),
    pytest.param("umt5", False, TieState(False, False), id="UMT5 untied"),
]


def is_one_embedding(model: Any) -> bool:
    return model.encoder.embed_tokens.weight is model.shared.weight is model.decoder.embed_tokens.weight


@pytest.mark.parametrize(("model_type", "tied", "state"), KINDS)
def test_a_saved_model_is_loaded_bit_for_bit(
    saved: Make, tiny: Make, logits: Logits, model_type: str, tied: bool, state: TieState
) -> None:
    model = tiny(tied=tied, model_type=model_type)
    folder = saved(model=model)
    loaded = load_model(folder)
    assert tie_state(model) == tie_state(loaded) == state
    assert torch.equal(logits(model), logits(loaded))
    assert is_one_embedding(loaded) and not loaded.training
    held = load_file(folder / "model.safetensors")
    assert held.keys() == tensors_of(loaded).keys()
    assert (HEAD in held) is not tied and not set(EMBEDDING_ALIASES) & set(held)
    for name, tensor in tensors_of(loaded).items():
        assert torch.equal(tensor, held[name])
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors_of(loaded).values()}
    assert len(storages) == len(held)
    assert (loaded.lm_head.weight is loaded.shared.weight) is tied
    assert all(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(("model_type", "tied", "state"), KINDS)
def test_the_librarys_own_tying_does_no_harm_afterwards(
    saved: Make, tiny: Make, logits: Logits, model_type: str, tied: bool, state: TieState
) -> None:
    model = tiny(tied=tied, model_type=model_type)
    expected, counts = logits(model), parameter_counts(model)
    for made in (model, load_model(saved(model=model))):
        again = copy.deepcopy(made)
        again.tie_weights()
        assert torch.equal(logits(again), expected)
        assert parameter_counts(again) == counts and is_one_embedding(again) and tie_state(again) == state
        again.resize_token_embeddings(80, mean_resizing=False)
        assert torch.equal(logits(again)[..., :64], expected)
        assert is_one_embedding(again) and tie_state(again) == state
        added = 16 * 16 * (1 if tied else 2)
        assert parameter_counts(again).all == counts.all + added
        again.resize_token_embeddings(64, mean_resizing=False)
        assert torch.equal(logits(again), expected)


@pytest.mark.parametrize(("model_type", "tied", "state"), KINDS)
def test_a_copy_keeps_the_tie_state_and_shares_nothing(
    tiny: Make, logits: Logits, model_type: str, tied: bool, state: TieState
) -> None:
    model = tiny(tied=tied, model_type=model_type)
    expected = logits(model)
    twin = copy_model(copy_model(model))
    assert torch.equal(logits(twin), expected) and tie_state(twin) == state and is_one_embedding(twin)
    for tensor in tensors_of(twin).values():
        tensor.zero_()
    assert torch.equal(logits(model), expected)
    twin.config.d_ff = 1
    assert model.config.d_ff == 24


@pytest.mark.parametrize("tied", [True, False])
def test_a_step_of_training_moves_one_embedding(tiny: Make, tied: bool) -> None:
    model = tiny(tied=tied).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(input_ids=torch.tensor([[5, 1]]), labels=torch.tensor([[7, 1]])).loss.backward()
    optimizer.step()
    assert is_one_embedding(model) and (model.lm_head.weight is model.shared.weight) is tied
    assert torch.equal(model.shared.weight, model.encoder.embed_tokens.weight)


def test_building_is_decided_by_the_seed_alone(tiny: Make) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = tensors_of(tiny(seed=5))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    second, third = tensors_of(tiny(seed=5)), tensors_of(tiny(seed=6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first[SHARED], third[SHARED])
    assert not torch.equal(first[HEAD], first[SHARED])


def test_an_untied_head_starts_small(tiny: Make) -> None:
    model = tiny(d_model=64, vocab_size=512)
    assert model.lm_head.weight.std().item() == pytest.approx(64**-0.5, rel=0.03)
    assert model.shared.weight.std().item() == pytest.approx(1.0, rel=0.03)


def test_a_built_model_trains_and_generates_from_token_zero(tiny: Make) -> None:
    model = tiny()
    assert model.config.decoder_start_token_id == 0
    assert model(input_ids=torch.tensor([[5, 1]]), labels=torch.tensor([[7, 1]])).loss.isfinite()
    made = model.generate(input_ids=torch.tensor([[5, 1]]), max_new_tokens=3, do_sample=False)
    assert made[0, 0] == 0


def test_the_small_flan_shape_has_its_published_number_of_parameters(flan_small: Any) -> None:
    assert parameter_counts(flan_small) == Counts(76_961_152, 76_961_152)


@pytest.mark.slow
def test_the_base_flan_shape_has_its_published_number_of_parameters(saved: Make, logits: Logits) -> None:
    model = build_model(FLAN_BASE, seed=0, tied=False)
    assert parameter_counts(model) == Counts(247_577_856, 247_577_856)
    loaded = load_model(saved(model=model))
    assert parameter_counts(loaded).all == 247_577_856
    assert torch.equal(logits(loaded), logits(model))


def test_a_models_configuration_builds_its_like(tiny: Make) -> None:
    model = tiny(tied=True)
    again = build_model(config_of(model), seed=0, tied=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert config_of(again) == config_of(model)
    with pytest.raises(UsageError, match="build_model#d_model"):
        build_model({**config_of(model), "d_model": -1}, seed=0, tied=True)


# --- what files of others look like ------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None], **config: Any) -> Path:
    """Change a folder's tensors and config.json behind its manifest's back."""
    (folder / "ramekin.json").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    keys = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({k: v for k, v in keys.items() if v is not None}))
    return folder


def test_copies_of_the_embedding_are_accepted_when_equal(saved: Make, tiny: Make, logits: Logits) -> None:
    model = tiny()

    def repeat(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({alias: tensors[SHARED].clone() for alias in EMBEDDING_ALIASES})

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors[EMBEDDING_ALIASES[0]] = tensors.pop(SHARED)

    for change in (repeat, rename):
        loaded = load_model(rewrite(saved(change.__name__, model=model), change))
        assert torch.equal(logits(loaded), logits(model)) and is_one_embedding(loaded)
        assert SHARED in tensors_of(loaded)

    def split(tensors: dict[str, torch.Tensor]) -> None:
        tensors[EMBEDDING_ALIASES[1]] = tensors[SHARED] + 1

    with pytest.raises(WeightsError, match=r"embedding that differs.*#decoder\.embed_tokens\.weight"):
        load_model(rewrite(saved("split", model=model), split))


def test_the_head_of_a_tied_file_that_stores_it_is_the_embedding(
    saved: Make, tiny: Make, logits: Logits
) -> None:
    model = tiny(tied=True)

    def store(tensors: dict[str, torch.Tensor]) -> None:
        tensors[HEAD] = tensors[SHARED].clone()

    loaded = load_model(rewrite(saved(model=model), store))
    assert tie_state(loaded) == TieState(True, True) and torch.equal(logits(loaded), logits(model))


def test_a_head_that_config_promises_stays_its_own_even_when_equal(saved: Make, tiny: Make) -> None:
    model = tiny()
    model.lm_head.weight.data.copy_(model.shared.weight)
    loaded = load_model(saved(model=model))
    assert tie_state(loaded) == TieState(False, False) and HEAD in tensors_of(loaded)


def test_a_config_written_by_transformers_5_is_read_right(
    saved: Make, tiny: Make, logits: Logits, library_load: Make, tmp_path: Path
) -> None:
    """It says `tie_word_embeddings: true` of an untied model; the file and the second key say the truth."""
    model = tiny()
    library_load(saved(model=model)).save_pretrained(tmp_path / "theirs")
    keys = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert keys["tie_word_embeddings"] is True and keys["scale_decoder_outputs"] is False
    loaded = load_model(tmp_path / "theirs")
    assert torch.equal(logits(loaded), logits(model)) and tie_state(loaded) == TieState(False, False)


def test_an_untied_umt5_that_scales_keeps_both(
    saved: Make, tiny: Make, logits: Logits, library_load: Make
) -> None:
    """As transformers 5 saves one: flag true, head of its own; the flag scales and must not tie."""
    folder = rewrite(saved(model=tiny(model_type="umt5")), lambda tensors: None, tie_word_embeddings=True)
    loaded = load_model(folder)
    assert tie_state(loaded) == TieState(tied=False, scaled=True)
    assert torch.equal(logits(loaded), logits(library_load(folder)))
    loaded.tie_weights()
    assert torch.equal(logits(loaded), logits(library_load(folder)))
    again = load_model(saved("again", model=loaded))
    assert tie_state(again) == TieState(tied=False, scaled=True)
    assert torch.equal(logits(again), logits(loaded))


def test_the_unused_bias_of_the_first_t5_files_is_ignored(saved: Make, tiny: Make, logits: Logits) -> None:
    name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    model = tiny(tied=True)

    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = torch.ones(32, 2)

    assert torch.equal(logits(load_model(rewrite(saved(model=model), add))), logits(model))


def test_shards_load_as_one_file_does(saved: Make, tiny: Make, logits: Logits) -> None:
    model = tiny()
    folder = saved(model=model)
    (folder / "ramekin.json").unlink()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {name: f"part-{index % 3}.safetensors" for index, name in enumerate(sorted(tensors))}
    for shard in set(weight_map.values()):
        save_file({n: t for n, t in tensors.items() if weight_map[n] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert torch.equal(logits(load_model(folder)), logits(model))


def test_half_precision_files_are_opened_in_full(saved: Make, tiny: Make) -> None:
    def halve(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            tensors[name] = tensors[name].bfloat16()

    loaded = load_model(rewrite(saved(model=tiny()), halve))
    assert {tensor.dtype for tensor in tensors_of(loaded).values()} == {torch.float32}


def test_bf16_is_allowed_and_fp16_refused_with_the_reason(saved: Make, tiny: Make, logits: Logits) -> None:
    folder = saved(model=tiny())
    loaded = load_model(folder, dtype="bf16")
    assert loaded.dtype == torch.bfloat16 and logits(loaded).isfinite().all()
    for name in ("fp16", "float16", "half"):
        with pytest.raises(UsageError, match="fp16 is refused: T5 overflows.*bf16"):
            load_model(folder, dtype=name)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="dtype is unknown.*expected fp32 or bf16"):
        load_model(folder, dtype="int8")  # type: ignore[arg-type]


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "config", "sentence"),
    [
        (
            lambda t: t.pop("encoder.final_layer_norm.weight"),
            {},
            "lacks a tensor.*#encoder.final_layer_norm.weight",
        ),
        (lambda t: t.pop(SHARED), {}, r"lacks a tensor.*#shared\.weight"),
        (lambda t: t.pop(HEAD), {}, r"lacks a tensor.*#lm_head\.weight"),
        (lambda t: None, {"num_layers": 3, "num_decoder_layers": 3}, "lacks a tensor.*23 missing, also"),
        (
            lambda t: t.update(classifier=torch.ones(2)),
            {},
            r"that its model has not: .*model\.safetensors#classifier",
        ),
        (
            lambda t: t.update({"lm_heed.weight": torch.ones(2)}),
            {},
            r"has not: .*#lm_heed\.weight.*should be 'lm_head\.weight'",
        ),
        (lambda t: None, {"num_layers": 1, "num_decoder_layers": 1}, "that its model has not: .*block.1"),
        (
            lambda t: None,
            {"d_ff": 32},
            r"another shape than config.json.*expected \[32, 16\], got \[24, 16\]",
        ),
        (
            lambda t: None,
            {"vocab_size": 65},
            r"another shape.*#lm_head\.weight: expected \[65, 16\], got \[64, 16\]",
        ),
        (lambda t: t.update({HEAD: torch.ones(63, 16)}), {}, r"another shape.*#lm_head\.weight"),
        (
            lambda t: t[SHARED].view(-1)[7:9].fill_(float("nan")),
            {},
            r"not finite: .*#shared\.weight.*2 NaN and 0 inf",
        ),
        (
            lambda t: t[HEAD].view(-1)[0].fill_(float("-inf")),
            {},
            r"not finite: .*#lm_head\.weight.*0 NaN and 1 inf",
        ),
        (
            lambda t: t.update({SHARED: torch.ones(64, 16, dtype=torch.int8)}),
            {},
            "not of a floating-point type",
        ),
        (lambda t: None, {"model_type": "bart"}, "not supported.*t5, mt5, umt5"),
    ],
)
def test_a_file_that_is_not_its_models_is_refused_by_tensor(
    saved: Make, tiny: Make, change: Any, config: dict[str, Any], sentence: str
) -> None:
    folder = rewrite(saved(model=tiny()), change, **config)
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)


def test_a_missing_or_pickled_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such checkpoint folder"):
        load_model(tmp_path / "nothing")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    for verify in (True, False):
        with pytest.raises(WeightsError, match="pickled weights only"):
            load_model(tmp_path, verify=verify)
