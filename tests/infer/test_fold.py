"""Rows on one copy of their input's keys and values attend as they would on copies of their own."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from ramekin.infer.fold import fold_of


@st.composite
def owners(draw):
    """The input of each row, in any order, every input with a row at least."""
    count = draw(st.integers(1, 4))
    more = draw(st.lists(st.integers(0, count - 1), max_size=6))
    return draw(st.permutations([*range(count), *more]))


@settings(max_examples=60, deadline=None)
@given(owners=owners(), length=st.integers(1, 3))
def test_attention_on_one_copy_equals_attention_on_copies(owners, length):
    generator = torch.Generator().manual_seed(len(owners))
    count, heads, keys_length, width = max(owners) + 1, 2, 5, 4
    queries = torch.randn(len(owners), heads, length, width, generator=generator, dtype=torch.float64)
    keys, values = torch.randn(2, count, heads, keys_length, width, generator=generator, dtype=torch.float64)
    expected = torch.softmax(queries @ keys[owners].transpose(2, 3), dim=-1) @ values[owners]
    fold = fold_of(owners, device="cpu")
    folded = fold.fold(queries)
    assert folded.shape == (count, heads, fold.width * length, width)
    found = fold.unfold(scaled_dot_product_attention(folded, keys, values, scale=1.0))
    torch.testing.assert_close(found, expected)
    assert torch.equal(fold.unfold(folded), queries)


def test_rows_in_order_are_not_moved():
    for owners in ([0, 1, 2], [0, 0, 1, 1]):
        assert fold_of(owners, device="cpu").rows is None
    x = torch.randn(3, 2, 1, 4)
    assert fold_of([0, 1, 2], device="cpu").fold(x) is x
    assert fold_of([1, 0], device="cpu").rows.tolist() == [1, 0]
