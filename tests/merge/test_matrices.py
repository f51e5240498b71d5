import doctest

import pytest

from ramekin.merge import matrices
from ramekin.merge.matrices import is_matrix, matrix_unit


def test_examples() -> None:
    found = doctest.testmod(matrices)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "shared.weight",
        "model.shared.weight",
        "encoder.embed_tokens.weight",
        "model.decoder.embed_positions.weight",
        "lm_head.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    ],
)
def test_a_table_is_no_matrix_but_can_be_asked_for(name: str) -> None:
    assert not is_matrix(name, (32, 12))
    assert matrix_unit(name, (32, 12)) == "element"
    assert matrix_unit(name, (32, 12), embeddings=True) == "matrix"


@pytest.mark.parametrize(
    "name", ["encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "model.shared_mlp.w.weight"]
)
def test_a_weight_of_a_layer_is_a_matrix(name: str) -> None:
    assert is_matrix(name, (2048, 768)) and matrix_unit(name, (2048, 768)) == "matrix"


@pytest.mark.parametrize("shape", [(768,), (1, 50265), (768, 1), (), (3, 4, 5)])
def test_vectors_and_stacks_are_never_taken(shape: tuple[int, ...]) -> None:
    assert not is_matrix("a.weight", shape)
    assert matrix_unit("a.weight", shape, embeddings=True) == "element"
