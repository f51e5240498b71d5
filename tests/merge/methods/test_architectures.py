"""Every method on the three shapes of encoder-decoders: T5 (tied head), Flan-T5 (its own), BART."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ramekin.errors import WeightsError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.inputs import ModelInput
from ramekin.merge.methods import METHODS, find_method
from ramekin.merge.plan import plan_merge
from ramekin.merge.run import merge

SIZES = {
    "vocab_size": 48, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 20,
}  # fmt: skip


def _bart(folder: Path, *, seed: int, like: Path | None = None, **more: object) -> Path:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(seed)
    model = BartForConditionalGeneration(BartConfig(**{**SIZES, **more}))
    if like is not None:
        start = load_file(like / "model.safetensors")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in start:
                    parameter.copy_(start[name] + 0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def families(
    tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]
) -> dict[str, tuple[Path, list[ModelInput]]]:
    root = tmp_path_factory.mktemp("families")
    found = {}
    for kind in ("t5", "flan", "bart"):

        def make(name: str, seed: int, like: Path | None = None, kind: str = kind) -> Path:
            folder = root / f"{kind}-{name}"
            if kind == "bart":
                return _bart(folder, seed=seed, like=like)
            return make_checkpoint(folder, seed=seed, like=like, tied=kind == "t5")

        base = make("base", 0)
        models = [ModelInput(f"m{seed}", make(f"m{seed}", seed, base)) for seed in (1, 2)]
        found[kind] = (base, models)
    return found


@pytest.mark.parametrize("kind", ["t5", "flan", "bart"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_makes_a_model_that_transformers_opens(
    families: dict[str, tuple[Path, list[ModelInput]]], world, statistics_of, method: str, kind: str
) -> None:
    base, models = families[kind]
    output = world.root / "out"
    of_data = find_method(method).statistics
    own = [load_file(model.folder / "model.safetensors") for model in models]
    arrays = statistics_of(of_data, [{name: each.numpy() for name, each in model.items()} for model in own])
    collected = [
        world.statistics(f"of-{model.name}", of_data, model.folder, each)
        for model, each in zip(models, arrays, strict=of_data is not None)
    ]
    settings = {"weights": 0.4} if method == "adamerging" else {}
    report = merge(
        method, base=base, models=models, output=output, settings=settings, statistics=collected[::-1]
    )
    merged, start = load_file(output / "model.safetensors"), load_file(base / "model.safetensors")
    assert merged.keys() == start.keys() and report.tensors == len(start)
    uses = find_method(method).uses_models
    expected = merge_arrays(method, start, own if uses else [], statistics=arrays, **settings)
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, torch.from_numpy(expected[name]))
    assert (output / "config.json").read_bytes() == (base / "config.json").read_bytes()


def test_the_merged_bart_is_what_its_parameters_say(
    families: dict[str, tuple[Path, list[ModelInput]]], tmp_path: Path
) -> None:
    from transformers import BartForConditionalGeneration

    base, models = families["bart"]
    merge("task_arithmetic", base=base, models=models, output=tmp_path / "out", settings={})
    opened, start, *tuned = (
        BartForConditionalGeneration.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "out", base, *(model.folder for model in models))
    )
    assert opened["lm_head.weight"] is not None
    for name, tensor in opened.items():
        expected = start[name] + 0.3 * sum(each[name] - start[name] for each in tuned)
        torch.testing.assert_close(tensor, expected)


def test_barts_that_compute_differently(tmp_path: Path) -> None:
    base = _bart(tmp_path / "base", seed=0)
    for key, value in (("activation_function", "relu"), ("scale_embedding", True)):
        other = ModelInput("other", _bart(tmp_path / key, seed=1, **{key: value}))
        with pytest.raises(WeightsError, match=rf"the configurations differ: config.json#{key}"):
            plan_merge("simple_average", base=base, models=[other], output=tmp_path / "out", settings={})
    fits = ModelInput("fits", _bart(tmp_path / "fits", seed=1, dropout=0.3, num_beams=None))
    plan_merge("simple_average", base=base, models=[fits], output=tmp_path / "out", settings={})


def test_what_is_no_encoder_decoder(tmp_path: Path) -> None:
    base = _bart(tmp_path / "base", seed=0)
    config = base / "config.json"
    config.write_text(config.read_text().replace('"is_encoder_decoder": true', '"is_encoder_decoder": false'))
    models = [ModelInput("m", _bart(tmp_path / "m", seed=1))]
    with pytest.raises(WeightsError, match="this is not an encoder-decoder model: .*got 'bart'"):
        plan_merge("simple_average", base=base, models=models, output=tmp_path / "out", settings={})
