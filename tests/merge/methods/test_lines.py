import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import UsageError
from ramekin.merge.direction import merge_arrays
from ramekin.merge.run import Walking

ALONE = Walking(threads=1)
T5 = {  # name to layer and the number of layers of its stack; the decoder has one more
    "shared.weight": None,
    "encoder.block.0.layer.0.SelfAttention.q.weight": ("encoder", 0),
    "encoder.block.1.layer.1.DenseReluDense.wi_0.weight": ("encoder", 1),
    "encoder.final_layer_norm.weight": None,
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": ("decoder", 0),
    "decoder.block.1.layer.1.EncDecAttention.q.weight": ("decoder", 1),
    "decoder.block.2.layer.2.DenseReluDense.wo.weight": ("decoder", 2),
    "decoder.final_layer_norm.weight": None,
    "lm_head.weight": None,
}
BART = {
    "model.shared.weight": None,
    "model.encoder.embed_positions.weight": None,
    "model.encoder.layers.0.self_attn.k_proj.weight": ("encoder", 0),
    "model.encoder.layers.1.fc1.bias": ("encoder", 1),
    "model.encoder.layernorm_embedding.weight": None,
    "model.decoder.layers.0.encoder_attn.k_proj.weight": ("decoder", 0),
    "model.decoder.layers.1.encoder_attn_layer_norm.weight": ("decoder", 1),
    "model.decoder.layers.2.fc2.weight": ("decoder", 2),
    "final_logits_bias": None,
}


def factor(layer: tuple[str, int] | None, along: str, alpha: float, beta: float) -> float:
    """alpha + beta (l - 1) / (L - 1), with two layers of the encoder and three of the decoder."""
    if layer is None:
        return alpha
    stack, index = layer
    if along == "stack":
        return alpha + beta * index / ({"encoder": 2, "decoder": 3}[stack] - 1)
    return alpha + beta * (index + (2 if stack == "decoder" else 0)) / 4


@pytest.mark.parametrize("layers", [T5, BART], ids=["t5", "bart"])
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 4),
    along=st.sampled_from(["stack", "network"]),
    alpha=st.sampled_from([None, 0.0, 0.3]),
    beta=st.sampled_from([0.0, 0.5, -0.25]),
)
def test_is_the_book(
    make_models, deltas_of, agree, layers, seed: int, count: int, along: str, alpha, beta: float
) -> None:
    base, tuned = make_models(seed, count, shapes=dict.fromkeys(layers, (2, 3)))
    found = merge_arrays("lines", base, tuned, walking=ALONE, along=along, alpha=alpha, beta=beta)
    first = 1 / count if alpha is None else alpha
    summed = {name: sum(each[name] for each in deltas_of(base, tuned)) for name in base}
    agree(found, {n: base[n] + factor(layers[n], along, first, beta) * summed[n] for n in base}, 2e-6)


@pytest.mark.parametrize("layers", [T5, BART], ids=["t5", "bart"])
def test_the_last_layer_of_one_model_is_whole_where_alpha_and_beta_add_to_one(
    make_models, agree, layers
) -> None:
    base, tuned = make_models(1, 1, shapes=dict.fromkeys(layers, (2, 3)))
    found = merge_arrays("lines", base, tuned, alpha=0.25, beta=0.75)
    last = [name for name, layer in layers.items() if layer in (("encoder", 1), ("decoder", 2))]
    assert len(last) == 2
    agree({name: found[name] for name in last}, {name: tuned[0][name] for name in last}, 1e-6)


@pytest.mark.parametrize("along", ["stack", "network"])
def test_without_layers_it_is_task_arithmetic(make_models, agree, along: str) -> None:
    base, tuned = make_models(2, 2, shapes={"a": (3,), "encoder": (2, 2), "xdecoder.block.0.w": (2,)})
    found = merge_arrays("lines", base, tuned, alpha=0.4, beta=5, along=along)
    agree(found, merge_arrays("task_arithmetic", base, tuned, scaling_factor=0.4), 1e-6)


def test_one_layer_is_the_first() -> None:
    names = ["encoder.block.0.w", "decoder.block.0.w"]
    base, tuned = ({name: np.full(1, value, dtype=np.float32) for name in names} for value in (0, 1))
    for along, expected in (("stack", [0.5, 0.5]), ("network", [0.5, 1.5])):
        found = merge_arrays("lines", base, [tuned], alpha=0.5, beta=1, along=along)
        assert [float(found[name][0]) for name in names] == expected


@pytest.mark.parametrize("layers", [T5, BART], ids=["t5", "bart"])
def test_any_method_does_the_same_along_the_network(make_models, agree, layers) -> None:
    base, tuned = make_models(3, 2, shapes=dict.fromkeys(layers, (2, 3)))
    lines = merge_arrays("lines", base, tuned, alpha=0.2, beta=0.6, along="network")
    other = merge_arrays("task_arithmetic", base, tuned, scaling_factor={"depth": [0.2, 0.8]})
    in_layers = [name for name, layer in layers.items() if layer is not None]
    agree({name: other[name] for name in in_layers}, {name: lines[name] for name in in_layers}, 1e-6)
    head = list(layers)[-1]
    delta = sum(np.float64(each[head]) - base[head] for each in tuned)
    agree({head: other[head]}, {head: base[head] + 0.8 * delta}, 1e-6)


def test_wrong_settings(make_models) -> None:
    base, tuned = make_models(0, 1)
    with pytest.raises(UsageError, match="unknown along 'stacks': did you mean 'stack'"):
        merge_arrays("lines", base, tuned, along="stacks")
    with pytest.raises(UsageError, match="beta: expected a finite number, got None"):
        merge_arrays("lines", base, tuned, beta=None)
