"""Chains of thought: shown, asked for, read again, turned around, and published."""

import json
from pathlib import Path

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
    read_exemplars,
    with_rationale,
    with_trigger,
    without_reasoning,
)

DATA = Path(__file__).parents[3].parent / "shared" / "data"


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


PUBLISHED = """canary
-----
Say yes or no.

Q: Is it wet?
Options: yes or no
A: Let's think step by step.
The answer is not plain at first. It rains. So the answer is yes.

Q: Is it dry?
A: no
"""


class TestPublished:
    def test_read(self) -> None:
        found = read_exemplars(PUBLISHED, name="wet.txt")
        assert found.instruction == "Say yes or no."
        first, second = found.shots
        assert first.inputs == "Is it wet?\nOptions: yes or no"
        assert first.targets.startswith("Let's think step by step.\nThe answer is not plain")
        assert first.rationale == "The answer is not plain at first. It rains."
        assert (first.answer, first.provenance.id) == ("yes", "wet.txt#published/exemplars/0")
        assert (second.targets, second.rationale, second.answer) == ("no", "", "")

    def test_for_direct_answers_the_reasoning_is_left_out(self) -> None:
        first, second = without_reasoning(read_exemplars(PUBLISHED, name="wet.txt").shots)
        assert (first.targets, first.rationale, first.answer) == ("yes", "", "")
        assert second.targets == "no"

    def test_what_is_no_exemplar_file(self) -> None:
        with pytest.raises(DataError, match="has no question: wet.txt: expected lines that begin with 'Q:'"):
            read_exemplars("Is it wet?", name="wet.txt")
        with pytest.raises(DataError, match="exemplar 2 has no answer: wet.txt"):
            read_exemplars("Q: a\nA: b\n\nQ: c\n", name="wet.txt")

    @pytest.mark.skipif(not (DATA / "bbh/cot-prompts").is_dir(), reason="needs ../shared/data/bbh")
    def test_all_of_big_bench_hards_have_reasoning_and_answer(self) -> None:
        for path in sorted((DATA / "bbh/cot-prompts").glob("*.txt")):
            found = read_exemplars(path.read_text(encoding="utf-8"), name=path.name)
            assert len(found.shots) == 3 and "canary" not in found.instruction and found.instruction
            for shot in found.shots:
                assert shot.rationale and shot.targets.endswith(f"So the answer is {shot.answer}.")

    @pytest.mark.skipif(not (DATA / "mmlu/cot-prompts").is_dir(), reason="needs ../shared/data/mmlu")
    def test_all_of_mmlus(self) -> None:
        (path,) = (DATA / "mmlu/cot-prompts").glob("*.json")
        for name, text in json.loads(path.read_text(encoding="utf-8")).items():
            found = read_exemplars(text, name=name)
            assert len(found.shots) in (4, 5) and "multiple choice questions" in found.instruction
            assert all(shot.rationale and shot.answer[1] in "ABCDE" for shot in found.shots)
