import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.parameters import (
    Parameter,
    check_number,
    check_share,
    depths,
    for_models,
    layer_places,
    parse_parameter,
    parse_per_model,
)

T5 = [
    "shared.weight",
    "encoder.embed_tokens.weight",
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
    "encoder.block.1.layer.0.layer_norm.weight",
    "encoder.final_layer_norm.weight",
    "decoder.embed_tokens.weight",
    "decoder.block.0.layer.1.EncDecAttention.k.weight",
    "decoder.block.1.layer.2.DenseReluDense.wo.weight",
    "decoder.block.2.layer.0.SelfAttention.q.weight",
    "decoder.final_layer_norm.weight",
    "lm_head.weight",
]
BART = [
    "model.shared.weight",
    "model.encoder.embed_positions.weight",
    "model.encoder.layers.0.self_attn.q_proj.bias",
    "model.encoder.layers.1.fc1.weight",
    "model.encoder.layernorm_embedding.weight",
    "model.decoder.embed_positions.weight",
    "model.decoder.layers.0.encoder_attn.q_proj.weight",
    "model.decoder.layers.1.encoder_attn_layer_norm.weight",
    "model.decoder.layers.2.fc2.bias",
    "final_logits_bias",
]

numbers = st.floats(-100, 100) | st.integers(-100, 100)
along = st.lists(numbers, min_size=1, max_size=5).map(lambda values: {"depth": values})
names = st.sampled_from(["encoder", "decoder", r"\.layer\.1\.", "w$", ".*", "(a|b)"])
words = numbers | along | st.dictionaries(names, numbers | along, min_size=1, max_size=4)


# -- one number, patterns, depth


def test_one_number_is_for_every_tensor() -> None:
    parameter = parse_parameter("k", 3)
    assert (
        parameter == Parameter.of(3) and parameter.constant == 3.0 and isinstance(parameter.constant, float)
    )
    assert parameter.at("anything", 0.7) == 3.0
    assert parse_parameter("k", parameter) is parameter


def test_the_first_pattern_found_anywhere_in_the_name_counts() -> None:
    parameter = parse_parameter("k", {r"block\.1\.": 1, "encoder": 2, "^lm_head": 3, ".*": 4})
    found = {name: parameter.at(name) for name in T5}
    assert found["encoder.block.1.layer.0.layer_norm.weight"] == 1
    assert found["decoder.block.1.layer.2.DenseReluDense.wo.weight"] == 1
    assert found["encoder.final_layer_norm.weight"] == 2
    assert found["lm_head.weight"] == 3 and found["shared.weight"] == 4
    assert parameter.constant is None and parse_parameter("k", {".*": 1}).constant is None


def test_no_pattern_is_found() -> None:
    with pytest.raises(UsageError) as caught:
        parse_parameter("k", {"encoder": 1, "decoder": 2}).at("lm_head.weight")
    assert str(caught.value) == (
        "no pattern of a parameter is found in the name of a tensor: lm_head.weight: expected 'encoder' or "
        "'decoder'; fix: end the patterns with '.*': VALUE for all others"
    )


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), depth=st.floats(0, 1))
def test_along_the_depth_are_straight_lines(values: list[float], depth: float) -> None:
    parameter = parse_parameter("k", {"depth": values})
    steps = max(1, len(values) - 1)
    if len(values) == 1:
        assert parameter.at("w", depth) == values[0] == parameter.constant
        return
    left = min(int(depth * steps), steps - 1)
    share = depth * steps - left
    expected = values[left] * (1 - share) + values[left + 1] * share
    assert parameter.at("w", depth) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6))
def test_the_ends_of_the_depth_have_the_first_and_last_value_to_the_bit(values: list[float]) -> None:
    parameter = parse_parameter("k", {"depth": values})
    assert (parameter.at("w", 0.0), parameter.at("w", 1.0)) == (values[0], values[-1])


@given(given=words)
def test_to_json_and_back(given) -> None:
    parameter = parse_parameter("k", given)
    written = json.loads(json.dumps(parameter.to_json()))
    assert parse_parameter("k", written) == parameter


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("x", "k: expected a finite number, got 'x'"),
        (None, "k: expected a finite number, got None"),
        (True, "k: expected a finite number, got True"),
        (float("inf"), "k: expected a finite number, got inf"),
        (float("nan"), "k: expected a finite number, got nan"),
        (10**309, f"k: expected a finite number, got {10**309}"),
        ([1, 2], "k: expected a finite number, got [1, 2]"),
        ({}, "k: expected at least one pattern"),
        ({"depth": 0.3}, "k.depth: expected a list of numbers, got 0.3"),
        ({"depth": []}, "k.depth: expected a list of numbers, got []"),
        ({"depth": "01"}, "k.depth: expected a list of numbers, got '01'"),
        ({"depth": [0, "x"]}, "k.depth[1]: expected a finite number, got 'x'"),
        ({"a": "x"}, "k.a: expected a finite number, got 'x'"),
        ({"a": {"b": 1}}, "k.a: expected a number or {depth: [...]}, got {'b': 1}"),
        ({"a": {"depth": []}}, "k.a.depth: expected a list of numbers, got []"),
        ({"a": {"depth": [1, None]}}, "k.a.depth[1]: expected a finite number, got None"),
        (
            {"a(": 1},
            "k: 'a(' is not a regular expression: missing ), unterminated subpattern at position 1",
        ),
        (
            {"(": "x", "b": {"depth": [None]}},
            "3 problems in the command or configuration\n"
            "  - k: '(' is not a regular expression: missing ), unterminated subpattern at position 0\n"
            "  - k.(: expected a finite number, got 'x'\n"
            "  - k.b.depth[0]: expected a finite number, got None",
        ),
    ],
)
def test_what_is_wrong_is_said_word_for_word(given, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_parameter("k", given)
    assert str(caught.value) == message


def test_a_check_sees_every_number() -> None:
    with pytest.raises(UsageError) as caught:
        parse_per_model("k", [2, {"a": 3, ".*": {"depth": [0.5, -1]}}], check=check_share)
    assert str(caught.value) == "k[0]: expected a fraction from 0 to 1, got 2; fix: k[0]=0.02"
    with pytest.raises(UsageError) as caught:
        parse_parameter("k", {"a": 3, ".*": {"depth": [0.5, -1]}}, check=check_share)
    assert str(caught.value) == (
        "2 problems in the command or configuration\n"
        "  - k.a: expected a fraction from 0 to 1, got 3; fix: k.a=0.03\n"
        "  - k..*.depth[1]: expected a fraction from 0 to 1, got -1"
    )


@pytest.mark.parametrize("value", [0, 1, 0.5, 0.0, 1.0])
def test_shares(value: float) -> None:
    assert check_share("k", value) == [] == check_number("k", value)


# -- one for each model


def test_one_for_each_model_or_one_for_all() -> None:
    alone = parse_per_model("k", 0.3)
    assert alone == (Parameter.of(0.3),) == parse_per_model("k", [0.3])
    assert for_models(alone, 3, key="k") == (Parameter.of(0.3),) * 3
    mixed = parse_per_model("k", [1, {"depth": [0, 1]}, {"a": 1, ".*": 2}])
    assert for_models(mixed, 3, key="k") is mixed
    assert [each.at("w", 0.5) for each in mixed] == [1, 0.5, 2]
    assert parse_per_model("k", mixed) == mixed


def test_for_another_number_of_models() -> None:
    with pytest.raises(UsageError) as caught:
        for_models(parse_per_model("k", [1, 2]), 3, key="weights")
    assert str(caught.value) == (
        "weights must be one number, or one for each model: expected 3 numbers, got 2; fix: give method.weights "
        "one number, or as many as there are models"
    )
    with pytest.raises(UsageError) as caught:
        parse_per_model("k", [])
    assert str(caught.value) == "k: expected a number for each model, got an empty list"
    with pytest.raises(UsageError) as caught:
        parse_per_model("k", [[1, 2]])
    assert str(caught.value) == "k[0]: expected a finite number, got [1, 2]"


# -- where a tensor is


def test_depths_of_t5() -> None:
    assert depths(T5) == {
        "shared.weight": 0.0,
        "encoder.embed_tokens.weight": 0.0,
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": 0.0,
        "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": 0.0,
        "encoder.block.1.layer.0.layer_norm.weight": 0.25,
        "encoder.final_layer_norm.weight": 0.25,
        "decoder.embed_tokens.weight": 0.0,
        "decoder.block.0.layer.1.EncDecAttention.k.weight": 0.5,
        "decoder.block.1.layer.2.DenseReluDense.wo.weight": 0.75,
        "decoder.block.2.layer.0.SelfAttention.q.weight": 1.0,
        "decoder.final_layer_norm.weight": 1.0,
        "lm_head.weight": 1.0,
    }


def test_depths_of_bart() -> None:
    assert depths(BART) == {
        "model.shared.weight": 0.0,
        "model.encoder.embed_positions.weight": 0.0,
        "model.encoder.layers.0.self_attn.q_proj.bias": 0.0,
        "model.encoder.layers.1.fc1.weight": 0.25,
        "model.encoder.layernorm_embedding.weight": 0.0,
        "model.decoder.embed_positions.weight": 0.0,
        "model.decoder.layers.0.encoder_attn.q_proj.weight": 0.5,
        "model.decoder.layers.1.encoder_attn_layer_norm.weight": 0.75,
        "model.decoder.layers.2.fc2.bias": 1.0,
        "final_logits_bias": 1.0,
    }


@pytest.mark.parametrize("names", [T5, BART], ids=["t5", "bart"])
def test_layers_by_stack(names: list[str]) -> None:
    found = layer_places(names, by_stack=True)
    assert list(found) == [name for name in names if ".block." in name or ".layers." in name]
    assert [found[name] for name in found if "encoder." in name][-1] == 1.0
    assert sorted({found[name] for name in found if "decoder." in name}) == [0.0, 0.5, 1.0]
    whole = layer_places(names)
    assert {name: depths(names)[name] for name in whole} == whole


def test_models_without_layers_or_with_one() -> None:
    names = ["a", "shared", "embed", "encoder.x", "encoderx.block.0.w", "encoder.block.w"]
    assert layer_places(names) == {} == layer_places(names, by_stack=True)
    assert depths(names) == {
        "a": 1.0, "shared": 0.0, "embed": 0.0, "encoder.x": 0.0, "encoderx.block.0.w": 1.0, "encoder.block.w": 0.0,
    }  # fmt: skip
    assert depths([]) == {}
    assert layer_places(["decoder.block.0.w"]) == {"decoder.block.0.w": 0.0}
    assert depths(["encoder.block.0.w", "encoder.final_layer_norm.weight"]) == {
        "encoder.block.0.w": 0.0, "encoder.final_layer_norm.weight": 0.0,
    }  # fmt: skip


@given(encoder=st.integers(0, 30), decoder=st.integers(0, 30))
def test_layers_are_evenly_spaced_whatever_their_number(encoder: int, decoder: int) -> None:
    names = [f"encoder.block.{i}.w" for i in range(encoder)] + [
        f"decoder.block.{i}.w" for i in range(decoder)
    ]
    places = [depths(names)[name] for name in names]
    assert places == sorted(places) and all(0 <= place <= 1 for place in places)
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert steps == pytest.approx([1 / max(1, len(names) - 1)] * len(steps))
    assert depths(reversed(names)) == depths(names)
