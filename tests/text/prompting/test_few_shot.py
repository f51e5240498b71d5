"""k-shot prompts: Flan's two layouts byte for byte, and pruning to a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ramekin.errors import DataError
from ramekin.text.example import Example, Provenance
from ramekin.text.prompting.few_shot import (
    FLAN_2021,
    FLAN_2022,
    QA,
    FewShotForm,
    exemplar_rows,
    few_shot,
    moved,
)


def example(row: int, inputs: str, targets: str, *, split: str = "train", template: str = "a") -> Example:
    return Example(inputs, targets, ("yes", "no"), Provenance("toy", template, split, row))


QUESTION = example(9, "Is it wet? fog", "no", split="validation")
SHOTS = [example(0, "Is it wet? rain", "yes"), example(1, "Is it wet? sun", "no")]


class TestLayout:
    def test_flan_2021(self) -> None:
        """flan/few_shot.py: ` X ` between and after, `0 ` and `1 ` before, ` FLAN` at the end."""
        found = few_shot(QUESTION, SHOTS, form=FLAN_2021).example
        assert found.inputs == (
            "0 Is it wet? rain X 1 yes X 0 Is it wet? sun X 1 no X 0 Is it wet? fog X 1 FLAN"
        )

    def test_flan_2021_without_exemplars(self) -> None:
        """flan/preprocessors.py, reformat_with_flan_dialog_prompt: `0 {inputs} X 1 FLAN`."""
        assert few_shot(QUESTION, [], form=FLAN_2021).example.inputs == "0 Is it wet? fog X 1 FLAN"

    def test_flan_2022(self) -> None:
        """flan/v2/few_shot.py: two line breaks between, three after; those at the end are not removed."""
        found = few_shot(QUESTION, SHOTS, form=FLAN_2022).example
        assert found.inputs == ("Is it wet? rain\n\nyes\n\n\nIs it wet? sun\n\nno\n\n\nIs it wet? fog\n\n")

    def test_flan_2022_without_exemplars_is_the_question(self) -> None:
        assert few_shot(QUESTION, []).example == QUESTION

    def test_questions_and_answers(self) -> None:
        found = few_shot(QUESTION, SHOTS, form=QA, instruction="Say yes or no.").example
        assert found.inputs == (
            "Say yes or no.\n\nQ: Is it wet? rain\nA: yes\n\nQ: Is it wet? sun\nA: no\n\nQ: Is it wet? fog\nA:"
        )
        assert few_shot(QUESTION, [], form=QA).example.inputs == "Q: Is it wet? fog\nA:"

    def test_the_default_is_flan_2022s_and_all_but_the_inputs_stays(self) -> None:
        found = few_shot(QUESTION, SHOTS)
        assert (found.used, found.pruned) == (2, 0)
        assert (found.example.targets, found.example.options) == ("no", ("yes", "no"))
        assert found.example.provenance == QUESTION.provenance


class TestOwnRow:
    @pytest.mark.parametrize("template", ["a", "b"])
    def test_an_exemplar_is_never_the_question_whatever_its_template(self, template: str) -> None:
        with pytest.raises(DataError, match="an exemplar is the question itself: toy#a/validation/9"):
            few_shot(QUESTION, [example(9, "other words", "no", split="validation", template=template)])

    def test_the_same_place_in_another_split_is_another_row(self) -> None:
        assert few_shot(QUESTION, [example(9, "x", "no")]).used == 1


def words(text: str) -> int:
    return len(text.split())


class TestBudget:
    @pytest.mark.parametrize(("budget", "used"), [(100, 2), (14, 2), (13, 1), (9, 1), (8, 0), (4, 0), (1, 0)])
    def test_exemplars_are_kept_from_the_first_on_while_they_fit(self, budget: int, used: int) -> None:
        found = few_shot(QUESTION, SHOTS, max_tokens=budget, count_tokens=words)
        assert (found.used, found.pruned) == (used, 2 - used)
        assert found.example.inputs == few_shot(QUESTION, SHOTS[:used]).example.inputs

    def test_what_stands_around_counts_too(self) -> None:
        for instruction, budget, used in (("", 26, 2), ("", 25, 1), ("a b c", 30, 2), ("a b c", 29, 1)):
            found = few_shot(
                QUESTION,
                SHOTS,
                form=FLAN_2021,
                instruction=instruction,
                max_tokens=budget,
                count_tokens=words,
            )
            assert found.used == used, (instruction, budget)

    @given(
        st.lists(st.text("ab \n", max_size=12), max_size=6),
        st.text("ab \n", max_size=12),
        st.integers(0, 40),
        st.sampled_from([FLAN_2021, FLAN_2022, QA, FewShotForm("", "", "", "")]),
        st.sampled_from([words, len]),
    )
    def test_pruning_keeps_a_prefix_as_long_as_fits(self, texts, asked, budget, form, count) -> None:
        shots = [example(row, text, "yes") for row, text in enumerate(texts)]
        question = example(99, asked, "no")
        found = few_shot(question, shots, form=form, max_tokens=budget, count_tokens=count)
        assert found.used + found.pruned == len(shots)
        assert found.example.inputs == few_shot(question, shots[: found.used], form=form).example.inputs
        if found.used:
            assert count(found.example.inputs) <= budget
        if found.pruned:
            longer = few_shot(question, shots[: found.used + 1], form=form).example.inputs
            assert count(longer) > budget


class TestFields:
    """Where the question's own words are, when something stands before and after it."""

    asked = QUESTION._replace(fields=((0, 2), (11, 14)))

    @pytest.mark.parametrize("form", [FLAN_2021, FLAN_2022, QA])
    @pytest.mark.parametrize("shots", [[], SHOTS])
    @pytest.mark.parametrize("instruction", ["", "Say yes or no."])
    def test_they_move_with_it(self, form, shots, instruction) -> None:
        found = few_shot(self.asked, shots, form=form, instruction=instruction).example
        assert [found.inputs[start:end] for start, end in found.fields] == ["Is", "fog"]
        assert all(start >= found.inputs.rindex("Is it wet?") for start, _ in found.fields)

    def test_pruned_exemplars_do_not_move_them(self) -> None:
        found = few_shot(self.asked, SHOTS, max_tokens=8, count_tokens=words)
        assert found.used == 0 and found.example.fields == self.asked.fields

    def test_white_space_that_is_removed_is_no_part_of_them(self) -> None:
        blank = example(9, "  a fog  ", "no")._replace(fields=((0, 9),))
        assert few_shot(blank, [], form=FewShotForm("", " ", "", "")).example.fields == ((0, 5),)
        assert moved([(0, 3), (3, 9)], -3, 4) == ((0, 4),)


class TestRows:
    @given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 99), st.integers(0, 20) | st.none())
    def test_never_the_row_itself_and_none_twice(self, count, rows, key, never) -> None:
        found = exemplar_rows(count, rows, key, never=never)
        others = set(range(rows)) - {never}
        assert set(found) <= others and len(found) == len(set(found)) == min(count, len(others))
        assert found == exemplar_rows(count, rows, key, never=never)
        assert found[:2] == exemplar_rows(min(count, 2), rows, key, never=never)

    def test_every_other_row_is_as_likely(self) -> None:
        drawn = [row for key in range(10_000) for row in exemplar_rows(2, 8, "t", key, never=3)]
        counts = [drawn.count(row) for row in range(8)]
        assert counts.pop(3) == 0 and chisquare(counts).pvalue > 0.001

    def test_pinned(self) -> None:
        assert exemplar_rows(3, 100, 0, "glue/rte", 17, 0) == [36, 10, 31]
