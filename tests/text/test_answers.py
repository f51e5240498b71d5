"""What counts as an answer: golden cases of the FusionBench number rule, where ours departs from it, and answers
found in longer texts."""

import json
import math
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.text.answers import (
    Extracted,
    extract_answer,
    extract_first_word,
    extract_number,
    extract_option,
    extract_text,
    parse_number,
    parse_numbers,
    parse_option,
    read_number,
    split_answer,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.2", 2.2),
        ("4", 4.0),
        ("-0.5", -0.5),
        (" 3.0\n", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1_0", 10.0),
        ("٣", 3.0),  # float reads any script's digits
    ],
)
def test_whatever_float_reads_as_a_finite_number_is_one(text, value):
    assert parse_number(text) == value == float(text)


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999"])
def test_what_float_reads_and_we_do_not(text):
    """FusionBench takes these for numbers, and one of them can make its score NaN."""
    assert not math.isfinite(float(text))
    assert parse_number(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", "2.2.", "2,2", "four", "4 out of 5", "0x10", "1__0", "−1", "4.0</s>"]
)
def test_what_is_no_number(text):
    assert parse_number(text) is None


@given(st.text(max_size=12))
def test_a_number_is_finite_or_none(text):
    value = parse_number(text)
    assert value is None or math.isfinite(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_survives_writing_and_reading(value):
    assert parse_number(repr(value)) == value


def test_unparsable_answers_are_zero_and_counted():
    parsed = parse_numbers(["2.2", "yes", "nan", "0"])
    assert (parsed.values, parsed.unparsable) == ((2.2, 0.0, 0.0, 0.0), 2)
    assert parse_numbers(["x"], stand_in=2.5).values == (2.5,)


def test_an_option_is_met_character_for_character():
    options = ("yes", "no")
    assert parse_option("yes", options) == "yes"
    assert [parse_option(text, options) for text in ("Yes", "yes ", "yes.", "")] == [None] * 4
    assert parse_option("anything", ()) == "anything"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        # signs
        ("-5", "-5", "-5"), ("−5", "-5", "-5"), ("–5", "-5", "-5"), ("+7", "7", "7"), ("- 5", "-5", "-5"),
        ("it is - 5 °C", "-5", "-5"), ("(-5)", "-5", "-5"), ("--5", "-5", "-5"), ("x = -5", "-5", "-5"),
        ("3-4", "3", "4"), ("3–4 eggs", "3", "4"), ("10 - 4", "10", "4"), ("(2) - 4", "2", "4"), ("4 - -3", "4", "-3"),
        ("covid-19", "19", "19"), ("from -3 to -1", "-3", "-1"), ("5% - 3%", "5", "3"),
        # money, percent, units
        ("$1,234.50", "1234.5", "1234.5"), ("-$5", "-5", "-5"), ("$-5", "-5", "-5"), ("€ 7", "7", "7"), ("£3m", "3", "3"),
        ("50%", "50", "50"), ("12 %", "12", "12"), ("5/day", "5", "5"), ("20 km/h", "20", "20"), ("3rd", "3", "3"),
        ("1990s", "1990", "1990"), ("in 2020.", "2020", "2020"), ("1.5L", "1.5", "1.5"), ("#4", "4", "4"),
        # thousands
        ("1,234,567", "1234567", "1234567"), ("1,234,567.25", "1234567.25", "1234567.25"), ("1'234'567", "1234567", "1234567"),
        ("1\u202f234", "1234", "1234"), ("1\xa0234,", "1234", "1234"), ("1.234.567", "1234567", "1234567"),
        ("1.234,56", "1234.56", "1234.56"), ("1.234.567,8", "1234567.8", "1234567.8"), ("1.234", "1.234", "1.234"),
        ("1,2,3", "1", "3"), ("1,2345", "1", "2345"), ("3,5", "3", "5"), ("1 000", "1", "0"), ("12,345, 6", "12345", "6"),
        # decimals and where a sentence ends
        ("99.9.", "99.9", "99.9"), ("5.", "5", "5"), (".5", "0.5", "0.5"), ("007", "7", "7"), ("2.50", "2.5", "2.5"),
        ("0.000001", "0.000001", "0.000001"), ("0", "0", "0"), ("-0", "0", "0"), ("100.", "100", "100"),
        # fractions
        ("1/2", "0.5", "0.5"), ("-1 1/2", "-1.5", "-1.5"), ("3 / 4", "0.75", "0.75"), ("2/3", "0.6666666666667", "0.6666666666667"),
        ("3/308", "0.00974025974026", "0.00974025974026"), ("9999999999999999/10000000000000000", "1", "1"),
        ("½", "0.5", "0.5"), ("1½ cups", "1.5", "1.5"), ("-¾", "-0.75", "-0.75"), ("3/0", "3", "0"), ("1 3/0", "1", "0"),
        ("2.5/5", "0.5", "0.5"), ("May 5 12/25/2020", "5", "25"), ("12/25/2020", "12", "25"),
        # powers of ten
        ("1e3", "1000", "1000"), ("1.5e-4", "0.00015", "0.00015"), ("3 x 10^5", "300000", "300000"), ("2 × 10^−2", "0.02", "0.02"),
        ("2e", "2", "2"), ("1e9x", "1", "9"), ("3 x 4", "3", "4"), ("1e999", "1", "999"),
        # several
        ("10:30", "10", "30"), ("from 3 to 12 eggs", "3", "12"), ("3 of 7", "3", "7"), ("৩৭৫", "375", "375"),
        # none
        ("", None, None), ("none", None, None), ("-", None, None), ("$ .", None, None), ("9" * 201, None, None),
    ],
)  # fmt: skip
def test_numbers_in_texts(text: str, first: str | None, last: str | None) -> None:
    assert (extract_number(text), extract_number(text, last=True)) == (first, last)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_number_is_found_however_it_is_written(value: Decimal) -> None:
    plain = f"{value.normalize():f}" if value else "0"
    for text in (f"{value}", f"{value:,}", f"so {value:,} of them.", f"it is {value}%", f"= {value} "):
        assert extract_number(text) == plain


@given(st.text(max_size=40) | st.text("0123456789.,-/e^x10 %$'", max_size=40))
def test_whatever_is_found_is_a_number_in_plain_digits(text: str) -> None:
    for last in (False, True):
        found = extract_number(text, last=last)
        assert found is None or re.fullmatch(r"-?\d+(\.\d*[1-9])?", found), found
        assert found is None or math.isfinite(float(found))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"), (" 1,250 ", "1250"), ("$1,250.00", "1250"), ("-5", "-5"), ("− 5", "-5"), ("3.5", "3.5"), ("5.", "5"),
        ("20%", "20"), ("1/4", "0.25"), ("1 1/2", "1.5"), ("¾", "0.75"), ("2e3", "2000"), ("007", "7"), ("-0", "0"),
        ("", None), (".", None), ("five", None), ("5 apples", None), ("is 5", None), ("3 4", None), ("3-4", None), ("1,2,3", None),
        ("1..", None), ("%", None), ("9" * 201, None),
    ],
)  # fmt: skip
def test_the_number_that_a_text_is(text: str, number: str | None) -> None:
    assert read_number(text) == number


@given(st.text(max_size=20) | st.text("0123456789.,-/e %$½", max_size=20))
def test_what_is_a_number_is_the_number_found_in_it(text: str) -> None:
    number = read_number(text)
    assert number is None or number == extract_number(text) == extract_number(text, last=True)


LETTERS = ("(A)", "(B)", "(C)")
LISTED = ("(A) London", "(B) Paris", "(C) New Paris")


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        # the option itself, but for case and marks
        ("yes", ("yes", "no"), "yes"), ("Yes.", ("yes", "no"), "yes"), (' "YES"! ', ("yes", "no"), "yes"),
        ("?", ("?", "!"), "?"), ("Not Entailment", ("entailment", "not_entailment"), "not_entailment"),
        # held as whole words
        ("Yes, it does.", ("yes", "no"), "yes"), ("I know nothing", ("yes", "no"), None), ("yes or no", ("yes", "no"), None),
        ("unacceptable", ("acceptable", "unacceptable"), "unacceptable"), ("In New York!", ("York", "New York"), "New York"),
        ("New York, not York", ("York", "New York"), "New York"), ("deductively invalid", ("valid", "invalid"), "invalid"),
        ("This is not valid.", ("valid", "invalid"), None), ("it isn't valid", ("valid", "invalid"), None),
        ("it is not entailment", ("entailment", "not entailment"), "not entailment"), ("", ("yes", "no"), None),
        # letters
        ("B", LETTERS, "(B)"), ("(b)", LETTERS, "(B)"), ("B) Paris", LETTERS, "(B)"), ("B. Paris", LETTERS, "(B)"),
        ("B: a city", LETTERS, "(B)"), ("(B) a city", LETTERS, "(B)"), ("option A", LETTERS, "(A)"), ("It is B", LETTERS, "(B)"),
        ("A dog", LETTERS, None), ("(A) or (B)", LETTERS, None), ("(D)", LETTERS, None), ("(i) first, (B)", LETTERS, "(B)"),
        ("ii", ("(i)", "(ii)"), "(ii)"), ("(2).", ("(1)", "(2)"), "(2)"), ("4 stars", tuple("12345"), "4"),
        ("4 of 5", tuple("12345"), None), ("0.5", ("0", "1"), None), ("1.5", ("(1)", "(2)"), None),
        # letters and words
        ("B", LISTED, "(B) Paris"), ("(B)", LISTED, "(B) Paris"), ("Paris", LISTED, "(B) Paris"), ("(B) Paris", LISTED, "(B) Paris"),
        ("I say New Paris.", LISTED, "(C) New Paris"), ("London or Paris", LISTED, None), ("B) Paris", ("London", "Paris"), "Paris"),
        ("22", ("A)21", "B)22"), "B)22"), ("a", ("A)21", "B)22"), "A)21"), ("at 5 p.m.", ("a.m.", "p.m."), "p.m."),
        # twice the same
        ("rain", ("Rain", "rain"), "rain"), ("RAIN", ("Rain", "rain"), None),
    ],
)  # fmt: skip
def test_options_in_texts(text: str, options: tuple[str, ...], found: str | None) -> None:
    assert extract_option(text, options) == found


WORDS = st.text("abcdefgh", min_size=2, max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=6, unique=True), st.data())
def test_an_option_is_found_in_a_sentence_that_holds_no_other(options: list[str], data) -> None:
    wanted = data.draw(st.sampled_from(options))
    for text in (wanted, f"It is {wanted}.", f"{wanted.upper()}, clearly", f"The answer is {wanted}."):
        assert extract_option(text, options) == wanted
        assert extract_answer(text, options=options).answer == wanted


@given(st.text(max_size=30), st.lists(st.text(max_size=6), min_size=1, max_size=5))
def test_what_is_found_is_an_option(text: str, options: list[str]) -> None:
    found = extract_answer(text, options=options)
    assert found.answer is None or found.answer in options
    assert found.raw == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Paris", "Paris"), (" 'Paris'. ", "Paris"), ("“Paris.”", "Paris"), ('"Paris', "Paris"), ("Paris!!", "Paris"),
        ("the U.S.", "the U.S."), ("5 p.m.", "5 p.m."), ("] ) ).", "] ) )"), ("it's", "it's"), ("(B)", "(B)"),
        ("Paris\nLondon", "Paris"), ("\n\nParis", "Paris"), ("", None), (" . ", None), ('""', None),
    ],
)  # fmt: skip
def test_words_of_a_short_answer(text: str, found: str | None) -> None:
    assert extract_text(text) == found


@pytest.mark.parametrize(
    ("text", "options", "word"),
    [
        ("yes", ("yes", "no"), "yes"),
        ("Yes.", ("yes", "no"), "yes"),
        ("NO, it does not: yes", ("yes", "no"), "no"),
        ("\n 'no' \n yes", ("yes", "no"), "no"),
        ("perhaps yes", ("yes", "no"), "perhaps"),
        ("yesterday", ("yes", "no"), "yesterday"),
        ("(B) Paris", ("(A)", "(B)"), "(B)"),
        ("b: Paris", ("(A)", "(B)"), "(B)"),
        ("A", ("a", "A"), "A"),
        ("a", ("A", "(A)"), "a"),
        ("dark blue", ("dark blue", "red"), "dark"),
        ("- . yes", ("yes",), "-"),
        ("don't know", (), "don't"),
        ("... !", ("yes",), None),
        ("", (), None),
    ],
)
def test_the_first_word(text: str, options: tuple[str, ...], word: str | None) -> None:
    """Of two options that it may be it is neither, unless it is one to the letter."""
    assert extract_first_word(text, options=options) == word


@given(st.text(max_size=30), st.lists(st.text(max_size=6), max_size=4))
def test_a_first_word_is_an_option_or_in_the_text(text: str, options: list[str]) -> None:
    word = extract_first_word(text, options=options)
    assert word is None or word in options or (word in text and len(word.split()) == 1)


@pytest.mark.parametrize(
    ("text", "reasoning", "tail"),
    [
        ("2 + 3 = 5. The answer is 5.", "2 + 3 = 5.", "5."),
        ("a. Therefore, the answer is b.", "a.", "b."),
        ("a. So, the final answer is b.", "a.", "b."),
        ("a. So the answer is b.", "a.", "b."),
        ("a\nAnswer: b", "a", "b"),
        ("a. The answer: is b", "a.", "is b"),
        ("THE FINAL ANSWER IS: b", "", "b"),
        ("a\n#### 1,200", "a", "1,200"),
        ("The answer is b. No: the answer is c.", "The answer is b. No:", "c."),
        ("The answer is b. That is the answer:", "", "b. That is the answer:"),
        ("The answer isn't clear", "The answer isn't clear", None),
        ("#### Step one", "#### Step one", None),
        ("an answered call", "an answered call", None),
        ("", "", None),
    ],
)
def test_reasoning_and_answer_are_parted_at_the_last_lead(
    text: str, reasoning: str, tail: str | None
) -> None:
    assert split_answer(text) == (reasoning, tail)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("There are 3 and 4. The answer is 7.", "7"),
        ("3 and 4 make 7", "7"),
        ("The answer is 3 + 4 = 7.", "7"),
        ("The answer is 18 dollars for 2 days.", "18"),
        ("The answer is 5. Check: 2 + 4 = 6", "5"),
        ("The answer is $1,250.", "1250"),
        ("It is 5. The answer is unclear.", None),
        ("8 * 15 = 120 answer: eggs\n#### 120", "120"),
    ],
)
def test_the_number_that_a_text_comes_to(text: str, number: str | None) -> None:
    assert extract_answer(text, is_number=True) == Extracted(number, text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("(A) fails. The answer is (B).", "(B)"),
        ("The answer is (B) because (A) is wrong.", "(B)"),
        ("The answer is (B). I looked at (A) too.", "(B)"),
        ("The answer is hard to say. I take (C).", "(C)"),
        ("The answer is Dr. Who. I take (C).", "(C)"),
        ("(A) or (B)", None),
    ],
)
def test_the_option_that_a_text_comes_to(text: str, option: str | None) -> None:
    assert extract_answer(text, options=LETTERS).answer == option


class TestPublishedReasoning:
    """Every published exemplar's answer is read out of its reasoning."""

    @pytest.mark.skipif(not (DATA / "bbh/cot-prompts").is_dir(), reason="needs ../shared/data/bbh")
    def test_big_bench_hard(self) -> None:
        import pyarrow.parquet

        read = 0
        for path in sorted((DATA / "bbh/cot-prompts").glob("*.txt")):
            column = pyarrow.parquet.read_table(DATA / "bbh" / path.stem / "test.parquet")["target"]
            targets = sorted(set(column.to_pylist()))
            answers = re.findall(r"So the answer is (.*)\.$", path.read_text(encoding="utf-8"), re.M)
            blocks = path.read_text(encoding="utf-8").split("\nA: ")[1:]
            for block, answer in zip(blocks, answers, strict=True):
                text = block.partition("\n\nQ:")[0]
                if len(targets) <= 26:
                    assert answer in targets and extract_answer(text, options=targets).answer == answer
                elif all(re.fullmatch(r"-?\d+", each) for each in targets):
                    assert extract_answer(text, is_number=True).answer == answer
                else:
                    assert extract_answer(text).answer == answer
                read += 1
        assert read == 81

    @pytest.mark.skipif(not (DATA / "mmlu/cot-prompts").is_dir(), reason="needs ../shared/data/mmlu")
    def test_mmlu(self) -> None:
        (path,) = (DATA / "mmlu/cot-prompts").glob("*.json")
        subjects = json.loads(path.read_text(encoding="utf-8"))
        read = 0
        for text in subjects.values():
            for block in text.split("\nA: ")[1:]:
                reasoning = block.partition("\n\nQ:")[0]
                letter = re.findall(r"\([A-E]\)", reasoning)[-1]
                assert extract_answer(reasoning, options=["(A)", "(B)", "(C)", "(D)", "(E)"]).answer == letter
                read += 1
        assert (len(subjects), read) == (57, 282)

    @pytest.mark.skipif(not (DATA / "gsm8k/main").is_dir(), reason="needs ../shared/data/gsm8k")
    def test_grade_school_mathematics(self) -> None:
        import pyarrow.parquet

        read = 0
        for split in ("train", "test"):
            for row in pyarrow.parquet.read_table(DATA / f"gsm8k/main/{split}.parquet").to_pylist():
                rationale, answer = row["answer"].split("\n#### ")
                plain = answer.replace(",", "").strip()
                for text in (row["answer"], f"{rationale} The answer is {answer}."):
                    assert extract_answer(text, is_number=True).answer == plain
                read += 1
        assert read == 7473 + 1319
