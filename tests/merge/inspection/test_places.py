import doctest

import pytest

from ramekin.merge.inspection import places
from ramekin.merge.inspection.places import kind_of, layer_of, ordered_kinds, ordered_layers, short_names


def test_examples() -> None:
    found = doctest.testmod(places)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("shared.weight", "embedding", "embedding"),
        ("decoder.embed_tokens.weight", "embedding", "embedding"),
        ("encoder.block.11.layer.0.SelfAttention.o.weight", "encoder.block.11", "self-attention o"),
        ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "encoder.block.0", "positions"),
        ("encoder.block.0.layer.1.layer_norm.weight", "encoder.block.0", "normalisation"),
        ("decoder.block.2.layer.2.DenseReluDense.wi_1.weight", "decoder.block.2", "feed-forward"),
        ("decoder.final_layer_norm.weight", "norms", "normalisation"),
        ("lm_head.weight", "head", "head"),
        ("model.encoder.layers.3.self_attn.q_proj.bias", "model.encoder.layers.3", "self-attention q"),
        ("model.decoder.layers.3.encoder_attn.out_proj.weight", "model.decoder.layers.3", "cross-attention o"),
        ("model.decoder.layers.3.encoder_attn_layer_norm.bias", "model.decoder.layers.3", "normalisation"),
        ("model.decoder.layers.3.fc2.weight", "model.decoder.layers.3", "feed-forward"),
        ("model.encoder.layernorm_embedding.weight", "norms", "normalisation"),
        ("model.encoder.embed_positions.weight", "embedding", "positions"),
        ("final_logits_bias", "head", "head"),
        ("encoder.layers.0.mlp.gate_proj.weight", "encoder.layers.0", "feed-forward"),
        ("encoder.layers.0.self_attn.k_norm.weight", "encoder.layers.0", "normalisation"),
        ("encoder.layers.0.pre_self_attn_layernorm.weight", "encoder.layers.0", "normalisation"),
        ("something.else", "other", "other"),
        ("encoder.block.0.layer.0.SelfAttention.gate.weight", "encoder.block.0", "other"),
    ],
)  # fmt: skip
def test_layers_and_kinds(name: str, layer: str, kind: str) -> None:
    assert (layer_of(name), kind_of(name)) == (layer, kind)


def test_blocks_are_in_the_order_of_their_numbers() -> None:
    blocks = [f"{stack}.block.{i}.x" for stack in ("decoder", "encoder") for i in (10, 2, 0)]
    names = [*blocks, "lm_head.weight", "encoder.final_layer_norm.weight", "shared.weight", "z"]
    assert ordered_layers(names) == (
        "embedding", "encoder.block.0", "encoder.block.2", "encoder.block.10",
        "decoder.block.0", "decoder.block.2", "decoder.block.10", "norms", "head", "other",
    )  # fmt: skip
    assert ordered_kinds(names) == ("embedding", "normalisation", "head", "other")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        ([], ()),
        (["runs/rte"], ("rte",)),
        (["runs/rte", "runs/cola"], ("rte", "cola")),
        (["a", "b"], ("a", "b")),
        (["t-rte", "t-rte-2"], ("rte", "rte-2")),
        (["rte", "rte-2"], ("rte", "rte-2")),
        (["m1", "m2"], ("m1", "m2")),
        (["x/rte/final", "x/cola/final"], ("rte", "cola")),
        (["../lora/rte", "../lora/cola", "rte"], ("lora/rte", "lora/cola", "rte")),
        (["lr-0.1", "lr-0.25"], ("lr-0.1", "lr-0.25")),
        (["tuned-1", "tuned-2"], ("tuned-1", "tuned-2")),
        (["step-1-a", "step-2-b"], ("1-a", "2-b")),
    ],
)
def test_short_names_tell_models_apart(names: list[str], short: tuple[str, ...]) -> None:
    assert short_names(names) == short
