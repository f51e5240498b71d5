import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.tensors.collate import IGNORED_LABEL, collate, collate_inputs, collate_rows
from ramekin.tensors.encode import Encoded
from ramekin.text.example import Provenance

ORIGIN = Provenance("toy/wet", "ask", "train", 0)
ids = st.lists(st.integers(3, 99), max_size=9).map(lambda row: (*row, 1))
items_of = st.lists(st.builds(Encoded, ids, ids, st.just(ORIGIN)), min_size=1, max_size=8)


def test_a_batch_by_hand():
    batch = collate([Encoded((5, 6, 1), (7, 1), ORIGIN), Encoded((8, 1), (9, 4, 1), ORIGIN)])
    assert batch.input_ids.tolist() == [[5, 6, 1], [8, 1, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.decoder_input_ids.tolist() == [[0, 7, 0], [0, 9, 4]]
    assert batch.labels.tolist() == [[7, 1, -100], [9, 4, 1]]
    assert batch.target_positions.tolist() == [0, 1, 3, 4, 5]
    assert batch.num_target_tokens == 5


@given(items_of)
def test_masks_and_labels_give_the_ids_back(items):
    batch = collate(items)
    for row, item in enumerate(items):
        assert tuple(batch.input_ids[row][batch.attention_mask[row] == 1].tolist()) == item.input_ids
        real = batch.labels[row] != IGNORED_LABEL
        assert tuple(batch.labels[row][real].tolist()) == item.target_ids
        assert batch.decoder_input_ids[row][real].tolist() == [0, *item.target_ids[:-1]]
    expected = (batch.labels.flatten() != IGNORED_LABEL).nonzero().flatten()
    assert torch.equal(batch.target_positions, expected)
    assert {t.dtype for t in (batch.input_ids, batch.attention_mask, batch.labels)} == {torch.int64}


@given(items_of)
def test_the_decoder_inputs_are_those_of_transformers(items):
    from transformers import T5Config
    from transformers.models.t5.modeling_t5 import T5PreTrainedModel

    class Shifter:
        config = T5Config(decoder_start_token_id=0, pad_token_id=0)

    batch = collate(items)
    shifted = T5PreTrainedModel._shift_right(Shifter(), batch.labels)
    real = batch.labels != IGNORED_LABEL
    assert torch.equal(shifted[real], batch.decoder_input_ids[real])


def test_inputs_alone():
    input_ids, mask = collate_inputs([[4, 1], [5]], pad_id=9)
    assert input_ids.tolist() == [[4, 1], [5, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_moving_keeps_every_tensor():
    batch = collate([Encoded((5, 1), (7, 1), ORIGIN)])
    moved = batch.to("meta")
    assert moved.labels.device.type == moved.target_positions.device.type == "meta"


def test_inputs_under_a_wrong_label_are_rows_of_their_own():
    items = [
        Encoded((5, 6, 1), (7, 1), ORIGIN, (5, 9, 9, 1)),
        Encoded((8, 1), (9, 4, 1), ORIGIN, (8, 2, 1)),
    ]
    batch = collate(items)
    assert batch.input_ids.tolist() == [[5, 6, 1, 0], [8, 1, 0, 0], [5, 9, 9, 1], [8, 2, 1, 0]]
    assert batch.labels.tolist() == 2 * [[7, 1, -100], [9, 4, 1]]
    assert batch.example_of_target.tolist() == 2 * [0, 0, 1, 1, 1]
    assert batch.under_wrong_label.tolist() == [False] * 5 + [True] * 5


def test_an_example_without_its_wrong_inputs_is_named():
    pair = Encoded((5, 1), (7, 1), ORIGIN, (6, 1))
    single = Encoded((5, 1), (7, 1), ORIGIN._replace(row=7))
    with pytest.raises(DataError, match="toy/wet#ask/train/7: expected wrong_inputs in all examples"):
        collate([pair, single])


# -- several examples in a row


def test_a_shared_row_by_hand():
    rows = [
        [Encoded((5, 6, 1), (7, 1), ORIGIN), Encoded((8, 1), (9, 4, 1), ORIGIN)],
        [Encoded((2, 1), (3, 1), ORIGIN)],
    ]
    batch = collate_rows(rows)
    assert batch.input_ids.tolist() == [[5, 6, 1, 8, 1], [2, 1, 0, 0, 0]]
    assert batch.input_segments.tolist() == [[0, 0, 0, 1, 1], [0, 0, -1, -1, -1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch.labels.tolist() == [[7, 1, 9, 4, 1], [3, 1, -100, -100, -100]]
    assert batch.target_segments.tolist() == [[0, 0, 1, 1, 1], [0, 0, -1, -1, -1]]
    assert batch.decoder_input_ids.tolist() == [[0, 7, 0, 9, 4], [0, 3, 0, 0, 0]]
    assert batch.target_positions.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert batch.example_of_target.tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_shared_rows_under_a_wrong_label_by_hand():
    items = [Encoded((5, 1), (7, 1), ORIGIN, (6, 2, 1)), Encoded((8, 1), (9, 1), ORIGIN, (3, 1))]
    batch = collate_rows([items])
    assert batch.input_ids.tolist() == [[5, 1, 8, 1, 0], [6, 2, 1, 3, 1]]
    assert batch.input_segments.tolist() == [[0, 0, 1, 1, -1], [0, 0, 0, 1, 1]]
    assert batch.decoder_input_ids.tolist() == 2 * [[0, 7, 0, 9]]
    assert batch.example_of_target.tolist() == 2 * [0, 0, 1, 1]
    assert batch.under_wrong_label.tolist() == [False] * 4 + [True] * 4


@given(st.lists(items_of, min_size=1, max_size=4))
def test_segments_give_the_examples_back(rows):
    batch = collate_rows(rows)
    items = [item for row in rows for item in row]
    if len(items) == len(rows):
        assert batch.input_segments is None
        return
    places = iter(range(len(items)))
    for number, row in enumerate(rows):
        for segment, item in enumerate(row):
            inside = batch.input_segments[number] == segment
            assert tuple(batch.input_ids[number][inside].tolist()) == item.input_ids
            inside = batch.target_segments[number] == segment
            assert tuple(batch.labels[number][inside].tolist()) == item.target_ids
            assert batch.decoder_input_ids[number][inside].tolist() == [0, *item.target_ids[:-1]]
            owners = batch.example_of_target == next(places)
            assert torch.equal(
                batch.target_positions[owners] // batch.labels.shape[1],
                torch.tensor(number).expand(len(item.target_ids)),
            )
    assert torch.equal(batch.input_segments == -1, batch.attention_mask == 0)
    assert torch.equal(batch.target_segments == -1, batch.labels == IGNORED_LABEL)
    expected = (batch.labels.flatten() != IGNORED_LABEL).nonzero().flatten()
    assert torch.equal(batch.target_positions, expected)


@given(items_of)
def test_rows_of_one_example_are_a_plain_batch(items):
    plain, rows = collate(items), collate_rows([[item] for item in items])
    for name in ("input_ids", "attention_mask", "decoder_input_ids", "labels", "example_of_target"):
        assert torch.equal(getattr(plain, name), getattr(rows, name))
    assert rows.input_segments is None and rows.target_segments is None


def test_an_example_without_its_wrong_inputs_is_named_in_a_shared_row():
    pair = Encoded((5, 1), (7, 1), ORIGIN, (6, 1))
    single = Encoded((5, 1), (7, 1), ORIGIN._replace(row=7))
    with pytest.raises(DataError, match="toy/wet#ask/train/7"):
        collate_rows([[pair, single], [pair]])
