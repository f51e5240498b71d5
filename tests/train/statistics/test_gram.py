import numpy as np
import pytest
import torch
from torch import nn

from ramekin.errors import DataError, WeightsError
from ramekin.train.statistics.gram import gram_matrices, linear_weights


def by_hand(model, items):
    """X^T X / n of every linear map, from hooks on passes of one example each, which has no padding."""
    sums, counts = {}, {}

    def keep(name):
        def look(_, arguments):
            rows = arguments[0].reshape(-1, arguments[0].shape[-1]).detach().double().numpy()
            sums[name] = sums.get(name, 0) + sum(np.outer(row, row) for row in rows)
            counts[name] = counts.get(name, 0) + len(rows)

        return look

    handles = [
        module.register_forward_pre_hook(keep(f"{name}.weight"))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    for item in items:
        model(
            input_ids=torch.tensor([item.input_ids]),
            decoder_input_ids=torch.tensor([(0, *item.target_ids[:-1])]),
        )
    for handle in handles:
        handle.remove()
    return {name: each / counts[name] for name, each in sums.items()}, counts


@pytest.mark.parametrize("max_tokens", [1, 10_000])
@pytest.mark.parametrize("tied", [False, True])
def test_is_what_hooks_find_by_hand(make_model, make_items, tied: bool, max_tokens: int) -> None:
    model, items = make_model(tied=tied, num_layers=2).eval(), make_items(9)
    expected, counts = by_hand(model, items)
    if tied:
        expected.pop("lm_head.weight")  # which is the embedding, and no map of its own
    told: list[int] = []
    found = gram_matrices(model, items, max_tokens=max_tokens, on_examples=told.append)
    assert found.stored.keys() == expected.keys() == linear_weights(model).keys()
    assert set(found.stored.values()) == found.matrices.keys() and sum(told) == 9
    for name, stored in found.stored.items():
        matrix = found.matrices[stored]
        assert matrix.dtype == torch.float64
        np.testing.assert_allclose(matrix.numpy(), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    tokens = sum(len(item.input_ids) for item in items), sum(len(item.target_ids) for item in items)
    assert {counts["encoder.block.0.layer.0.SelfAttention.q.weight"],
            counts["decoder.block.0.layer.0.SelfAttention.q.weight"]} == set(tokens)  # fmt: skip


def test_one_matrix_for_all_that_read_the_same(make_model, make_items) -> None:
    model = make_model(num_layers=2)
    stored = gram_matrices(model, make_items(3)).stored
    for stack in ("encoder", "decoder"):
        for block in (0, 1):
            own = f"{stack}.block.{block}.layer.0.SelfAttention"
            assert {stored[f"{own}.{name}.weight"] for name in "qkv"} == {f"{own}.q.weight"}
            assert stored[f"{own}.o.weight"] == f"{own}.o.weight"
    cross = "decoder.block.{}.layer.1.EncDecAttention.{}.weight"
    assert {stored[cross.format(block, name)] for block in (0, 1) for name in "kv"} == {cross.format(0, "k")}
    assert {stored[cross.format(block, "q")] for block in (0, 1)} == {
        cross.format(block, "q") for block in (0, 1)
    }


def test_batches_and_their_order_make_no_difference_but_of_rounding(make_model, make_items) -> None:
    model, items = make_model(num_layers=2).double().eval(), make_items(16)
    alone = gram_matrices(model, items, max_tokens=1)
    for others in (gram_matrices(model, items[::-1], max_tokens=200), gram_matrices(model, items)):
        for name, each in alone.matrices.items():
            torch.testing.assert_close(others.matrices[name], each, rtol=1e-10, atol=1e-12)


def test_refuses_nothing_and_what_is_not_finite(make_model, make_items) -> None:
    with pytest.raises(DataError, match="no examples"):
        gram_matrices(make_model(), [])
    model = make_model()
    with torch.no_grad():
        model.encoder.block[0].layer[0].layer_norm.weight.fill_(float("inf"))
    with pytest.raises(WeightsError, match=r"not finite: encoder\.block\.0"):
        gram_matrices(model, make_items(2))
