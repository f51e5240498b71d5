import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.merge.random_bits import random_bits

WORD = (1 << 64) - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """One step of Philox4x64-10 as its paper has it (Salmon et al. 2011), as eight 32-bit numbers."""
    x = [counter & WORD, counter >> 64, 0, 0]
    for _ in range(10):
        first, second = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [second >> 64 ^ x[1] ^ key[0], second & WORD, first >> 64 ^ x[3] ^ key[1], first & WORD]
        key = key[0] + 0x9E3779B97F4A7C15 & WORD, key[1] + 0xBB67AE8584CAA73B & WORD
    return [half for word in x for half in (word & 0xFFFFFFFF, word >> 32)]


@given(
    seed=st.integers(0, 2**70),
    model=st.integers(0, 20),
    name=st.sampled_from(["w", "encoder.block.0.layer.0.SelfAttention.q.weight", "", "ß"]),
    start=st.integers(0, 200) | st.integers(2**31, 2**40),
    count=st.integers(0, 40),
)
def test_are_the_numbers_of_the_generator_at_their_place(
    seed: int, model: int, name: str, start: int, count: int
) -> None:
    digest = hashlib.sha256(f"{seed}\0{model}\0{name}".encode()).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
    # numpy counts before its first step
    steps = range(start // 8, (start + count) // 8 + 1)
    expected = [number for step in steps for number in philox(step + 1, key)]
    found = random_bits(seed, model, name, start, count)
    assert found.dtype == np.uint32 and found.shape == (count,)
    assert found.tolist() == expected[start % 8 : start % 8 + count]


def test_numbers_that_must_never_change() -> None:
    """Merges by DARE and DELLA of one seed are the same in every version."""
    assert random_bits(0, 0, "w", 0, 4).tolist() == FIRST


FIRST = [290759052, 173883693, 2361539874, 755916994]


@given(start=st.integers(0, 5000), count=st.integers(0, 300))
def test_a_part_is_a_part_of_the_whole(start: int, count: int) -> None:
    whole = random_bits(7, 1, "w", 0, 5300)
    assert np.array_equal(random_bits(7, 1, "w", start, count), whole[start : start + count])


@pytest.mark.parametrize("other", [(1, 0, "w"), (0, 1, "w"), (0, 0, "v"), (0, 0, "w\0")])
def test_seed_model_and_tensor_each_give_others(other: tuple[int, int, str]) -> None:
    one, two = random_bits(0, 0, "w", 0, 4000), random_bits(*other, 0, 4000)
    assert np.count_nonzero(one == two) < 5
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(4000)


def test_seed_and_model_are_told_apart() -> None:
    assert not np.array_equal(random_bits(1, 11, "w", 0, 8), random_bits(11, 1, "w", 0, 8))


@pytest.mark.parametrize("bit", [0, 15, 31])
def test_every_bit_is_as_often_one_as_zero(bit: int) -> None:
    ones = (random_bits(3, 0, "w", 0, 100_000) >> np.uint32(bit) & np.uint32(1)).mean()
    assert abs(ones - 0.5) < 5 * 0.5 / np.sqrt(100_000)
    low = np.sort(random_bits(3, 0, "w", 0, 100_000) / 2.0**32)
    assert np.abs(low - np.linspace(0, 1, 100_000)).max() < 2 / np.sqrt(100_000)
