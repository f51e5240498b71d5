"""Sets as tokens: for whom they are encoded, and what does not fit together is refused."""

import dataclasses

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.evaluate.choices import ChoiceSet
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.runner import evaluate, evaluate_encoded
from ramekin.evaluate.sets import EvalSet, encode_sets
from ramekin.tensors.encode import EncodedSet


@pytest.mark.parametrize(
    ("mode", "form"),
    [("generate", EncodedSet), ("rank", ChoiceSet), ("t0", ChoiceSet), ("flipped", ChoiceSet)],
)
def test_a_set_is_encoded_for_its_direction(tokenizer, ranked_sets, mode, form):
    found = encode_sets(ranked_sets, tokenizer, mode=MODES[mode])
    assert [type(each.encoded) for each in found] == [form, form]
    assert [each.mode for each in found] == [MODES[mode]] * 2
    for each in found:
        assert each.golds == tuple(example.targets for example in each.source.examples)
        assert len(each.encoded.items) == len(each.source.examples)


def test_characters_that_the_vocabulary_lacks_are_counted_in_what_is_ranked(tokenizer, choice_set):
    each = choice_set([(["cat", "dog `"], 0, []), (["cat", "dog"], 1, [])])
    (found,) = encode_sets([each], tokenizer, mode=MODES["rank"])
    assert found.changed_targets == 1


def test_a_set_may_have_rules_of_its_own(model, tokenizer, ranked_sets):
    first, second = ranked_sets
    own = dataclasses.replace(second, mode=MODES["t0"])
    found = encode_sets([first, own], tokenizer, mode="rank")
    assert [each.mode.name for each in found] == ["rank", "t0"]
    both = evaluate_encoded(model, tokenizer, found)
    assert [part.mode.name for part in both.tasks] == [mode.name for mode in both.modes] == ["rank", "t0"]
    for each, mode, part in zip(ranked_sets, ("rank", "t0"), both.tasks, strict=True):
        (alone,) = evaluate(model, tokenizer, [each], mode=mode).tasks
        assert [p.prediction for p in part.predictions] == [p.prediction for p in alone.predictions]


def test_what_cannot_be_ranked_is_written_where_the_mode_allows_it(
    model, tokenizer, eval_set, toy_task, number_task
):
    sets = [eval_set(toy_task(), [1, 0]), eval_set(number_task(), [1.0, 2.5])]
    found = encode_sets(sets, tokenizer, mode="flan")
    assert [each.mode.direction for each in found] == ["rank", "generate"]
    assert [part.headline.metric for part in evaluate_encoded(model, tokenizer, found).tasks] == [
        "accuracy",
        "spearman",
    ]
    with pytest.raises(DataError, match="no options for mode 'rank' to rank"):
        encode_sets(sets, tokenizer, mode="rank")


def test_a_flipped_mode_needs_flipped_examples(tokenizer, eval_set, toy_task, text_task, ranked_sets):
    plain = eval_set(toy_task(), [1, 0])
    with pytest.raises(
        UsageError,
        match="mode 'flipped' ranks the flipped form.*toy/wet#ask/validation: expected 2.*got 0; fix",
    ):
        encode_sets([plain], tokenizer, mode=MODES["flipped"])
    short = dataclasses.replace(ranked_sets[0], flipped=ranked_sets[0].flipped[1:])
    with pytest.raises(UsageError, match="expected 18 flipped examples, got 17"):
        encode_sets([short], tokenizer, mode=MODES["flipped"])
    with pytest.raises(DataError, match="no options for mode 'flipped' to rank: toy/free#ask/validation/0"):
        encode_sets([eval_set(text_task(), ["red cat"])], tokenizer, mode=MODES["flipped"])


def test_the_name_of_a_set(toy_task):
    assert EvalSet(toy_task(), "ask", "validation", (), "toy").name == "toy/wet#ask/validation"
