"""From entries' scores to a suite's: by hand, and how often the interval holds the mean."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.evaluate.evaluation import Prediction, TaskEvaluation
from ramekin.evaluate.mode import MODES
from ramekin.evaluate.suites import EntryScore, entry_score, suite_average
from ramekin.text.metrics import score_answers
from ramekin.text.score import Score


def under(template, right, *, task="toy/wet", metric="accuracy", options=("a", "b"), label="", unread=0):
    """A task under one template: which of its rows are right; the last of the wrong are unread."""
    written = ["a" if hit else "b" for hit in right]
    for place in [place for place, hit in enumerate(right) if not hit][:unread]:
        written[place] = "?"
    predictions = tuple(
        Prediction(
            f"{task}#{template}/v/{row}", "asked", "a", text, text == "a", None if text == "?" else text
        )
        for row, text in enumerate(written)
    )
    part = TaskEvaluation(
        task, template, "v", MODES["rank"], "toy", options, (), {}, predictions, 0.0, label=label
    )
    return dataclasses.replace(part, scores=(score_answers(metric, part.answers),))


def entry(hits, n=10, **changes):
    return entry_score([under("x", [1] * hits + [0] * (n - hits), **changes)])


class TestEntryScore:
    def test_of_one_template_it_is_its_headline(self):
        part = under("x", [1, 0, 1, 1])
        found = entry_score([part])
        assert (found.parts, found.over, found.score) == ((part,), "mean", part.headline)

    def test_of_several_the_mean_or_the_median(self):
        parts = [under(f"t{n}", [1] * hits + [0] * (10 - hits)) for n, hits in enumerate((3, 9, 4, 8, 1))]
        for over, value in (("mean", 0.5), ("median", 0.4)):
            score = entry_score(parts, over=over).score
            assert score.value == pytest.approx(value)
            assert (score.metric, score.n, score.chance) == ("accuracy", 10, 0.5)
            assert score.note == f"{over} of 5 prompts"
            assert score.low < score.value < score.high

    @pytest.mark.parametrize("hits", [0, 10])
    def test_of_all_wrong_or_all_right_it_is_as_sure_as_its_rows_make_it(self, hits):
        right = [1] * hits + [0] * (10 - hits)
        one = under("x", right).headline
        score = entry_score([under("x", right), under("y", right)]).score
        assert (score.low, score.value, score.high) == (one.low, one.value, one.high)
        assert score.high - score.low > 0.2

    def test_the_best_constant_answer_is_taken_together_as_the_score_is(self):
        parts = [
            dataclasses.replace(under(f"t{n}", [1, 0]), majority={"accuracy": level})
            for n, level in enumerate((0.5, 0.5, 0.8))
        ]
        assert entry_score(parts, over="median").majority == 0.5
        assert entry_score(parts).majority == pytest.approx(0.6)
        assert entry_score(parts[2:]).majority == 0.8

    def test_chance_is_the_mean_of_the_templates_and_the_unread_of_all_are_counted(self):
        parts = [
            under("x", [1, 0, 0, 0], unread=2),
            under("y", [1, 0, 0, 0], options=("a", "b", "c", "d"), unread=1),
        ]
        score = entry_score(parts).score
        assert (score.chance, score.unparsable) == (pytest.approx((1 / 2 + 1 / 4) / 2), 3)

    def test_rows_are_resampled_once_for_all_templates(self):
        """The same answers under eight templates say no more than under one; opposite ones are always half."""
        right = [1, 0, 1, 1] * 25
        same = entry_score([under(f"t{n}", right) for n in range(8)]).score
        assert same.standard_error == pytest.approx((0.75 * 0.25 / 100) ** 0.5, rel=0.1)
        opposite = entry_score([under("x", right), under("y", [1 - hit for hit in right])]).score
        assert (opposite.value, opposite.low, opposite.high) == (0.5, 0.5, 0.5)

    def test_a_template_under_several_words_counts_under_each(self):
        parts = [under("x", [1, 1, 0, 0], label="one"), under("x", [1, 1, 1, 1], label="two")]
        assert entry_score(parts).score.value == 0.75

    def test_what_has_no_score_is_refused(self):
        with pytest.raises(DataError, match="nothing to score"):
            entry_score([])
        with pytest.raises(DataError, match="different metrics: toy/wet: got accuracy, f1; fix: name one"):
            entry_score([under("x", [1, 0]), under("y", [1, 0], metric="f1")])


class TestSuiteAverage:
    def test_it_is_the_sum_of_share_times_score(self):
        entries = {"a": entry(3), "b": entry(9, task="toy/dry"), "c": entry(5, task="toy/damp")}
        found = suite_average(entries, {"a": 0.5, "b": 0.25, "c": 0.25})
        assert found.value == pytest.approx(0.5 * 0.3 + 0.25 * 0.9 + 0.25 * 0.5)
        assert found.low < found.value < found.high

    def test_normalised_it_is_of_each_scores_way_from_chance(self):
        four = ("a", "b", "c", "d")
        entries = {"a": entry(7), "b": entry(4, task="toy/dry", options=four)}
        found = suite_average(entries, {"a": 0.5, "b": 0.5}, normalised=True)
        assert found.value == pytest.approx(((0.7 - 0.5) / 0.5 + (0.4 - 0.25) / 0.75) / 2)
        plain = suite_average(entries, {"a": 0.5, "b": 0.5})
        assert (found.chance, plain.chance) == (0.0, pytest.approx((0.5 + 0.25) / 2))
        assert found.high - found.low > plain.high - plain.low, (
            "the scale is stretched, and so is the interval"
        )

    def test_where_chance_is_everything_a_score_counts_as_it_is(self):
        sure = entry(10)
        sure = dataclasses.replace(sure, score=dataclasses.replace(sure.score, chance=1.0))
        entries = {"a": sure, "b": entry(5, task="toy/dry")}
        assert suite_average(entries, {"a": 0.5, "b": 0.5}, normalised=True).value == 0.5

    def test_guessing_is_zero_and_less_than_guessing_below_it(self):
        entries = {"a": entry(5), "b": entry(3, task="toy/dry")}
        assert suite_average({"a": entries["a"]}, {"a": 1.0}, normalised=True).value == 0.0
        assert suite_average({"b": entries["b"]}, {"b": 1.0}, normalised=True).value == pytest.approx(-0.4)

    def test_tasks_are_independent(self):
        """The error of a mean of k tasks is that of one by the square root of k."""
        entries = {f"t{n}": entry(50, 100, task=f"toy/t{n}") for n in range(9)}
        found = suite_average(entries, dict.fromkeys(entries, 1 / 9))
        one = entries["t0"].score
        assert found.value - found.low == pytest.approx((one.value - one.low) / 3)
        assert found.high - found.value == pytest.approx((one.high - one.value) / 3)

    def test_the_same_rows_in_two_entries_are_no_two_samples(self):
        """MMLU direct and in steps asks the same questions."""
        entries = {"a": entry(50, 100), "b": entry(50, 100)}
        both = suite_average(entries, {"a": 0.5, "b": 0.5})
        alone = suite_average({"a": entries["a"]}, {"a": 1.0})
        assert (both.low, both.high) == pytest.approx((alone.low, alone.high))

    def test_one_entry_has_its_own_interval(self):
        score = entry(3).score
        found = suite_average({"a": entry(3)}, {"a": 1.0})
        assert (found.low, found.value, found.high) == pytest.approx((score.low, score.value, score.high))

    def test_where_every_answer_is_wrong_nothing_is_certain(self):
        entries = {f"t{n}": entry(0, 4, task=f"toy/t{n}") for n in range(3)}
        found = suite_average(entries, dict.fromkeys(entries, 1 / 3))
        assert found.value == 0.0 and found.low == pytest.approx(0.0)
        assert found.high == pytest.approx(entries["t0"].score.high / 3**0.5) and found.high > 0.2

    def test_it_covers_the_mean_of_tasks_as_often_as_it_says(self):
        rng = np.random.default_rng(0)
        held, truth = 0, [0.1, 0.5, 0.8]
        for _ in range(200):
            entries = {
                f"t{n}": entry(int(rng.binomial(30, p)), 30, task=f"toy/t{n}") for n, p in enumerate(truth)
            }
            found = suite_average(entries, dict.fromkeys(entries, 1 / 3))
            held += found.low <= sum(truth) / 3 <= found.high
        assert held >= 0.91 * 200

    def test_a_score_that_is_better_the_lower_it_is_is_normalised_the_right_way_round(self):
        part = under("x", [1, 0])
        score = Score("perplexity", 20.0, 2, 10.0, 40.0, 101.0, 5.0)
        perplexity = EntryScore((part,), "mean", score)
        found = suite_average({"a": perplexity}, {"a": 1.0}, normalised=True)
        assert (found.low, found.value, found.high) == pytest.approx((0.61, 0.81, 0.91))

    @given(st.lists(st.integers(0, 8), min_size=1, max_size=5))
    def test_a_mean_of_tasks_lies_among_them(self, hits):
        entries = {f"t{n}": entry(each, 8, task=f"toy/t{n}") for n, each in enumerate(hits)}
        found = suite_average(entries, dict.fromkeys(entries, 1 / len(hits)))
        assert found.value == pytest.approx(np.mean(hits) / 8)
        assert min(hits) / 8 - 1 <= found.low <= found.high <= max(hits) / 8 + 1

    def test_shares_of_others_are_refused(self):
        with pytest.raises(DataError, match="do not fit: expected a, b, got a"):
            suite_average({"a": entry(3)}, {"a": 0.5, "b": 0.5})
        with pytest.raises(DataError, match="expected at least one entry, got none"):
            suite_average({}, {})
