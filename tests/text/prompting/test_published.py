"""Published exemplars: read strictly, put before a question to the byte, and their own answers read again."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.sources.local import read_file
from ramekin.text.answers import extract_answer
from ramekin.text.example import Example, Provenance
from ramekin.text.prompting.published import (
    published_few_shot,
    published_prompt,
    published_rows,
    read_exemplars,
    without_reasoning,
)
from ramekin.text.prompting.thought import TRIGGER
from ramekin.text.render import Style
from ramekin.text.task_yaml import check_template

DATA = Path(__file__).parents[3].parent / "shared" / "data"
BBH = sorted((DATA / "bbh/cot-prompts").glob("*.txt"))
MMLU = DATA / "mmlu/cot-prompts/mmlu-cot.json"
needs_bbh = pytest.mark.skipif(not BBH, reason="needs ../shared/data/bbh")
needs_mmlu = pytest.mark.skipif(not MMLU.is_file(), reason="needs ../shared/data/mmlu")

TEXT = """canary
-----
Say yes or no.

Q: Is it wet?
Options: yes or no
A: Let's think step by step.
The answer is not plain at first. It rains. So the answer is yes.

Q: Is it dry?
A: no
"""


def bbh_text(path: Path) -> str:
    """The file as it is put before questions: without the canary."""
    return path.read_bytes().decode("utf-8").partition("\n-----\n")[2]


def mmlu_texts() -> dict[str, str]:
    return json.loads(MMLU.read_bytes())


def question(text: str = "Is it wet? fog", fields=()) -> Example:
    return Example(text, "no", ("yes", "no"), Provenance("toy/wet", "a", "test", 9))._replace(fields=fields)


class TestRead:
    def test_instruction_and_exemplars(self) -> None:
        found = read_exemplars(TEXT, where="wet.txt")
        assert found.instruction == "Say yes or no."
        first, second = found.shots
        assert first.inputs == "Is it wet?\nOptions: yes or no"
        assert first.targets.startswith("Let's think step by step.\nThe answer is not plain")
        assert first.rationale == "The answer is not plain at first. It rains."
        assert (first.answer, first.provenance.id) == ("yes", "wet.txt#published/exemplars/0")
        assert (second.targets, second.rationale, second.answer) == ("no", "", "")

    def test_for_direct_answers_the_reasoning_is_left_out(self) -> None:
        first, second = without_reasoning(read_exemplars(TEXT, where="wet.txt").shots)
        assert (first.targets, first.rationale, first.answer) == ("yes", "", "")
        assert second.targets == "no"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("Is it wet?", r"has no question: wet.txt: expected lines that begin with 'Q:'"),
            ("Q: a\nA: b\n\nQ: c\n", r"exemplar 2 has no answer: wet.txt:4: expected a line 'A: …'"),
            ("top\n-----\nSay.\n\nQ: a\nb\n", r"exemplar 1 has no answer: wet.txt:5"),
            ("Q: a\nA: b\nQ: c\nA: d", r"published layout: wet.txt:3: expected one empty line before 'Q:'"),
            ("Q: a\nA: b\n\n\nQ: c\nA: d", r"published layout: wet.txt:5: expected one empty line before"),
            ("Say.\nQ: a\nA: b", r"wet.txt:2: expected one empty line between instruction and 'Q:'"),
            ("Q: a\nA: b\nA: c", r"wet.txt:3: expected one 'A:' after each 'Q:'"),
            ("Q: a\nA:b", r"wet.txt:2: expected a space after 'A:'"),
            ("Say.\n\nQ:a\nA: b", r"wet.txt:3: expected a space after 'Q:'"),
            (f"Q: a\nA: b\n\nQ: a\nA: {TRIGGER} It rains.", r"comes to no answer: wet.txt:4: .*It rains\.\""),
        ],
    )
    def test_another_form_is_refused_with_its_line(self, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_exemplars(text, where="wet.txt")

    part = st.text("ab:QA.é ", min_size=1, max_size=9).filter(lambda text: text[0] != " ")

    @given(part, st.lists(st.tuples(part, part), min_size=1, max_size=4))
    def test_joined_again_it_is_the_text(self, instruction: str, shots) -> None:
        text = "\n\n".join([instruction, *(f"Q: {asked}\nA: {answer}" for asked, answer in shots)])
        if instruction.startswith("Q:"):
            return
        found = read_exemplars(text, where="x")
        assert [(each.inputs, each.targets) for each in found.shots] == shots
        asked = published_few_shot(question(), found, thought="none").example.inputs
        assert asked == f"{text}\n\nQ: Is it wet? fog\nA:"


class TestPrompt:
    def test_with_reasoning_and_without(self) -> None:
        wet = read_exemplars(TEXT, where="wet.txt")
        asked = "\n\nQ: Is it wet? fog\nA:"
        found = published_few_shot(question(), wet)
        assert found.example.inputs == TEXT.partition("-----\n")[2].rstrip("\n") + f"{asked} {TRIGGER}"
        assert (found.used, found.pruned, found.example.targets) == (2, 0, "no")
        assert published_few_shot(question(), wet, thought="none").example.inputs == (
            "Say yes or no.\n\nQ: Is it wet?\nOptions: yes or no\nA: yes\n\nQ: Is it dry?\nA: no" + asked
        )

    @pytest.mark.parametrize("shots", [0, 1, 2, 9])
    def test_the_first_so_many(self, shots: int) -> None:
        wet = read_exemplars(TEXT, where="wet.txt")
        found = published_few_shot(question(), wet, shots=shots)
        assert found.used == min(shots, 2) and found.example.inputs.count("Q: ") == found.used + 1
        assert found.example.inputs.startswith("Say yes or no.\n\nQ: ")

    def test_a_budget_prunes_from_the_end_and_says_so(self) -> None:
        wet = read_exemplars(TEXT, where="wet.txt")
        whole = published_few_shot(question(), wet).example.inputs
        for budget, used in ((len(whole), 2), (len(whole) - 1, 1), (10, 0)):
            found = published_few_shot(question(), wet, max_tokens=budget, count_tokens=len)
            assert (found.used, found.pruned) == (used, 2 - used)
            assert found.example == published_few_shot(question(), wet, shots=used).example

    def test_the_questions_own_words_are_known_behind_the_exemplars(self) -> None:
        wet = read_exemplars(TEXT, where="wet.txt")
        for thought in ("none", "rationale"):
            found = published_few_shot(question(fields=((11, 14),)), wet, thought=thought).example
            ((start, end),) = found.fields
            assert found.inputs[start:end] == "fog" and start > found.inputs.rindex("Q: ")


class TestTasks:
    def test_a_task_without_published_exemplars_says_so(self) -> None:
        task = Catalog()["glue/rte"]
        wet = read_exemplars(TEXT, where="wet.txt")
        with pytest.raises(
            UsageError, match="no exemplars were published with the task's data set: glue/rte"
        ):
            published_prompt(task, task.sample, wet, split="validation", row=0)
        with pytest.raises(UsageError, match="no split of published exemplars: bbh/navigate"):
            published_rows(Catalog()["bbh/navigate"], [])

    def test_every_task_of_the_three_benchmarks_knows_its_own(self) -> None:
        catalog = Catalog()
        having = {name: task for name, task in catalog.items() if task.source.exemplars is not None}
        families = {name for name in catalog if name.split("/")[0] in ("bbh", "mmlu", "mgsm")}
        assert set(having) == families and len(families) == 27 + 57 + 11
        for name, task in having.items():
            published = task.as_published
            check_template(published, published.template())
            asked = published_prompt(
                task, task.sample, read_exemplars(TEXT, where="x"), split="sample", row=0, thought="none",
                style=Style(mark_fields=True),
            ).example  # fmt: skip
            assert asked.fields and asked.targets in (asked.options or (asked.targets,)), name

    def test_mmlus_question_has_its_options_in_a_row_and_a_letter_for_its_answer(self) -> None:
        task = Catalog()["mmlu/anatomy"]
        row = {
            "question": "Which is a bone?",
            "subject": "anatomy",
            "choices": ["rib", "a nail", "skin", "hair"],
            "answer": 0,
        }
        wet = read_exemplars(TEXT, where="wet.txt")
        found = published_prompt(task, row, wet, split="test", row=3, style=Style(mark_fields=True)).example
        assert found.inputs.endswith(
            f"\n\nQ: Which is a bone?\n(A) rib (B) a nail (C) skin (D) hair\nA: {TRIGGER}"
        )
        assert (found.targets, found.options) == ("(A)", ("(A)", "(B)", "(C)", "(D)"))
        assert [found.inputs[start:end] for start, end in found.fields] == ["Which is a bone?"]
        assert found.provenance.id == "mmlu/anatomy#published/test/3"

    def test_mgsms_training_rows_are_its_exemplars(self) -> None:
        task = Catalog()["mgsm/de"]
        rows = [
            (n, {"question": f"Frage: Was ist {n} und 1?", "answer": f"Schritt-für-Schritt-Antwort: {n} + 1 = {n + 1}. Die Antwort ist {n + 1}.", "answer_number": n + 1})
            for n in (3, 5)
        ]  # fmt: skip
        exemplars = published_rows(task, rows)
        assert [each.answer for each in exemplars.shots] == ["4", "6"]
        record = {"question": "Was ist 8 und 1?", "answer": None, "answer_number": 9}
        found = published_prompt(task, record, exemplars, split="test", row=3).example
        assert found.inputs == (
            "Frage: Was ist 3 und 1?\nSchritt-für-Schritt-Antwort: 3 + 1 = 4. Die Antwort ist 4.\n\n"
            "Frage: Was ist 5 und 1?\nSchritt-für-Schritt-Antwort: 5 + 1 = 6. Die Antwort ist 6.\n\n"
            "Frage: Was ist 8 und 1?\nSchritt-für-Schritt-Antwort:"
        )
        assert found.targets == "9"
        for shot in exemplars.shots:
            assert extract_answer(shot.targets, is_number=True).answer == shot.answer
        direct = published_prompt(task, record, exemplars, split="test", row=3, thought="none").example.inputs
        assert direct.startswith("Frage: Was ist 3 und 1?\nSchritt-für-Schritt-Antwort: 4\n\nFrage:")
        with pytest.raises(DataError, match="an exemplar is the question itself"):
            published_prompt(task, rows[0][1], exemplars, split="train", row=3)

    def test_all_languages_read_their_own_sample(self) -> None:
        for name, task in Catalog().items():
            if name.startswith("mgsm/"):
                (shot,) = published_rows(task, [(0, task.sample)]).shots
                assert not shot.inputs.startswith(task.constants["question_label"].strip())
                assert not shot.targets.startswith(task.constants["answer_label"].strip())
                assert extract_answer(shot.targets, is_number=True).answer == shot.answer == "5"


def options_of(asked: str) -> list[str]:
    return (
        list(dict.fromkeys(re.findall(r"\([A-Z]\)(?= )", asked[asked.rindex("(A)") :])))
        if "(A)" in asked
        else []
    )


class TestPublishedFiles:
    @needs_bbh
    @pytest.mark.parametrize("path", BBH, ids=lambda path: path.stem)
    def test_big_bench_hard_to_the_byte(self, path: Path) -> None:
        task = Catalog()[f"bbh/{path.stem}"]
        exemplars = read_exemplars(path.read_bytes().decode("utf-8"), where=path.name)
        assert len(exemplars.shots) == 3 and "canary" not in exemplars.instruction and exemplars.instruction
        rows = read_file(DATA / "bbh" / path.stem / "test.parquet", task.columns).rows
        for place, asked in enumerate(rows):
            if task.keep is None or asked["target"].startswith("("):
                found = published_prompt(task, asked, exemplars, split="test", row=place).example
                assert found.inputs == f"{bbh_text(path)}\n\nQ: {asked['input']}\nA: {TRIGGER}"
                assert found.targets == asked["target"]
        direct = published_prompt(task, asked, exemplars, split="test", row=0, thought="none").example.inputs
        for shot in exemplars.shots:
            assert f"\n\nQ: {shot.inputs}\nA: {shot.answer}\n\nQ: " in direct
        assert direct.endswith(f"\n\nQ: {asked['input']}\nA:") and TRIGGER not in direct

    @needs_mmlu
    def test_mmlu_to_the_byte(self) -> None:
        catalog = Catalog()
        for subject, text in mmlu_texts().items():
            task = catalog[f"mmlu/{subject}"]
            exemplars = read_exemplars(text, where=subject)
            assert len(exemplars.shots) in (4, 5)
            assert "multiple choice questions (with answers)" in exemplars.instruction
            found = published_prompt(task, task.sample, exemplars, split="sample", row=0).example
            before, mark, asked = found.inputs.rpartition("\n\nQ: ")
            assert before == text and mark
            listed = " ".join(
                f"({letter}) {each}" for letter, each in zip("ABCD", task.sample["choices"], strict=False)
            )
            assert asked.endswith(f"\n{listed}\nA: {TRIGGER}")

    @needs_mmlu
    def test_mmlus_rows_are_put_as_its_exemplars_are(self) -> None:
        """The exemplars were made from the data set's own `dev` rows: most of them come out alike."""
        catalog, texts = Catalog(), mmlu_texts()
        rows = read_file(DATA / "mmlu/all/dev.parquet", catalog["mmlu/anatomy"].columns).rows
        alike = 0
        for place, row in enumerate(rows):
            empty = replace(read_exemplars("Q: a\nA: b", where="x"), shots=(), instruction="")
            asked = published_prompt(catalog[f"mmlu/{row['subject']}"], row, empty, split="dev", row=place)
            alike += asked.example.inputs in texts[row["subject"]]
        assert alike > 0.7 * len(rows), alike

    @needs_bbh
    def test_every_answer_is_read_out_of_its_own_reasoning(self) -> None:
        count = 0
        for path in BBH:
            task = Catalog()[f"bbh/{path.stem}"]
            for shot in read_exemplars(path.read_text(encoding="utf-8"), where=path.name).shots:
                assert shot.rationale and shot.targets.endswith(f"So the answer is {shot.answer}.")
                options = task.options or options_of(shot.inputs)
                assert not options or shot.answer in options
                read = extract_answer(shot.targets, options=options, is_number=task.kind == "number")
                assert read.answer == shot.answer, (path.stem, shot.answer)
                assert extract_answer(shot.targets).answer == shot.answer, "as free text too"
                count += 1
        assert count == 81

    @needs_mmlu
    def test_every_answer_of_mmlus_too(self) -> None:
        count = 0
        for subject, text in mmlu_texts().items():
            for shot in read_exemplars(text, where=subject).shots:
                assert shot.targets.endswith(f"The answer is {shot.answer}.")
                options = options_of(shot.inputs)
                assert len(options) >= 4 and shot.answer in options
                assert extract_answer(shot.targets, options=options).answer == shot.answer, subject
                count += 1
        assert count == 57 * 5 - 3
