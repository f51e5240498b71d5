"""What is asked under each direction, what is refused, and which option the log-probabilities choose."""

import dataclasses
import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramekin.evaluate.choices as module
from ramekin.errors import DataError
from ramekin.evaluate.choices import (
    Choice,
    check_rankable,
    choose,
    encode_channel,
    encode_choices,
    encode_flipped,
)
from ramekin.evaluate.mode import MODES
from ramekin.tensors.encode import encode
from ramekin.tensors.tokenizer import token_ids
from ramekin.text.render import Style, render

RANK, T0, FLIPPED, CHANNEL = MODES["rank"], MODES["t0"], MODES["flipped"], MODES["channel"]


def ids(tokenizer, text):
    return tuple(token_ids(tokenizer, [text])[0])


def choice(*options, divisors=None):
    return Choice(options, (), {"none": divisors or (1,) * len(options)})


def test_the_example_of_the_docstring():
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted > 0


@given(st.lists(st.floats(-50, -0.001), min_size=1, max_size=6))
def test_the_highest_score_wins_and_the_first_of_equals(log_probs):
    names = [f"option {n}" for n in range(len(log_probs))]
    answer = choose(choice(*names), log_probs)
    assert answer.text == names[log_probs.index(max(log_probs))]
    assert answer.is_tied == (log_probs.count(max(log_probs)) > 1)
    assert list(answer.scores.items()) == list(zip(names, log_probs, strict=True))


def test_a_tie_below_the_best_is_none():
    assert not choose(choice("a", "b", "c"), [-1.0, -3.0, -3.0]).is_tied
    tied = choose(choice("a", "b", "c"), [-3.0, -1.0, -1.0])
    assert (tied.text, tied.is_tied) == ("b", True)


def test_a_prompt_is_asked_once_with_all_its_options(tokenizer, eval_set, toy_task):
    examples = eval_set(toy_task(), [1, 0]).examples
    for mode, end in ((RANK, (1,)), (T0, ())):
        found = encode_choices(examples, tokenizer, mode=mode)
        for example, item in zip(examples, found.items, strict=True):
            (question,) = item.questions
            assert item.options == ("no", "yes")
            assert question.input_ids == (*ids(tokenizer, example.inputs), *end)
            assert question.scored == ((*ids(tokenizer, "no"), 1), (*ids(tokenizer, "yes"), 1))
    without = dataclasses.replace(RANK, option_eos=False)
    (question,) = encode_choices(examples[:1], tokenizer, mode=without).items[0].questions
    assert question.scored == (ids(tokenizer, "no"), ids(tokenizer, "yes"))


def test_what_a_log_probability_is_divided_by(tokenizer, choice_set):
    examples = choice_set([(["cat", "the dog sat", "blue"], 0, [])]).examples
    lengths = [len(ids(tokenizer, option)) for option in examples[0].options]
    assert lengths[1] > lengths[0]
    for rule, option_eos, divisors in (
        ("none", True, (1, 1, 1)),
        ("tokens", True, tuple(length + 1 for length in lengths)),
        ("tokens", False, tuple(lengths)),
        ("characters", True, (3, 11, 4)),
        ("bytes", True, (3, 11, 4)),
    ):
        mode = dataclasses.replace(RANK, normalisation=rule, option_eos=option_eos)
        assert encode_choices(examples, tokenizer, mode=mode).items[0].divisors == {rule: divisors}


def test_bytes_are_of_utf_8(tokenizer, choice_set):
    examples = choice_set([(["cat", "é dog"], 0, [])]).examples
    counts = {
        rule: encode_choices(examples, tokenizer, mode=dataclasses.replace(RANK, normalisation=rule))
        for rule in ("characters", "bytes")
    }
    assert [counts[rule].items[0].divisors[rule] for rule in counts] == [(3, 5), (3, 6)]


def test_the_instruction_is_scored_under_each_label(tokenizer, flipped_set, toy_task):
    each = flipped_set(toy_task(), [1, 0])
    found = encode_flipped(each.flipped, tokenizer, mode=FLIPPED)
    for form, item in zip(each.flipped, found.items, strict=True):
        assert item.options == ("no", "yes")
        for question, text in zip(item.questions, form.under, strict=True):
            assert question.input_ids == (*ids(tokenizer, text), 1)
            assert question.scored == ((*ids(tokenizer, form.example.targets), 1),)
        assert form.under[0].endswith("\noutput: no")
    assert item.questions[0].input_ids != item.questions[1].input_ids


def test_a_flipped_input_that_is_too_long_keeps_its_label(tokenizer, flipped_set, toy_task):
    each = flipped_set(toy_task(options=["no", "dark blue cat"]), [1, 0] * 4)
    whole = encode_flipped(each.flipped, tokenizer, mode=FLIPPED)
    room = sorted(len(item.questions[1].input_ids) for item in whole.items)[3]
    found = encode_flipped(each.flipped, tokenizer, mode=FLIPPED, max_input_tokens=room)
    cut = [any(len(question.input_ids) > room for question in item.questions) for item in whole.items]
    assert found.truncated_inputs == sum(cut)
    assert 0 < sum(cut) < 8
    for item, before in zip(found.items, whole.items, strict=True):
        for option, question, uncut in zip(item.options, item.questions, before.questions, strict=True):
            end = (*ids(tokenizer, f"output: {option}"), 1)
            assert question.input_ids[-len(end) :] == end
            assert len(question.input_ids) == min(len(uncut.input_ids), room)
            head = question.input_ids[: -len(end)]
            assert head == uncut.input_ids[: len(head)]
    learned = encode([form.example for form in each.flipped], tokenizer, max_input_tokens=room)
    for form, item, scored in zip(each.flipped, learned.items, found.items, strict=True):
        assert item.input_ids == scored.questions[scored.options.index(form.example.answer)].input_ids


def test_the_prompt_is_scored_given_each_option(tokenizer, choice_set):
    examples = choice_set([(["cat", "dog", "cat"], 2, []), (["red dog", "mat"], 0, [])]).examples
    found = encode_channel(examples, tokenizer, mode=CHANNEL)
    assert [item.options for item in found.items] == [("cat", "dog"), ("red dog", "mat")]
    for example, item in zip(examples, found.items, strict=True):
        for option, question in zip(item.options, item.questions, strict=True):
            assert question.input_ids == (*ids(tokenizer, option), 1)
            assert question.scored == ((*ids(tokenizer, example.inputs), 1),)
    short = encode_channel(examples, tokenizer, mode=dataclasses.replace(CHANNEL, max_target_tokens=4))
    assert short.truncated_targets == 2
    assert {len(q.scored[0]) for item in short.items for q in item.questions} == {4}
    with pytest.raises(DataError, match="no options for mode 'channel' to rank"):
        encode_channel([examples[0]._replace(options=())], tokenizer, mode=CHANNEL)


def test_what_is_cut_or_unknown_is_counted(tokenizer, choice_set, flipped_set, toy_task):
    rows = [
        (["cat", "the red dog sat on a mat"], 0, []),
        (["cat", "dog ` fish"], 0, []),
        (["cat", "dog"], 1, []),
    ]
    examples = choice_set(rows).examples
    short = dataclasses.replace(RANK, max_target_tokens=6)
    found = encode_choices(examples, tokenizer, mode=short, max_input_tokens=5)
    assert (found.truncated_inputs, found.truncated_targets) == (3, 1)
    assert (found.unknown_inputs, found.unknown_targets) == (3, 1), "'pick' is not in the vocabulary"
    assert len(found.items[0].questions[0].scored[1]) == 6
    assert found.items[0].questions[0].scored[1][-1] == 1
    each = flipped_set(
        toy_task(templates={"ask": "is the ` old cat wet {{ text }} ||| {{ answer }}"}), [0, 1]
    )
    found = encode_flipped(each.flipped, tokenizer, mode=dataclasses.replace(FLIPPED, max_target_tokens=4))
    assert (found.truncated_targets, found.unknown_targets) == (2, 2)
    assert {len(q.scored[0]) for item in found.items for q in item.questions} == {4}


def test_options_that_stand_twice_are_one(tokenizer, choice_set):
    (item,) = encode_choices(
        choice_set([(["cat", "dog", "cat"], 2, [])]).examples, tokenizer, mode=RANK
    ).items
    assert item.options == ("cat", "dog")
    assert len(item.questions[0].scored) == len(item.divisors["none"]) == 2


def test_without_options_the_row_is_named_and_the_mode_to_use(text_task, eval_set, choice_set):
    with pytest.raises(
        DataError,
        match=r"no options for mode 't0' to rank: toy/free#ask/validation/0: .*'red cat'.*use mode=generate",
    ):
        check_rankable(eval_set(text_task(), ["red cat"]).examples, T0)
    (turned,) = choice_set([(["cat", "dog"], 0, [])], template="ask_back").examples
    with pytest.raises(DataError, match="no options for mode 'rank' to rank: toy/pick#ask_back/validation/0"):
        check_rankable([turned], RANK)


def test_an_answer_outside_the_options_is_named(choice_set):
    (example,) = choice_set([(["cat", "dog"], 0, [])]).examples
    odd = example._replace(targets="bird")
    with pytest.raises(
        DataError,
        match=r"not among the options that mode 'rank' ranks: toy/pick#ask/validation/0: "
        r"expected one of 'cat', 'dog', got 'bird'; fix: use mode=generate",
    ):
        check_rankable([example, odd], RANK)
    check_rankable([odd._replace(references=("dog",))], RANK)


def test_options_that_the_model_cannot_tell_apart_are_refused(tokenizer, choice_set, flipped_set, toy_task):
    unknown = choice_set([(["cat", "dog"], 0, []), (["{", "cat", "}"], 1, [])]).examples
    with pytest.raises(
        DataError,
        match=r"the same to the model: toy/pick#ask/validation/1: .*got '\{' and '\}'; fix: word them",
    ):
        encode_choices(unknown, tokenizer, mode=RANK)
    with pytest.raises(
        DataError, match="an option is empty after tokenising: toy/pick#ask/validation/0: got ''"
    ):
        encode_choices(choice_set([(["cat", ""], 0, [])]).examples, tokenizer, mode=RANK)
    each = flipped_set(toy_task(options=["{", "}"]), [1])
    with pytest.raises(DataError, match=r"the same to the model: toy/wet#ask/validation/0"):
        encode_flipped(each.flipped, tokenizer, mode=FLIPPED)
    alike = choice_set([(["the red cat a", "the red cat b"], 0, [])]).examples
    short = dataclasses.replace(RANK, max_target_tokens=3)
    with pytest.raises(DataError, match="the same to the model"):
        encode_choices(alike, tokenizer, mode=short)


def test_tokens_that_are_lost_are_counted_and_where(tokenizer, choice_set, flipped_set, toy_task):
    """Of a prompt the record's own words go first; of what is turned, all that stands before its ending."""
    task = toy_task()
    record = {"text": "the red cat sat on a mat under the old tree", "label": 1}
    (example,) = (render(task, record, split="validation", row=0, style=Style(mark_fields=True)),)
    whole = len(ids(tokenizer, example.inputs))
    found = encode_choices([example], tokenizer, mode=RANK, max_input_tokens=whole - 2)
    assert (found.input_tokens, found.lost_tokens, found.lost_from_fields) == (whole, 3, 3), (
        "and its end mark"
    )
    bare = example._replace(fields=())
    found = encode_choices([bare], tokenizer, mode=T0, max_input_tokens=whole - 2)
    assert (found.input_tokens, found.lost_tokens, found.lost_from_fields) == (whole, 2, 0)
    assert encode_choices([example], tokenizer, mode=RANK).lost_tokens == 0
    each = flipped_set(task, [1, 0])
    for mode, encoded in (
        (FLIPPED, lambda room: encode_flipped(each.flipped, tokenizer, mode=FLIPPED, max_input_tokens=room)),
        (CHANNEL, lambda room: encode_channel(each.examples, tokenizer, mode=CHANNEL, max_input_tokens=room)),
    ):
        texts = [text for form in each.flipped for text in form.under]
        if mode is CHANNEL:
            texts = [option for example in each.examples for option in example.options]
        lengths = [len(ids(tokenizer, text)) for text in texts]
        room = max(lengths)
        found = encoded(room)
        assert found.input_tokens == sum(lengths)
        assert found.lost_tokens == sum(max(0, length + 1 - room) for length in lengths) > 0
        assert found.lost_from_fields == 0
