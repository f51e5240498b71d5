"""Pairs in what models write: every form of output that the published card shows, and the ranking."""

import ast
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError, UsageError
from ramekin.text.pairs import MARK, Pair, Written, read_pairs, split_output
from ramekin.text.support import support

SEED = Path(__file__).parents[3] / "shared" / "seeds" / "003_9f8d843e824c40fe.txt"
TEXT = "We bake 24 flans in two old ovens and ask the guests of a hotel which flan is best."


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("What is baked? [SEP] Flans.", [("What is baked?", "Flans.")]),
        (" What is baked?[SEP]Flans ", [("What is baked?", "Flans")]),
        ("What is baked? [sep] flans", [("What is baked?", "flans")]),
        ("What is\n baked?[ Sep ]\tflans", [("What is baked?", "flans")]),
        ("Name the dish [SEP] a ramekin", [("Name the dish", "a ramekin")]),
        ("How many? [SEP] 22840", [("How many?", "22840")]),
        # A mark too many: what stands before the second is no question.
        ("How many?[SEP]135 for a simple task?[SEP]32 for another", [("How many?", "135 for a simple task? 32 for another")]),
        ("What?[SEP][SEP] flans", [("What?", "flans")]),
        ("What is baked?[SEP]flans[SEP]", [("What is baked?", "flans")]),
        # Two pairs in one output, three, and one that begins with a small word.
        ("What for?[SEP]Baking. For which dish is it?[SEP]Flans", [("What for?", "Baking."), ("For which dish is it?", "Flans")]),
        ("A?[SEP]b. Is it?[SEP]No. Why?[SEP]c.", [("A?", "b."), ("Is it?", "No."), ("Why?", "c.")]),
        ("Who bakes?[SEP]Tom.And who eats it?[SEP]Ann.", [("Who bakes?", "Tom."), ("And who eats it?", "Ann.")]),
        # Nothing is said between two questions: the first has no answer.
        ("Who bakes?[SEP]Who eats?[SEP]Ann.", [("Who eats?", "Ann.")]),
        # A question at the end is nobody's answer.
        ("What is baked?[SEP]Flans. What is the difference between their ovens", [("What is baked?", "Flans.")]),
        ("What is baked?[SEP]Flans. Who eats them? Where?", [("What is baked?", "Flans.")]),
        # These only look like one.
        ("What do they ask?[SEP]They ask: does it help?", [("What do they ask?", "They ask: does it help?")]),
        ("When?[SEP]They bake. When it is hot.", [("When?", "They bake. When it is hot.")]),
        ("When?[SEP]When the oven is hot", [("When?", "When the oven is hot")]),
        ("How much?[SEP]0.5 m.m. and 0.5 m.m respectively.", [("How much?", "0.5 m.m. and 0.5 m.m respectively.")]),
    ],
)  # fmt: skip
def test_pairs_of_an_output_that_ended(text: str, pairs: list[tuple[str, str]]) -> None:
    assert list(split_output(text).pairs) == pairs


@pytest.mark.parametrize(
    ("text", "ended", "reasons"),
    [
        ("What is baked?", True, ["no mark"]),
        ("", True, ["no mark"]),
        ("What is bak", False, ["cut off"]),
        ("What is baked? [SE", False, ["cut off"]),
        ("[SEP] flans", True, ["no question"]),
        ("?! [SEP] flans", True, ["no question"]),
        ("What? [SEP] ", True, ["no answer"]),
        ("What? [SEP]", False, ["no answer"]),
        ("What? [SEP] …", True, ["no answer"]),
        ("Who bakes?[SEP]Who eats?", True, ["unanswered", "no answer"]),
        ("Who bakes?[SEP]Flans that are", False, ["cut off"]),
        ("[SEP]", True, ["no question"]),
    ],
)
def test_what_is_incomplete_is_dropped_with_its_reason(text: str, ended: bool, reasons: list[str]) -> None:
    split = split_output(text, ended=ended)
    assert split.pairs == () and [each.reason for each in split.dropped] == reasons and not split.shortened


def test_an_output_that_was_cut_off_keeps_its_whole_sentences() -> None:
    text = "What is baked?[SEP]Flans are baked. They are round. What is the diff"
    split = split_output(text, ended=False)
    assert split.pairs == (("What is baked?", "Flans are baked. They are round."),) and split.shortened
    whole = split_output("What is baked?[SEP]Flans are baked.", ended=False)
    assert whole.pairs == (("What is baked?", "Flans are baked."),) and not whole.shortened
    first = split_output("What?[SEP]Flans. Who eats them?[SEP]Guests of the ho", ended=False)
    assert first.pairs == (("What?", "Flans."),) and [each.reason for each in first.dropped] == ["cut off"]


@pytest.mark.skipif(not SEED.is_file(), reason="needs the shared folder")
def test_the_sixteen_published_outputs() -> None:
    page = SEED.read_text(encoding="utf-8")
    outputs = ast.literal_eval(re.search(r"output= (\[.*?\]) ```", page)[1])
    abstract, introduction = next(
        found
        for found in re.findall(r"\[Abstract\] (.+?) \[Introduction\] (.+?) Question, Answer:", page)
        if "soft prompts" in found[0]
    )
    # The longest, of about a hundred tokens, breaks off in the middle of a question.
    written = [Written(text, -40.0, 40, ended=len(text) < 300) for text in outputs]
    found = read_pairs(written, f"{abstract} {introduction}")
    assert len(outputs) == 16 == found.num_outputs and len(found.pairs) == 17
    assert (found.num_shortened, found.num_joined, found.counts) == (1, 0, {})
    by_question = {pair.question: pair for pair in found.pairs}
    assert (
        by_question["What is the sample size of the experiments?"].answer
        == "135 for a simple task? 32 for a more complicated task"
    )
    assert (
        by_question["For which tasks does the model need a subnetwork?"].answer
        == "Classification tasks for GPT-3"
    )
    long = next(pair for question, pair in by_question.items() if question.startswith("Why do they show"))
    assert long.answer.endswith("much better than the model tuning.")
    # Numbers that the model has made up stand nowhere.
    assert by_question["What is the sample size of dataset?"].support == 0.0
    assert found.pairs[0].support == 1.0 and found.pairs[-1].support == 0.0


@given(st.text(), st.booleans())
def test_any_output_is_pairs_or_has_a_reason(text: str, ended: bool) -> None:
    split = split_output(text, ended=ended)
    assert split.pairs or split.dropped
    for question, answer in split.pairs:
        assert question == question.strip() and answer == answer.strip() and question and answer
        assert MARK not in question + answer


PIECES = st.lists(
    st.sampled_from(["Who bakes?", "Flans.", "[SEP]", "[sep]", "What is", "the oven", "24", "Why?", ""]),
    max_size=9,
)


@given(PIECES, st.booleans())
def test_nothing_is_made_up(pieces: list[str], ended: bool) -> None:
    text = " ".join(pieces)
    plain = " ".join(re.sub(r"\[sep\]", " ", text, flags=re.I).split())
    for question, answer in split_output(text, ended=ended).pairs:
        assert question in plain and answer in plain


class TestPairs:
    def test_figures_are_those_of_the_output(self) -> None:
        (pair,) = read_pairs([Written("What is baked? [SEP] 24 flans", -6.0, 12)], TEXT).pairs
        assert (pair.log_prob, pair.num_tokens, pair.mean_log_prob, pair.times) == (-6.0, 12, -0.5, 1)
        assert pair.support == support("24 flans", TEXT) == 1.0

    @pytest.mark.parametrize(
        ("other", "is_same"),
        [
            ("what is baked in the hotel", True),
            ("What is baked in a hotel ?", True),
            ("What is baked in the big hotel?", True),
            ("What is baked in the hotels of the town?", False),
            ("Who is baked in the hotel?", False),
            ("What is not baked in the hotel?", False),
            ("What is baked in hotel 7?", False),
        ],
    )
    def test_questions_that_are_one(self, other: str, is_same: bool) -> None:
        outputs = [
            Written(f"What is baked in the hotel? {MARK} flans", -9.0, 9),
            Written(f"{other} {MARK} zebras", -1.0, 9),
        ]
        found = read_pairs(outputs, TEXT)
        assert (len(found.pairs) == 1) == is_same and found.num_joined == is_same
        if is_same:
            assert (found.pairs[0].answer, found.pairs[0].times) == (
                "flans",
                2,
            )  # 0.18 + 0.5 against 0.45 + 0

    def test_the_same_words_in_another_order_are_another_question(self) -> None:
        outputs = [
            Written(f"{each} {MARK} yes", -1.0, 9)
            for each in ("Does the oven beat the grill?", "Does the grill beat the oven?")
        ]
        assert len(read_pairs(outputs, TEXT).pairs) == 2

    def test_questions_without_a_word_are_one_only_if_they_are_equal(self) -> None:
        outputs = [Written(f"{each} {MARK} yes", -1.0, 9) for each in ("The?", "A?", "Why?")]
        assert [pair.times for pair in read_pairs(outputs, TEXT).pairs] == [2, 1]

    def test_with_1_only_equal_words_are_joined(self) -> None:
        outputs = [Written(f"{question} {MARK} flans", -1.0, 9) for question in ("What is baked in the big hotel?", "what is baked in a hotel", "What is baked in the hotel?")]  # fmt: skip
        assert len(read_pairs(outputs, TEXT, near_duplicate=1).pairs) == 2

    def test_the_ranking_is_the_documented_formula(self) -> None:
        outputs = [
            Written(f"Who asks? {MARK} zebras", -0.1, 10),
            Written(f"What is baked? {MARK} flans", -9.0, 10),
            Written(f"How many? {MARK} 24 zebras", -3.0, 10),
        ]
        for weight in (0.0, 0.3, 1.0):
            found = read_pairs(outputs, TEXT, support_weight=weight)
            scores = [
                (1 - weight) * math.exp(p.log_prob / p.num_tokens) + weight * p.support for p in found.pairs
            ]
            assert scores == sorted(scores, reverse=True) == [p.score(weight) for p in found.pairs]
            assert found.support_weight == weight
        first = [read_pairs(outputs, TEXT, support_weight=weight).pairs[0].question for weight in (0.0, 1.0)]
        assert first == ["Who asks?", "What is baked?"]

    def test_of_equal_scores_the_more_frequent_comes_first_and_then_the_earlier(self) -> None:
        texts = ("Who? [SEP] flans", "Why? [SEP] flans", "How? [SEP] flans", "How? [SEP] flans")
        assert [p.question for p in read_pairs([Written(each, -1.0, 9) for each in texts], TEXT).pairs] == [
            "How?",
            "Who?",
            "Why?",
        ]

    def test_counts_say_what_was_dropped(self) -> None:
        texts = ("What?", "Who?", "[SEP] flans", "Why? [SEP]", "How? [SEP] flans")
        found = read_pairs([Written(each, -1.0, 9) for each in texts], TEXT)
        assert found.counts == {"no answer": 1, "no mark": 2, "no question": 1} and found.num_outputs == 5
        assert [each.text for each in found.dropped][:2] == ["What?", "Who?"]

    @given(
        st.permutations(
            [
                "Who? [SEP] flans",
                "What is baked? [SEP] flans",
                "what is baked? [SEP] zebras",
                "When?",
                "Why? [SEP] old ovens",
            ]
        )
    )
    def test_the_order_of_outputs_decides_nothing_but_ties(self, texts: list[str]) -> None:
        outputs = {text: Written(text, -float(place + 1), 9) for place, text in enumerate(sorted(texts))}
        assert (
            read_pairs([outputs[text] for text in texts], TEXT).pairs
            == read_pairs([outputs[text] for text in sorted(texts)], TEXT).pairs
        )

    def test_joining_again_joins_nothing(self) -> None:
        texts = ("What is baked?", "what is baked", "Who bakes the flans?", "Who bakes the flans now?")
        first = read_pairs([Written(f"{each} {MARK} flans", -1.0, 9) for each in texts], TEXT)
        again = read_pairs(
            [Written(f"{p.question} {MARK} {p.answer}", p.log_prob, p.num_tokens) for p in first.pairs], TEXT
        )
        assert again.num_joined == 0 and [p.question for p in again.pairs] == [
            p.question for p in first.pairs
        ]
        assert sum(p.times for p in first.pairs) == 4

    def test_no_outputs(self) -> None:
        found = read_pairs([], TEXT)
        assert found.pairs == () and found.num_outputs == 0 and found.counts == {}

    @pytest.mark.parametrize(
        "values",
        [
            {"support_weight": 1.1},
            {"support_weight": -0.1},
            {"near_duplicate": 2},
            {"near_duplicate": math.nan},
        ],
    )
    def test_shares_out_of_range(self, values: dict[str, float]) -> None:
        with pytest.raises(UsageError, match="a share is out of range: .*: expected 0 to 1"):
            read_pairs([], TEXT, **values)

    @pytest.mark.parametrize(("log_prob", "num_tokens"), [(math.nan, 1), (-math.inf, 1), (-1.0, -1)])
    def test_probabilities_that_are_none(self, log_prob: float, num_tokens: int) -> None:
        with pytest.raises(DataError, match="no usable probability"):
            Written("x", log_prob, num_tokens)

    def test_a_score_is_between_0_and_1_even_where_rounding_is_not(self) -> None:
        assert (
            Pair("q", "a", 1e-9, 1, 1.0).score(0.5) == 1.0 and Pair("q", "a", 0.0, 0, 0.0).score(1.0) == 0.0
        )
