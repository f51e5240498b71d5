import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError, UsageError
from ramekin.tensors.encode import encode
from ramekin.tensors.shorten import token_fields
from ramekin.tensors.tokenizer import token_ids, token_offsets, train_tokenizer
from ramekin.text.example import Example, Provenance


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat sat on a mat", "yes no maybe so"] * 20, vocab_size=60)


def example(inputs, targets, row=0):
    return Example(inputs, targets, (), Provenance("toy/wet", "ask", "train", row))


def test_both_sides_end_with_eos(tokenizer):
    encoded = encode([example("the cat", "yes")], tokenizer)
    (item,) = encoded.items
    inputs, targets = token_ids(tokenizer, ["the cat", "yes"])
    assert (item.input_ids, item.target_ids) == ((*inputs, 1), (*targets, 1))
    assert item.lengths == (len(inputs) + 1, len(targets) + 1)
    assert (encoded.truncated_inputs, encoded.truncated_targets) == (0, 0)


def test_inputs_without_eos_as_t0_has_them(tokenizer):
    (item,) = encode([example("the cat", "yes")], tokenizer, input_eos=False).items
    assert item.input_ids[-1] != 1
    assert item.target_ids[-1] == 1


def test_truncation_keeps_the_head_and_is_counted(tokenizer):
    examples = [example("the cat sat on a mat", "yes no maybe"), example("a cat", "no", 1)]
    whole = encode(examples, tokenizer)
    cut = encode(examples, tokenizer, max_input_tokens=4, max_target_tokens=3)
    assert (cut.truncated_inputs, cut.truncated_targets) == (
        sum(len(item.input_ids) > 4 for item in whole.items),
        sum(len(item.target_ids) > 3 for item in whole.items),
    )
    assert cut.truncated_inputs >= 1
    assert cut.items[0].input_ids == (*whole.items[0].input_ids[:3], 1)
    assert cut.items[0].target_ids == (*whole.items[0].target_ids[:2], 1)


def test_the_limit_itself_is_not_truncated(tokenizer):
    (item,) = encode([example("the cat", "yes")], tokenizer).items
    inputs, targets = item.lengths
    again = encode(
        [example("the cat", "yes")], tokenizer, max_input_tokens=inputs, max_target_tokens=max(targets, 2)
    )
    assert (again.truncated_inputs, again.truncated_targets) == (0, 0)
    assert again.items[0] == item


def test_unknown_characters_are_counted_once_an_example(tokenizer):
    encoded = encode(
        [example("Ω the Ω", "yes"), example("cat", "yes Ω", 1), example("a", "no", 2)], tokenizer
    )
    assert (encoded.unknown_inputs, encoded.unknown_targets) == (1, 1)


def test_empty_target_names_the_example(tokenizer):
    with pytest.raises(
        DataError, match=r"target is empty after tokenising: toy/wet#ask/train/7: .*got '\\n '"
    ):
        encode([example("the cat", "\n ", 7)], tokenizer)


def test_empty_input_is_an_error_only_without_eos(tokenizer):
    assert encode([example("", "yes")], tokenizer).items[0].input_ids == (1,)
    with pytest.raises(DataError, match=r"input is empty after tokenising: toy/wet#ask/train/0"):
        encode([example("", "yes")], tokenizer, input_eos=False)


@pytest.mark.parametrize("limit", ["max_input_tokens", "max_target_tokens"])
def test_limits_need_room(tokenizer, limit):
    with pytest.raises(UsageError, match=f"no room for a token and </s>: {limit}: expected >= 2, got 1"):
        encode([], tokenizer, **{limit: 1})


def test_nothing_encodes_to_nothing(tokenizer):
    assert encode([], tokenizer).items == ()


def flipped(inputs, wrong_inputs, row=0):
    endings = {"ending": inputs.split()[-1], "wrong_ending": wrong_inputs.split()[-1]}
    return example(inputs, "yes", row)._replace(wrong_inputs=wrong_inputs, **endings)


def test_inputs_under_a_wrong_label_are_encoded_as_the_right_ones(tokenizer):
    encoded = encode([flipped("the cat yes", "the cat no")], tokenizer, input_eos=False)
    (item,) = encoded.items
    right, wrong = token_ids(tokenizer, ["the cat yes", "the cat no"])
    assert (item.input_ids, item.wrong_input_ids) == (tuple(right), tuple(wrong))
    assert encoded.indistinct_labels == 0


def test_a_cut_never_reaches_the_label(tokenizer):
    """What follows from the right label would be denied under the very same inputs."""
    texts = ["the cat sat on a mat yes", "the cat sat on a mat no"]
    for weighed in (flipped(*texts), flipped(*texts)._replace(wrong_inputs="")):
        encoded = encode([weighed], tokenizer, max_input_tokens=12)
        (item,) = encoded.items
        assert (encoded.indistinct_labels, encoded.truncated_inputs) == (0, 1)
        for ids, text in ((item.input_ids, texts[0]), (item.wrong_input_ids, texts[1])):
            if ids:
                (whole,), (label,) = token_ids(tokenizer, [text]), token_ids(tokenizer, [text.split()[-1]])
                assert ids == (*whole[: 11 - len(label)], *whole[-len(label) :], 1)
                assert len(ids) == 12


def test_an_example_whose_labels_are_the_same_to_the_model_is_left_out_and_counted(tokenizer):
    examples = [flipped("the cat 山", "the cat 水"), flipped("a yes", "a no", 1)]
    encoded = encode(examples, tokenizer)
    assert [item.provenance.row for item in encoded.items] == [1]
    assert (encoded.indistinct_labels, encoded.truncated_inputs) == (1, 0)


class TestFields:
    """A prompt that says which words are the record's own loses those, the longest field first."""

    PASSAGE, QUESTION = "the cat sat on a mat " * 40, "a cat so"

    def prompt(self, passage=PASSAGE, question=QUESTION, end="? yes no"):
        start = len("the ")
        inputs = f"the {passage.strip()} maybe {question}{end}"
        after = start + len(passage.strip()) + len(" maybe ")
        fields = ((start, start + len(passage.strip())), (after, after + len(question)))
        return example(inputs, "yes")._replace(fields=fields)

    def test_the_instruction_and_the_short_field_are_whole(self, tokenizer):
        found = encode([self.prompt()], tokenizer, max_input_tokens=60)
        (ids,) = token_ids(tokenizer, [self.prompt().inputs])
        head, tail = token_ids(tokenizer, ["the", "maybe a cat so? yes no"])
        room = 59 - len(head) - len(tail)
        assert found.items[0].input_ids == (*ids[: len(head) + room], *tail, 1)
        assert (found.truncated_inputs, found.input_tokens) == (1, len(ids))
        assert found.lost_tokens == found.lost_from_fields == len(ids) - 59

    def test_a_prompt_that_fits_is_as_without_fields(self, tokenizer):
        fitting = [self.prompt(passage="the cat"), self.prompt()]
        plain = [each._replace(fields=()) for each in fitting]
        found = encode(fitting, tokenizer, max_input_tokens=10**6)
        assert found == encode(plain, tokenizer, max_input_tokens=10**6)
        assert (found.lost_tokens, found.lost_from_fields, found.truncated_inputs) == (0, 0, 0)
        assert found.input_tokens == sum(len(item.input_ids) - 1 for item in found.items)

    def test_where_the_fields_are_not_enough_the_rest_is_cut_at_the_right_end(self, tokenizer):
        long = self.prompt(end="? " + "yes no " * 30 + "cat")
        found = encode([long], tokenizer, max_input_tokens=30, input_eos=False)
        head, tail = token_ids(tokenizer, ["the", "maybe"])
        (item,) = found.items
        (ids,) = token_ids(tokenizer, [long.inputs])
        assert len(item.input_ids) == 30 and item.input_ids[: len(head)] == tuple(head)
        assert item.input_ids[len(head) : len(head) + len(tail)] == tuple(tail), "no word of the record's"
        in_fields = sum(map(len, token_ids(tokenizer, [self.PASSAGE, self.QUESTION])))
        assert (found.lost_from_fields, found.lost_tokens) == (in_fields, len(ids) - 30)

    def test_the_ending_stays_then_too(self, tokenizer):
        long = self.prompt(end="? " + "yes no " * 30)._replace(ending="yes no")
        (item,) = encode([long], tokenizer, max_input_tokens=30).items
        (ending,) = token_ids(tokenizer, ["yes no"])
        assert item.input_ids[-1 - len(ending) :] == (*ending, 1)

    def test_without_fields_the_right_end_is_lost(self, tokenizer):
        plain = self.prompt()._replace(fields=())
        found = encode([plain], tokenizer, max_input_tokens=20)
        (ids,) = token_ids(tokenizer, [plain.inputs])
        assert found.items[0].input_ids == (*ids[:19], 1)
        assert (found.lost_tokens, found.lost_from_fields) == (len(ids) - 19, 0)

    def test_tokens_under_a_wrong_label_are_counted_too(self, tokenizer):
        texts = ["the cat sat on a mat yes", "the cat sat on a mat no"]
        found = encode([flipped(*texts)], tokenizer, max_input_tokens=12)
        lengths = [len(ids) for ids in token_ids(tokenizer, texts)]
        assert found.input_tokens == sum(lengths) and found.lost_tokens == sum(lengths) - 22

    @given(
        st.lists(st.tuples(st.booleans(), st.text("theca yo½ﬁ \n.", max_size=30)), max_size=6),
        st.integers(2, 60),
    )
    def test_the_instruction_stays_in_its_order_and_the_limit_holds(self, tokenizer, parts, limit):
        inputs, fields = "", []
        for is_field, text in parts:
            if is_field and text.strip():
                fields.append((len(inputs), len(inputs) + len(text)))
            inputs += text
        marked = example(inputs, "yes")._replace(fields=tuple(fields))
        found = encode([marked], tokenizer, max_input_tokens=limit)
        (whole,) = token_ids(tokenizer, [inputs])
        rest = list(found.items[0].input_ids[:-1])
        assert len(rest) <= limit - 1 and len(whole) - len(rest) == found.lost_tokens
        remaining = iter(whole)
        assert all(each in remaining for each in rest), "tokens of the whole prompt, in their order"
        if found.lost_tokens == found.lost_from_fields:
            places = token_fields(inputs, token_offsets(tokenizer, inputs), fields)
            fixed = [each for each, place in zip(whole, places, strict=True) if place is None]
            remaining = iter(rest)
            assert all(each in remaining for each in fixed)
