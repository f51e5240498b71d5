import pytest

from ramekin.recipes.memory import free_bytes, longest_input


def test_the_machine_says_what_is_free():
    free = free_bytes()
    assert free is None or free > 1 << 20


@pytest.mark.parametrize("pair_bytes", [13, 78, 1664])
@pytest.mark.parametrize("gigabytes", [1, 16, 256])
def test_an_input_takes_half_of_what_is_free_at_most(pair_bytes, gigabytes):
    longest = longest_input(pair_bytes, gigabytes << 30)
    assert pair_bytes * longest**2 <= (gigabytes << 30) / 2
    assert pair_bytes * (longest + 1) ** 2 > (gigabytes << 30) / 2


def test_prompts_of_ordinary_length_are_always_read():
    assert longest_input(1000, 0) == 512
