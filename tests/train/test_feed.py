import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance
from ramekin.train.feed import Listed

seeds = st.integers(0, 2**32)
small = st.integers(1, 20)


def items(count):
    return [Encoded((n, 1), (n % 5 + 3, 1), Provenance("toy/wet", "ask", "train", n)) for n in range(count)]


def rows(examples):
    return [item.provenance.row for item in examples]


@given(st.integers(1, 60), seeds, small)
def test_every_example_is_there_once_an_epoch(count, seed, global_batch):
    feed = Listed(items(count))
    steps = -(-count // global_batch)
    for epoch in range(3):
        drawn = [
            rows(feed.examples(epoch * steps + step, seed=seed, global_batch=global_batch))
            for step in range(steps)
        ]
        assert sorted(row for step in drawn for row in step) == list(range(count))
        assert all(len(step) == global_batch for step in drawn[:-1])
        assert 0 < len(drawn[-1]) <= global_batch


def test_a_step_is_a_pure_function_of_seed_and_step():
    one, other = Listed(items(50)), Listed(items(50))
    asked = [rows(one.examples(step, seed=1, global_batch=8)) for step in range(21)]
    backwards = [rows(other.examples(step, seed=1, global_batch=8)) for step in reversed(range(21))]
    assert asked == backwards[::-1]
    first, second, third = asked[:7], asked[7:14], asked[14:]
    assert len({tuple(map(tuple, epoch)) for epoch in (first, second, third)}) == 3
    assert asked[0] != rows(one.examples(0, seed=2, global_batch=8))


def test_the_permutation_is_pinned():
    """A change here changes every run and breaks the resume of unfinished ones."""
    feed = Listed(items(10))
    assert [sorted(rows(feed.examples(step, seed=7, global_batch=5))) for step in (2, 3)] == [
        [3, 5, 7, 8, 9],
        [0, 1, 2, 4, 6],
    ]


def test_the_identity_tells_data_from_other_data():
    whole = items(9)
    identity = Listed(whole).identity
    assert identity == Listed(items(9)).identity
    others = [
        [whole[1], whole[0], *whole[2:]],
        whole[:8],
        [Encoded(whole[0].input_ids, (9, 1), whole[0].provenance), *whole[1:]],
        [Encoded(whole[0].input_ids, whole[0].target_ids, whole[0].provenance, (4, 1)), *whole[1:]],
    ]
    assert all(Listed(other).identity["sha256"] != identity["sha256"] for other in others)
    assert Listed(whole).epoch_examples == identity["examples"] == 9


def test_no_examples_is_an_error():
    with pytest.raises(DataError, match="no examples to train on"):
        Listed([])
