"""What an adapter does to a tensor, against its equation in double precision."""

import numpy as np
import pytest
import torch

from ramekin.weights.change import Decomposed, LowRank, Rescaled

WEIGHT = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
LOW_RANK = LowRank(
    torch.randn(2, 7, generator=torch.Generator().manual_seed(1)),
    torch.randn(5, 2, generator=torch.Generator().manual_seed(2)),
    1.5,
)
LENGTHS = torch.linspace(0.5, 3.0, 5)


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def doubled(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().numpy()


def test_lora_is_a_sum() -> None:
    expected = doubled(WEIGHT) + 1.5 * doubled(LOW_RANK.b) @ doubled(LOW_RANK.a)
    close(LOW_RANK.merged(WEIGHT), expected)
    assert LOW_RANK.shape == (5, 7)


def test_dora_gives_each_row_of_the_sum_its_length() -> None:
    total = doubled(WEIGHT) + 1.5 * doubled(LOW_RANK.b) @ doubled(LOW_RANK.a)
    expected = doubled(LENGTHS)[:, None] * total / np.linalg.norm(total, axis=1, keepdims=True)
    merged = Decomposed(LOW_RANK, LENGTHS).merged(WEIGHT)
    close(merged, expected)
    torch.testing.assert_close(merged.norm(dim=1), LENGTHS)


def test_dora_with_the_rows_own_lengths_is_lora() -> None:
    total = LOW_RANK.merged(WEIGHT)
    torch.testing.assert_close(Decomposed(LOW_RANK, total.norm(dim=1)).merged(WEIGHT), total)


def test_a_row_of_zeros_has_no_direction() -> None:
    nothing = LowRank(LOW_RANK.a, torch.zeros(5, 2), 1.0)
    weight = WEIGHT.clone()
    weight[3] = 0
    merged = Decomposed(nothing, LENGTHS).merged(weight)
    assert torch.isfinite(merged).all() and not merged[3].any() and merged[2].any()


@pytest.mark.parametrize("side", [0, 1])
def test_ia3_scales_rows_or_columns(side: int) -> None:
    vector = torch.linspace(-1, 2, WEIGHT.shape[side])
    change = Rescaled(vector[:, None] if side == 0 else vector[None, :])
    expected = doubled(vector)[:, None] * doubled(WEIGHT) if side == 0 else doubled(WEIGHT) * doubled(vector)
    close(change.merged(WEIGHT), expected)
    assert change.shape == ((5, None) if side == 0 else (None, 7))
    assert change.fits((5, 7)) and not change.fits((7, 5))


def test_what_fits() -> None:
    for change in (LOW_RANK, Decomposed(LOW_RANK, LENGTHS)):
        assert change.fits((5, 7)) and change.fits(torch.Size((5, 7)))
        assert not change.fits((5,)) and not change.fits((5, 7, 1)) and not change.fits((7, 5))


def test_half_precision_is_left_at_once() -> None:
    for change in (LOW_RANK, Decomposed(LOW_RANK, LENGTHS), Rescaled(LENGTHS[:, None])):
        assert torch.equal(change.merged(WEIGHT.bfloat16()), change.merged(WEIGHT.bfloat16().float()))
