"""Layers are found by last name, by expression, or all of them, and the head is never among them."""

from collections.abc import Callable
from typing import Any

import pytest

from ramekin.errors import UsageError
from ramekin.weights.targets import find_layers, short_names

Make = Callable[..., Any]
LAST = ("k", "o", "q", "v", "wi_0", "wi_1", "wo")


def test_a_last_name_means_every_layer_of_it(tiny: Make) -> None:
    model = tiny()
    found = find_layers(model, ("q",))
    assert len(found) == 6 and all(name.endswith("Attention.q") for name in found)
    assert found[0] == "encoder.block.0.layer.0.SelfAttention.q"
    assert find_layers(model, ("v", "q", "q")) == tuple(
        name for name in find_layers(model, ("all-linear",)) if name.endswith((".q", ".v"))
    )
    assert short_names(model, found) == ("q",)


def test_all_linear_leaves_the_head_out(tiny: Make) -> None:
    model = tiny()
    found = find_layers(model, ("all-linear",))
    assert len(found) == 2 * (4 + 3) + 2 * (8 + 3)
    assert "lm_head" not in found
    assert short_names(model, found) == LAST


@pytest.mark.parametrize(
    ("target", "count"),
    [
        (r"decoder\..*\.(q|v)", 8),
        (r".*EncDecAttention\.q", 2),
        ("encoder.block.0.layer.0.SelfAttention.q", 1),
        (r"encoder\..*", 14),
        (r".*\.(q|k|v|o|wi_0|wi_1|wo)", 36),
    ],
)
def test_an_expression_matches_whole_names(tiny: Make, target: str, count: int) -> None:
    model = tiny()
    found = find_layers(model, (target,))
    assert len(found) == count
    assert short_names(model, found) == (LAST if count == 36 else found)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "wi",
            "no layer of the model: KEY: expected one of k, o, q, v, wi_0, wi_1, wo, all-linear, or an expr",
        ),
        ("wi", "got 'wi'; fix: did you mean 'wi_"),
        ("lm_head", "got 'lm_head'"),
        (r".*lm_head", r"got '.*lm_head'"),
        (r"SelfAttention\.q", "for whole names"),
        ("q(", "is not a regular expression: KEY: got 'q(': missing )"),
        ("all_linear", "did you mean 'all-linear'?"),
    ],
)
def test_what_names_no_layer_is_refused(tiny: Make, target: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_layers(tiny(), ("q", target), key="adapter.targets")
    assert sentence.replace("KEY", "adapter.targets") in str(caught.value)
