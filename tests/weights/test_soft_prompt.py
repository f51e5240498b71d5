"""A model that reads a prompt computes what PEFT's wrapper computes, by itself, wherever its encoder is called."""

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ramekin.errors import UsageError, WeightsError
from ramekin.weights.adapter import (
    PromptRecipe,
    attach_prompt,
    load_adapter,
    merge_attached,
    read_adapter,
    save_adapter,
)
from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.opening import open_model
from ramekin.weights.seq2seq import (
    copy_model,
    load_model,
    parameter_counts,
    set_tensors,
    tensors_of,
    tie_state,
)
from ramekin.weights.soft_prompt import covering, has_prompt, put_prompt

Make = Callable[..., Any]
Logits = Callable[[Any], torch.Tensor]
LINEAGE = Lineage(kind="adapter", operation="finetune", base="base")
KINDS = [("t5", True), ("t5", False), ("umt5", False), ("mt5", False)]
INPUTS = torch.tensor([[5, 9, 33, 12, 1], [7, 8, 1, 0, 0]])


def prompted(model: Any, *, count: int = 4, seed: int = 0) -> Any:
    """PEFT's wrapper around a copy of the model, its prompt away from where it started."""
    wrapped = attach_prompt(copy_model(model), PromptRecipe(num_virtual_tokens=count), seed=seed).eval()
    vectors = wrapped.prompt_encoder["default"].embedding.weight
    vectors.data += torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    return wrapped


def peft_opens(base: Any, folder: Path) -> Any:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        return PeftModel.from_pretrained(copy_model(base), folder).eval()


@pytest.mark.parametrize(("model_type", "tied"), KINDS)
def test_a_saved_prompt_is_read_as_peft_reads_it(
    tiny: Make, saved: Make, logits: Logits, tmp_path: Path, model_type: str, tied: bool
) -> None:
    base = tiny(tied=tied, model_type=model_type)
    folder = saved("base", model=base)
    wrapped = prompted(base)
    save_adapter(wrapped, tmp_path / "a", base=str(folder), lineage=LINEAGE)
    theirs = peft_opens(base, tmp_path / "a")
    assert not has_prompt(theirs)  # nothing of ours is in it
    expected = logits(theirs)
    opened = open_model(tmp_path / "a").model
    assert has_prompt(opened) and tie_state(opened) == tie_state(base)
    assert (logits(base) - expected).abs().max() > 1e-2
    for ours in (
        opened,
        load_adapter(base, tmp_path / "a"),
        merge_attached(wrapped),
        wrapped.get_base_model(),
    ):
        torch.testing.assert_close(logits(ours), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits(wrapped), expected, rtol=0, atol=1e-5)
    assert torch.equal(logits(base), logits(load_model(folder)))  # as it was


@pytest.mark.parametrize("beams", [1, 3])
def test_the_librarys_generate_reads_it_too(tiny: Make, beams: int) -> None:
    base = tiny(initializer_factor=3.0)
    wrapped = prompted(base)
    mask = (INPUTS != 0).long()
    options = {"do_sample": False, "num_beams": beams, "max_new_tokens": 6, "input_ids": INPUTS}
    written = merge_attached(wrapped).generate(attention_mask=mask, **options)
    theirs = peft_like(base, wrapped).generate(attention_mask=mask, **options)
    assert torch.equal(written, theirs)
    assert not torch.equal(written, base.generate(attention_mask=mask, **options))


def peft_like(base: Any, wrapped: Any) -> Any:
    """PEFT's own wrapper with the same vectors, without our part."""
    from peft import PromptTuningConfig, get_peft_model

    config = PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, num_transformer_submodules=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        theirs = get_peft_model(copy_model(base), config).eval()
    theirs.prompt_encoder["default"].embedding.weight.data.copy_(
        wrapped.prompt_encoder["default"].embedding.weight
    )
    return theirs


def test_without_a_mask_all_is_read(tiny: Make) -> None:
    model = merge_attached(prompted(tiny()))
    ids, start = INPUTS[:1], torch.tensor([[0, 4]])
    with torch.no_grad():
        bare = model(input_ids=ids, decoder_input_ids=start).logits
        masked = model(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=start).logits
        positional = model.decoder(
            start, encoder_hidden_states=model.encoder(ids, torch.ones_like(ids)).last_hidden_state
        ).last_hidden_state
    torch.testing.assert_close(bare, masked)
    torch.testing.assert_close(model.lm_head(positional).detach(), bare)


def test_padding_changes_nothing(tiny: Make) -> None:
    model = merge_attached(prompted(tiny()))
    start = torch.tensor([[0, 4]])
    with torch.no_grad():
        short = model(input_ids=INPUTS[1:, :3], decoder_input_ids=start).logits
        padded = model(input_ids=INPUTS[1:], attention_mask=(INPUTS[1:] != 0).long(), decoder_input_ids=start)
    torch.testing.assert_close(short, padded.logits)


def test_only_the_prompt_is_trained_and_the_model_reads_what_was_learned(tiny: Make, logits: Logits) -> None:
    model = tiny()
    wrapped = attach_prompt(model, PromptRecipe(num_virtual_tokens=4), seed=0)
    before, start = {n: t.clone() for n, t in tensors_of(tiny()).items()}, logits(model)
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        wrapped.train()
        wrapped(input_ids=INPUTS, labels=torch.tensor([[7, 1], [8, 1]])).loss.backward()
        optimizer.step()
    wrapped.eval()
    assert parameter_counts(wrapped).trainable == 4 * 16
    assert not torch.equal(logits(model), start)
    torch.testing.assert_close(logits(model), logits(wrapped))
    for name, parameter in model.named_parameters():
        assert "soft_prompt" in name or torch.equal(parameter, before[name])


def test_a_copy_reads_a_prompt_of_its_own(tiny: Make, logits: Logits) -> None:
    model = merge_attached(prompted(tiny()))
    copied, before = copy_model(model), logits(model)
    assert torch.equal(logits(copied), before)
    copied.encoder.soft_prompt.embedding.weight.data.zero_()
    assert torch.equal(logits(model), before) and not torch.equal(logits(copied), before)


def test_a_bf16_model_reads_it_in_bf16(tiny: Make, saved: Make, logits: Logits, tmp_path: Path) -> None:
    base = tiny()
    folder = saved("base", model=base)
    save_adapter(prompted(base), tmp_path / "a", base=str(folder), lineage=LINEAGE)
    model = open_model(tmp_path / "a", dtype="bf16").model
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert logits(model).dtype == torch.bfloat16


def test_a_prompt_has_no_place_among_the_weights(tiny: Make, tmp_path: Path) -> None:
    model = merge_attached(prompted(tiny()))
    plain = tensors_of(tiny())
    for lose in (
        lambda: tensors_of(model),
        lambda: set_tensors(model, plain),
        lambda: save_checkpoint(model, tmp_path / "x", tokenizer_folder=None, lineage=LINEAGE),
        lambda: put_prompt(model, torch.zeros(2, 16)),
    ):
        with pytest.raises(WeightsError, match="reads a soft prompt, which has no place among its weights"):
            lose()
    assert not (tmp_path / "x").exists()


def test_packed_rows_are_refused(tiny: Make) -> None:
    model = merge_attached(prompted(tiny()))
    with pytest.raises(
        UsageError, match=r"a row can hold one example only: .*got \[2, 1, 5, 5\]; fix: train without"
    ):
        model.encoder(input_ids=INPUTS, attention_mask=torch.ones(2, 1, 5, 5))


def test_a_prompt_of_another_width_is_refused(tiny: Make, tmp_path: Path) -> None:
    save_adapter(prompted(tiny()), tmp_path / "a", base="org/base", lineage=LINEAGE)
    wide = tiny(d_model=32)
    with pytest.raises(WeightsError, match=r"does not fit its base: .*/a: expected vectors of 32 .*, got 16"):
        load_adapter(wide, tmp_path / "a")


def test_the_folder_is_pefts(tiny: Make, tmp_path: Path) -> None:
    wrapped = prompted(tiny())
    save_adapter(wrapped, tmp_path / "a", base="org/base", lineage=LINEAGE)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["num_virtual_tokens"]) == ("PROMPT_TUNING", 4)
    assert config["num_transformer_submodules"] == 1 and config["base_model_name_or_path"] == "org/base"
    adapter = read_adapter(tmp_path / "a")
    assert adapter.kind == "prompt" and not adapter.changes and adapter.prompt is not None
    assert torch.equal(adapter.prompt, wrapped.prompt_encoder["default"].embedding.weight)


def test_vectors_for_the_decoder_are_left_out(tiny: Make, logits: Logits, tmp_path: Path) -> None:
    """PEFT's default file has twice as many vectors; its own forward reads the first half."""
    from peft import PromptTuningConfig, get_peft_model

    base = tiny()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        config = PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=3)
        theirs = get_peft_model(copy_model(base), config).eval()
    save_adapter(theirs, tmp_path / "a", base="org/base", lineage=LINEAGE)
    assert len(load_file(tmp_path / "a" / "adapter_model.safetensors")["prompt_embeddings"]) == 6
    torch.testing.assert_close(logits(load_adapter(base, tmp_path / "a")), logits(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "tensors", "sentence"),
    [
        ({"task_type": "CAUSAL_LM"}, {}, "not one of an encoder-decoder: FILE#task_type: expected SEQ_2_SEQ_LM"),
        ({"modules_to_save": ["lm_head"]}, {}, "cannot be merged exactly: FILE#modules_to_save"),
        ({"num_virtual_tokens": 0}, {}, "FILE#num_virtual_tokens: expected an integer from 1, got 0"),
        ({"num_virtual_tokens": 5}, {}, "not hold the vectors of one prompt"),
        ({}, {"prompt_embeddings": torch.ones(4, 16, 1)}, "prompt_embeddings [4, …], got {'prompt_embeddings': [4, 16, 1]}"),
        ({}, {"other": torch.ones(4, 16)}, "not hold the vectors of one prompt"),
        ({}, {"prompt_embeddings": torch.full((4, 16), float("nan"))}, "not finite"),
    ],
)  # fmt: skip
def test_what_is_no_prompt_is_refused(
    tiny: Make, tmp_path: Path, keys: dict[str, Any], tensors: dict[str, torch.Tensor], sentence: str
) -> None:
    save_adapter(prompted(tiny()), tmp_path / "a", base="org/base", lineage=LINEAGE)
    (tmp_path / "a" / "ramekin.json").unlink()
    path = tmp_path / "a" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    weights = tmp_path / "a" / "adapter_model.safetensors"
    save_file(load_file(weights) | tensors, weights)
    with pytest.raises(WeightsError) as caught:
        read_adapter(tmp_path / "a")
    assert sentence.replace("FILE", str(path)) in str(caught.value)


def test_a_mask_covers_what_is_longer() -> None:
    mask = torch.tensor([[1, 0]])
    assert covering(mask, torch.zeros(1, 5, 3)).tolist() == [[1, 1, 1, 1, 0]]
    assert torch.equal(covering(mask, torch.zeros(1, 2, 3)), mask)


def test_nothing_is_logged_or_printed(tiny: Make, tmp_path: Path, caplog: Any, capfd: Any) -> None:
    with caplog.at_level(logging.INFO):
        base = tiny()
        save_adapter(prompted(base), tmp_path / "a", base="b", lineage=LINEAGE)
        load_adapter(base, tmp_path / "a")
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
