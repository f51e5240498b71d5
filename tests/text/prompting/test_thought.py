"""Chains of thought: shown, asked for, read again, and turned around."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.text.answers import extract_answer, split_answer
from ramekin.text.example import Example, Provenance
from ramekin.text.prompting.thought import (
    LEADS,
    TRIGGER,
    inverted,
    with_rationale,
    with_trigger,
)


def example(targets: str = "5", rationale: str = "2 + 3 = 5", **others: object) -> Example:
    return Example(
        "How much is 2 and 3?", targets, (), Provenance("toy", "a", "train", 0), (), rationale, **others
    )


class TestRationale:
    def test_before_the_answer_in_the_target(self) -> None:
        found = with_rationale(example())
        assert found.targets == "2 + 3 = 5. The answer is 5."
        assert (found.inputs, found.answer) == ("How much is 2 and 3?", "5")

    @pytest.mark.parametrize("lead", LEADS)
    def test_every_lead_is_read_back(self, lead: str) -> None:
        found = with_rationale(example(), lead=lead)
        assert found.targets == f"2 + 3 = 5. {lead} 5."
        assert split_answer(found.targets) == ("2 + 3 = 5.", "5.")
        assert extract_answer(found.targets, is_number=True).answer == "5"

    @pytest.mark.parametrize(
        ("rationale", "ended"),
        [
            ("It rains", "It rains."), ("It rains. ", "It rains."), ("Wet?", "Wet?"), ('He says "wet."', 'He says "wet."'),
            ("(It rains.)", "(It rains.)"), ("2+3=5。", "2+3=5。"), ("দুই।", "দুই।"), ("so:", "so:."),
        ],
    )  # fmt: skip
    def test_a_sentence_is_ended_once(self, rationale: str, ended: str) -> None:
        assert with_rationale(example(rationale=rationale)).targets == f"{ended} The answer is 5."

    def test_with_a_phrase_that_asks_for_it(self) -> None:
        found = with_rationale(example(), trigger="Let's solve step-by-step:")
        assert found.inputs == "How much is 2 and 3?\nLet's solve step-by-step:"

    def test_the_answer_stays_the_first_one(self) -> None:
        assert with_rationale(example("5 eggs", answer="5")).answer == "5"

    @pytest.mark.parametrize("rationale", ["", " \n"])
    def test_an_example_without_reasoning_cannot_be_asked_for_it(self, rationale: str) -> None:
        with pytest.raises(DataError, match="no reasoning to show: toy#a/train/0.*and a row that has it"):
            with_rationale(example(rationale=rationale))

    @given(st.text("ab .,=5", max_size=20).filter(str.strip), st.integers(-999, 999), st.sampled_from(LEADS))
    def test_the_answer_is_read_out_of_its_chain(self, rationale: str, answer: int, lead: str) -> None:
        found = with_rationale(example(str(answer), rationale), lead=lead)
        assert extract_answer(found.targets, is_number=True).answer == str(answer)


def test_the_trigger_stands_at_the_end() -> None:
    assert with_trigger(example()).inputs == f"How much is 2 and 3?\n{TRIGGER}"
    assert with_trigger(example(), "Think!").inputs.endswith("3?\nThink!")
    assert with_trigger(example()).targets == "5"


class TestInversion:
    def test_from_reasoning_and_answer_to_the_question(self) -> None:
        found = inverted("How much is 2 and 3?", example())
        assert found.inputs == "2 + 3 = 5. The answer is 5. What was the question?"
        assert (found.targets, found.options, found.rationale) == ("How much is 2 and 3?", (), "")
        assert found.provenance == example().provenance

    def test_without_reasoning_the_answer_alone(self) -> None:
        assert inverted("Q?", example(rationale="")).inputs == "The answer is 5. What was the question?"

    def test_reasoning_that_is_asked_for_must_be_there(self) -> None:
        assert inverted("Q?", example(), reasoned=True) == inverted("Q?", example())
        with pytest.raises(DataError, match="there is no reasoning to show: toy#a/train/0"):
            inverted("Q?", example(rationale=" "), reasoned=True)

    def test_of_a_chain_the_answer_and_not_the_whole_target(self) -> None:
        assert inverted("Q?", with_rationale(example())).inputs == inverted("Q?", example()).inputs
