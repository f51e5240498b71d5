"""The entries of a suite as what is asked: every prompt by hand, and what is missing or does not fit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ramekin.catalog import load_task
from ramekin.catalog.suites import load_suite
from ramekin.errors import DataError, UsageError
from ramekin.evaluate.mode import MODES
from ramekin.recipes.evaluations.asking import AskedEntry, Missing, ask, mode_of
from ramekin.recipes.places import Places
from ramekin.text.suite import Suite, SuiteEntry, SuitePart, SuiteSettings, SuiteTask, suite_entries

RTE = ("Does the text: '{}' entail that '{}' is true? Provide 'yes' or 'no'.").format
TRAIN = [("it rains", "it is wet", 0), ("it snows", "it is hot", 1), ("it hails", "it is cold", 0)]
ASKED = [("the sun sets", "it is dark", 0), ("the moon rises", "it is noon", 1)]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rte_rows(rows: Sequence[tuple[str, str, int]]) -> list[dict[str, Any]]:
    return [dict(zip(("sentence1", "sentence2", "label"), row, strict=True)) for row in rows]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with three rows of RTE to show and two to ask."""
    write(tmp_path / "glue/rte/train.jsonl", rte_rows(TRAIN))
    write(tmp_path / "glue/rte/validation.jsonl", rte_rows(ASKED))
    return tmp_path


Found = tuple[tuple[AskedEntry, ...], tuple[Missing, ...]]


def asked(*entries: SuiteEntry, root: Path | None = None, **changes: Any) -> Found:
    values: dict[str, Any] = {
        "places": Places(root),
        "rules": {},
        "seed": 0,
        "max_input_tokens": 512,
        "count_tokens": lambda text: len(text.split()),
        "strict": True,
    }
    return ask(entries, **{**values, **changes})


def entry(
    task: str = "glue/rte", path: Sequence[str] = ("p",), title: str = "", **settings: Any
) -> SuiteEntry:
    return SuiteEntry(tuple(path), task, SuiteSettings(**settings), title)


def prompts(found: Found) -> list[list[str]]:
    return [[example.inputs for example in each.eval_set.examples] for one in found[0] for each in one.sets]


class TestExemplars:
    def test_a_question_without_any_is_its_prompt(self, root: Path) -> None:
        assert prompts(asked(entry(), root=root)) == [[RTE(*row[:2]) for row in ASKED]]

    def test_the_first_rows_stand_before_every_question(self, root: Path) -> None:
        found = asked(entry(shots=2, exemplar_rows="first"), root=root)
        shown = f"{RTE('it rains', 'it is wet')}\n\nyes\n\n\n{RTE('it snows', 'it is hot')}\n\nno\n\n\n"
        assert prompts(found) == [[f"{shown}{RTE(*row[:2])}\n\n" for row in ASKED]]
        ((one,),) = (each.sets for each in found[0])
        assert (one.eval_set.shots, one.eval_set.pruned_exemplars) == (2, 0)
        assert [example.targets for example in one.eval_set.examples] == ["yes", "no"]

    def test_the_form_may_be_another(self, root: Path) -> None:
        (((first, _),),) = (prompts(asked(entry(shots=1, exemplar_rows="first", shot_form="qa"), root=root)),)
        assert first == f"Q: {RTE('it rains', 'it is wet')}\nA: yes\n\nQ: {RTE(*ASKED[0][:2])}\nA:"

    def test_a_row_is_never_its_own_exemplar(self, root: Path) -> None:
        rows = [(f"a{n}", f"b{n}", n % 2) for n in range(7)]
        write(root / "glue/rte/validation.jsonl", rte_rows(rows))
        for how in ("drawn", "first"):
            settings = {"shots": 6, "exemplar_split": "validation", "exemplar_rows": how}
            (found,) = prompts(asked(entry(**settings), root=root))
            for row, prompt in zip(rows, found, strict=True):
                assert prompt.count(f"'{row[0]}'") == 1 and prompt.count("Does the text") == 7
                assert prompt.endswith(f"{RTE(*row[:2])}\n\n")

    def test_a_split_by_the_names_of_its_source_is_the_same_split(self, tmp_path: Path) -> None:
        rows = [{"premise": f"a{n}", "hypothesis": f"b{n}", "label": n % 3} for n in range(3)]
        write(tmp_path / "glue/mnli/validation_matched.jsonl", rows)
        settings = {"shots": 2, "exemplar_split": "validation_matched", "exemplar_rows": "first"}
        (found,) = prompts(asked(entry("glue/mnli", **settings), root=tmp_path))
        assert [prompt.count(f"a{n}") for n, prompt in enumerate(found)] == [1, 1, 1]

    def test_drawn_ones_depend_on_seed_task_and_row_alone(self, root: Path) -> None:
        write(root / "glue/rte/train.jsonl", rte_rows([(f"a{n}", f"b{n}", n % 2) for n in range(60)]))
        drawn = entry(shots=3)
        (found,) = prompts(asked(drawn, root=root))
        ((one,),) = prompts(asked(entry(shots=3, limit=1), root=root))
        assert one in found, "whichever other rows are asked"
        assert prompts(asked(entry("glue/rte", ["other"], shots=3), root=root)) == [found]
        (other,) = prompts(asked(drawn, root=root, seed=1))
        assert [a != b for a, b in zip(found, other, strict=True)] == [True, True]
        assert found[0].rpartition("Does")[0] != found[1].rpartition("Does")[0], "each row draws its own"

    def test_those_that_do_not_fit_or_are_not_there_are_counted(self, root: Path) -> None:
        room = 2 * len(RTE("it rains", "it is wet").split()) + 2
        found = asked(entry(shots=2, exemplar_rows="first"), root=root, max_input_tokens=room + 1)
        assert all(prompt.count("Does the text") == 2 for prompt in prompts(found)[0])
        assert [each.eval_set.pruned_exemplars for each in found[0][0].sets] == [2]
        found = asked(entry(shots=5), root=root)
        assert all(prompt.count("Does the text") == 4 for prompt in prompts(found)[0]), "three rows are there"
        assert found[0][0].sets[0].eval_set.pruned_exemplars == 4

    def test_a_suite_may_set_its_own_room(self, root: Path) -> None:
        found = asked(entry(shots=2, exemplar_rows="first", max_input_tokens=20), root=root)
        ((one,),) = (each.sets for each in found[0])
        assert (one.eval_set.pruned_exemplars, one.eval_set.max_input_tokens) == (4, 20)

    def test_exemplars_show_their_reasoning_where_it_is_asked_for(self) -> None:
        plain, reasoned = (
            entry("mini/chain", shots=1, exemplar_rows="first", limit=1, thought=thought, mode="cot")
            for thought in ("trigger", "rationale")
        )
        ((one,), (other,)) = prompts(asked(plain, reasoned))
        rationale = other.split("\n\n\n")[0].split("\n\n")[1]
        assert "the answer is" in rationale.lower() and "the answer is" not in one.lower()
        assert other.endswith("\n\n") and MODES["cot"].trigger in other.split("\n\n\n")[1]


PUBLISHED = """Say yes or no.

Q: Is it wet?
A: Let's think step by step.
It rains. So the answer is yes.

Q: Is it dry?
A: Let's think step by step.
It rains. So the answer is no.
"""


class TestPublished:
    @pytest.fixture
    def bbh(self, tmp_path: Path) -> Path:
        (tmp_path / "bbh/cot-prompts").mkdir(parents=True)
        (tmp_path / "bbh/cot-prompts/navigate.txt").write_text(PUBLISHED)
        write(tmp_path / "bbh/navigate/test.jsonl", [{"input": "Take 1 step.", "target": "No"}])
        return tmp_path

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {"splits": ("test",), "shots": 2, "exemplars": "published", **changes}

    def test_their_text_stands_to_the_byte_with_their_reasoning_or_without(self, bbh: Path) -> None:
        direct = entry("bbh/navigate", **self.settings())
        reasoned = entry("bbh/navigate", ["q"], **self.settings(mode="cot", shots=1))
        ((one,), (other,)) = prompts(asked(direct, reasoned, root=bbh))
        assert one == (
            "Say yes or no.\n\nQ: Is it wet?\nA: yes\n\nQ: Is it dry?\nA: no\n\nQ: Take 1 step.\nA:"
        )
        assert other == (
            f"{PUBLISHED.partition(chr(10) + 'Q: Is it dry?')[0]}\n"
            "Q: Take 1 step.\nA: Let's think step by step."
        )

    def test_more_than_were_published_are_counted(self, bbh: Path) -> None:
        found = asked(entry("bbh/navigate", **self.settings(shots=5)), root=bbh)
        assert [each.eval_set.pruned_exemplars for each in found[0][0].sets] == [3]

    def test_where_their_file_is_not_there_the_task_is_missing(self, bbh: Path) -> None:
        (bbh / "bbh/cot-prompts/navigate.txt").unlink()
        asked_for = entry("bbh/navigate", **self.settings())
        found, (missing,) = asked(asked_for, root=bbh, strict=False)
        assert found == () and missing.entry == asked_for
        assert str(missing).startswith("bbh/navigate: there is no such file of exemplars:")
        with pytest.raises(DataError, match="no such file of exemplars"):
            asked(asked_for, root=bbh)

    def test_a_task_that_has_none_is_refused_though_much_may_be_missing(self, root: Path) -> None:
        with pytest.raises(UsageError, match="no file of exemplars was published .*: glue/rte"):
            asked(entry(shots=2, exemplars="published"), root=root, strict=False)


def nested(*settings: dict[str, Any]) -> Suite:
    """A suite of suites, each of which asks RTE in its way."""
    inner = [
        Suite(f"s{n}", (SuitePart("rte", ((SuiteTask("glue/rte", SuiteSettings(**each)),),)),))
        for n, each in enumerate(settings)
    ]
    return Suite("both", tuple(SuitePart(f"part {n}", suite=each) for n, each in enumerate(inner)))


class TestNames:
    def names(self, suite: Suite, root: Path) -> list[str]:
        found, _ = asked(*suite_entries(suite), root=root)
        return [each.eval_set.name for one in found for each in one.sets]

    def test_sets_of_one_name_bear_the_titles_of_their_parts(self, root: Path) -> None:
        assert self.names(nested({}, {"shots": 1}), root) == [
            "glue/rte#fusionbench/validation (part 0, rte)",
            "glue/rte#fusionbench/validation (part 1, rte)",
        ]

    def test_others_keep_theirs(self, root: Path) -> None:
        named = nested({"templates": "all"}, {"templates": "reading_test"})
        found = self.names(named, root)
        assert found.count("glue/rte#reading_test/validation (part 0, rte)") == 1
        assert found[-1] == "glue/rte#reading_test/validation (part 1, rte)"
        assert "glue/rte#fusionbench/validation" in found and len(set(found)) == len(found) == 9
        assert self.names(nested({}, {"splits": ("train",)}), root) == [
            "glue/rte#fusionbench/validation",
            "glue/rte#fusionbench/train",
        ]

    def test_titles_come_before_label_words(self, root: Path) -> None:
        words = {"words": ((("yes", "agree"),), ())}
        assert self.names(nested(words, words), root) == [
            "glue/rte#fusionbench/validation (part 0, rte, yes=agree)",
            "glue/rte#fusionbench/validation (part 0, rte)",
            "glue/rte#fusionbench/validation (part 1, rte, yes=agree)",
            "glue/rte#fusionbench/validation (part 1, rte)",
        ]

    def test_every_built_in_suite_names_an_entry_once(self) -> None:
        entries = suite_entries(load_suite("flan2022"))
        assert len({(each.path, each.name) for each in entries}) == len(set(entries)) == len(entries) == 186
        assert len({each.task for each in entries}) < 186, "some are asked twice"


class TestSets:
    def test_a_set_a_template_and_set_of_words(self, root: Path) -> None:
        words = ((("yes", "agree"), ("no", "disagree")), (("yes", "right"),))
        found, _ = asked(entry(templates="all", words=words, mode="rank"), root=root)
        ((first, *others),) = (each.sets for each in found)
        templates = list(load_task("glue/rte").plain_templates)
        assert [each.eval_set.template for each in (first, *others)] == templates * 2
        assert first.eval_set.label == "yes=agree, no=disagree"
        assert first.eval_set.words == {"yes": "agree", "no": "disagree"}
        assert first.eval_set.examples[0].inputs.endswith("Provide 'agree' or 'disagree'.")
        assert [e.targets for e in others[-1].eval_set.examples] == ["right", "no"]
        (alone,) = asked(entry(words=words[:1]), root=root)[0][0].sets
        assert alone.eval_set.label == "", "there is nothing to tell it from"

    def test_a_title_is_a_label(self, root: Path) -> None:
        found, _ = asked(entry(title="once more"), root=root)
        assert found[0].sets[0].eval_set.name == "glue/rte#fusionbench/validation (once more)"

    def test_the_first_of_the_splits_whose_rows_are_there(self, root: Path) -> None:
        for splits, taken in (
            (("validation", "train"), "validation"),
            (("train", "validation"), "train"),
            (("test", "validation"), "validation"),
        ):
            found, _ = asked(entry(splits=splits), root=root)
            assert found[0].sets[0].eval_set.split == taken
        (root / "glue/rte/train.jsonl").unlink()
        found, _ = asked(entry(splits=("train", "validation")), root=root)
        assert found[0].sets[0].eval_set.split == "validation"
        with pytest.raises(DataError, match="there is no split 'train'"):
            asked(entry(splits=("train",)), root=root)
        with pytest.raises(UsageError, match="unknown split 'dev'"):
            asked(entry(splits=("dev",)), root=root, strict=False)

    def test_of_a_limit_so_many_rows_are_asked(self, root: Path) -> None:
        assert [
            len(each) for each in prompts(asked(entry(limit=1), entry(limit=9, path=("q",)), root=root))
        ] == [
            1,
            2,
        ]

    def test_the_flipped_form_rides_along_where_it_is_ranked(self, root: Path) -> None:
        flipped, rank = asked(entry(mode="flipped"), entry(mode="rank", path=("q",)), root=root)[0]
        (each,) = flipped.sets
        assert [len(form.under) for form in each.eval_set.flipped] == [2, 2]
        assert rank.sets[0].eval_set.flipped == ()
        assert each.eval_set.mode == MODES["flipped"]

    def test_what_cannot_be_ranked_is_refused_before_any_model_is_opened(self) -> None:
        with pytest.raises(DataError, match="no options for mode 'rank' to rank"):
            asked(entry("mini/stsb", mode="rank", limit=1), strict=False)
        found, _ = asked(entry("mini/stsb", mode="flan", limit=1))
        assert len(found[0].sets[0].eval_set.examples) == 1

    def test_templates_without_a_question_for_any_row_are_an_error(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ramekin.recipes.evaluations.asking.render_or_skip", lambda *_, **__: None)
        with pytest.raises(DataError, match="there are no rows: .*glue/rte#fusionbench"):
            asked(entry(), root=root, strict=False)


class TestMissing:
    def test_it_is_told_with_its_reason_and_the_others_are_asked(self, root: Path) -> None:
        gone = entry("mgsm/en", splits=("test",))
        found, (missing,) = asked(gone, entry(), root=root, strict=False)
        assert [one.entry.task for one in found] == ["glue/rte"]
        assert missing.entry == gone and str(missing).startswith("mgsm/en: ")
        assert str(root / "mgsm/en/test") in missing.reason

    def test_so_is_a_task_whose_exemplars_are_not_there(self, tmp_path: Path) -> None:
        row = {"question": "1 + 1?", "answer": None, "answer_number": 2, "equation_solution": None}
        write(tmp_path / "mgsm/en/test.jsonl", [row])
        shown = entry("mgsm/en", splits=("test",), shots=8, exemplar_rows="first")
        found, (missing,) = asked(shown, root=tmp_path, strict=False)
        assert found == ()
        assert missing.reason.startswith("there is no split 'train': ")
        with pytest.raises(DataError, match="there is no split 'train'"):
            asked(shown, root=tmp_path)
        found, _ = asked(entry("mgsm/en", splits=("test",)), root=tmp_path)
        assert len(found[0].sets) == 1

    def test_a_bad_row_is_not_missing_data(self, root: Path) -> None:
        write(root / "glue/rte/validation.jsonl", rte_rows([("a", "b", 7)]))
        with pytest.raises(DataError) as caught:
            asked(entry(), root=root, strict=False)
        assert caught.value.kind != "missing-data"


class TestUnfit:
    @pytest.mark.parametrize(
        ("task", "settings", "message"),
        [
            ("glue/rte", {"mode": "flipped", "shots": 1}, "'flipped' scores a prompt.*no room for exemplars"),
            (
                "glue/rte",
                {"mode": "channel", "shots": 1},
                "'channel' scores a prompt.*glue/rte; fix: shots=0",
            ),
            (
                "glue/rte",
                {"metric": "perplexity"},
                "'generate' and the metric 'perplexity' do not go together",
            ),
            ("glue/rte", {"mode": "perplexity", "metric": "accuracy"}, "'accuracy' do not go together"),
            ("glue/rte", {"words": ((("yess", "agree"),),)}, "unknown option 'yess': did you mean 'yes'"),
            ("mini/stsb", {"words": ((("yes", "agree"),),)}, "only the options of a task"),
            ("glue/rte", {"shots": 1, "thought": "rationale"}, "no reasoning to show: glue/rte"),
            (
                "bbh/navigate",
                {"shots": 1, "exemplars": "published", "words": ((("Yes", "agree"),),), "splits": ("test",)},
                "published exemplars have the task's own options",
            ),
            ("glue/rte", {"templates": "fusionbnch"}, "did you mean 'fusionbench'"),
            ("glue/rte", {"shots": 1, "exemplar_split": "dev"}, "unknown split 'dev'"),
        ],
    )
    def test_settings_that_a_task_cannot_follow(
        self, root: Path, task: str, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            asked(entry(task, **settings), root=root, strict=False)

    def test_no_words_of_several_are_the_tasks_own(self, root: Path) -> None:
        assert len(asked(entry(words=((),)), root=root)[0][0].sets) == 1


class TestModeOf:
    def test_of_a_suite(self) -> None:
        rte, near = load_task("glue/rte"), load_task("glue/stsb")
        settings = SuiteSettings("t0", text_mode="generate", max_new_tokens=16)
        assert mode_of(rte, settings, {}) == MODES["t0"], "nothing is written"
        assert mode_of(near, settings, {}).name == "generate(max_new_tokens=16)"

    def test_what_a_user_changes_comes_last(self) -> None:
        settings = SuiteSettings("generate", max_new_tokens=16)
        found = mode_of(load_task("glue/rte"), settings, {"max_new_tokens": 4, "num_beams": 2})
        assert (found.max_new_tokens, found.num_beams) == (4, 2)
        assert found.name == "generate(max_new_tokens=4, num_beams=2)"


def test_the_room_of_exemplars_is_without_the_end_mark(root: Path) -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 99

    found = asked(entry(shots=1), root=root, max_input_tokens=99, count_tokens=count)
    assert found[0][0].sets[0].eval_set.pruned_exemplars == 2 and counted
    found = asked(entry(shots=1), root=root, max_input_tokens=100, count_tokens=count)
    assert found[0][0].sets[0].eval_set.pruned_exemplars == 0


class TestTemplatesThatAskNothing:
    """Templates of promptsource's leave rows out; one may leave all of them out."""

    @pytest.fixture
    def clone(self, tmp_path: Path) -> Path:
        folder = tmp_path / "clone/promptsource/templates/glue/rte"
        folder.mkdir(parents=True)
        jinja = {
            "asks": "{{sentence1}} or not? ||| {{answer_choices[label]}}",
            "silent": "{% if label > 6 %}x ||| y{% endif %}",
        }
        written = "".join(
            f"  {name}: !Template {{name: {name}, answer_choices: 'yes ||| no', jinja: '{text}', "
            f"metadata: !TemplateMetadata {{original_task: true}}}}\n"
            for name, text in jinja.items()
        )  # fmt: skip
        (folder / "templates.yaml").write_text(f"dataset: glue\nsubset: rte\ntemplates:\n{written}")
        return tmp_path / "clone"

    def test_the_others_are_asked(self, root: Path, clone: Path) -> None:
        places = Places(root, (clone,))
        found = asked(entry("p3/glue.rte", templates="all", splits=("validation",)), places=places)
        assert prompts(found) == [[f"{first} or not?" for first, *_ in ASKED]]

    def test_where_none_asks_anything_that_is_an_error(self, root: Path, clone: Path) -> None:
        with pytest.raises(DataError, match="there are no rows: .*p3/glue.rte#silent"):
            asked(entry("p3/glue.rte", templates="silent"), places=Places(root, (clone,)))
