"""What an evaluation costs: operations counted matrix by matrix, and requests by hand."""

import doctest
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import ramekin.recipes.evaluations.cost as module
from ramekin.catalog import load_task
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.sets import EvalSet, encode_sets
from ramekin.recipes.evaluations.cost import Cost, Sizes, cost_of, flop, sizes_of
from ramekin.tensors.tokenizer import load_tokenizer, token_ids
from ramekin.text.render import render
from ramekin.weights.config import read_config, t5_config


def test_the_example_of_the_docstring() -> None:
    found = doctest.testmod(module)
    assert found.failed == 0 and found.attempted == 2


@pytest.mark.parametrize("gated", [True, False])
def test_operations_are_those_of_the_models_matrices(gated: bool) -> None:
    """Every matrix of a model that PyTorch builds, times the tokens that pass it."""
    from ramekin.weights.seq2seq import build_model

    config = t5_config(
        vocab_size=100,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=3,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    model = build_model(config, seed=0, tied=False)
    inputs, outputs = 7, 5
    expected = 0
    for name, matrix in model.named_parameters():
        if matrix.dim() != 2 or "relative_attention_bias" in name or "shared" in name or "embed" in name:
            continue
        of_the_input = (
            name.startswith("encoder") or "EncDecAttention.k" in name or "EncDecAttention.v" in name
        )
        expected += 2 * matrix.numel() * (inputs if of_the_input else outputs)
    assert flop(sizes_of(config), inputs, outputs) == expected


def test_sizes_of_a_configuration() -> None:
    values = {"num_layers": 8, "d_model": 512, "num_heads": 6, "d_kv": 64, "d_ff": 1024, "vocab_size": 32128}
    assert sizes_of({**values, "feed_forward_proj": "gated-gelu"}) == Sizes(8, 8, 512, 384, 1024, 3, 32128)
    assert sizes_of({**values, "num_decoder_layers": 2}) == Sizes(8, 2, 512, 384, 1024, 2, 32128)


@pytest.fixture(scope="module")
def folder(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_checkpoint(tmp_path_factory.mktemp("models") / "base", seed=0)
    (made / "model.safetensors").unlink()  # a cost needs no weights
    return made


def rte(*texts: str) -> EvalSet:
    task = load_task("glue/rte")
    rows = [{"sentence1": text, "sentence2": "it is wet", "label": 0} for text in texts]
    examples = tuple(render(task, row, split="validation", row=place) for place, row in enumerate(rows))
    return EvalSet(task, "fusionbench", "validation", examples, "here")


@pytest.mark.parametrize("mode", ["rank", "generate", "perplexity"])
def test_different_requests_count_once_each(folder: Path, mode: str) -> None:
    tokenizer = load_tokenizer(folder)
    sets = encode_sets([rte("it rains", "the sun sets", "it rains")], tokenizer, mode=mode)
    prompts = [len(ids) + 1 for ids in token_ids(tokenizer, [e.inputs for e in sets[0].source.examples[:2]])]
    yes, no = (len(ids) + 1 for ids in token_ids(tokenizer, ["yes", "no"]))
    outputs = {"rank": yes + no, "generate": 64, "perplexity": yes}[mode]
    found = cost_of(sets, [folder])
    assert (found.requests, found.input_tokens, found.output_tokens) == (2, sum(prompts), 2 * outputs)
    sizes = sizes_of(read_config(folder))
    assert found.flop == sum(flop(sizes, length, outputs) for length in prompts)
    assert found.flop_per_second > 0


def test_samples_and_beams_are_written_each(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    rules = {"sampling_temperature": 1.0, "num_samples": 3, "max_new_tokens": 8}
    sampled, beams = (
        encode_sets([rte("it rains")], tokenizer, mode=MODES["generate"].changed(**each))
        for each in (rules, {"num_beams": 2, "max_new_tokens": 8})
    )
    assert cost_of(sampled, [folder]).output_tokens == 24
    assert cost_of(beams, [folder]).output_tokens == 16


def test_several_models_cost_what_each_of_them_does(
    folder: Path, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    sets = encode_sets([rte("it rains")], load_tokenizer(folder), mode="rank")
    small = cost_of(sets, [folder]).flop
    assert cost_of(sets, [folder, folder]).flop == 2 * small
    wide = tmp_path / "wide"
    wide.mkdir()
    values = read_config(folder)
    (wide / "config.json").write_text(json.dumps({**values, "d_ff": 2 * values["d_ff"]}))
    both = cost_of(sets, [folder, wide]).flop
    assert both == small + cost_of(sets, [wide]).flop > 2 * small


def test_it_is_told_to_people_and_to_programs() -> None:
    cost = Cost(1200, 34_000, 5600, 2.5e12, 5e10)
    assert cost.seconds == pytest.approx(100.0), "models reach half of what a large product does"
    assert cost.lines() == [
        "1,200 requests, 34,000 tokens to read, 5,600 to score or to write at most",
        "2.50 TFLOP: about 1 min 40 s at 50 GFLOP/s, of which models reach half",
    ]
    assert cost.to_json() == {
        "requests": 1200,
        "input_tokens": 34_000,
        "output_tokens": 5600,
        "flop": 2.5e12,
        "flop_per_second": 5e10,
        "seconds": 100.0,
    }
