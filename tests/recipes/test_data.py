"""Tasks by name to rendered examples: which rows, which templates, and what becomes of rows that do not fit."""

import json
from pathlib import Path

import pytest

from ramekin.errors import DataError
from ramekin.evaluate.mode import MODES
from ramekin.recipes.data import TaskExamples, evaluation_sets, read_task, template_names, training_examples
from ramekin.recipes.places import Places
from ramekin.sources.rows import BadRows
from ramekin.text.render import PLAIN, Style
from ramekin.train.objectives.recipe import ObjectiveRecipe

TASK = """
source: {local: own/wet, obtain: made here, splits: {train: train, validation: "train[-2:]"}}
columns: {text: any, label: integer}
kind: classification
options: ["no", "yes"]
answer: label
keep: label != -1
metrics: [accuracy]
templates:
  ask: "Wet? {{ text }} ||| {{ answer }}"
  say: "{{ text }}. Is it wet? ||| {{ answer }}"
turned_around:
  write: "Write of something for which 'wet' is answered by {{ answer }}. ||| {{ text }}"
"""
ROWS = [("rain", 1), ("sun", 0), ("fog", -1), (None, 0), ("snow", 1), ("dust", 0)]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "tasks" / "own").mkdir(parents=True)
    (tmp_path / "tasks" / "own" / "wet.yaml").write_text(TASK)
    (tmp_path / "own" / "wet").mkdir(parents=True)
    lines = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (tmp_path / "own" / "wet" / "train.jsonl").write_text("\n".join(lines) + "\n")
    return Places(data_root=tmp_path, tasks_root=(tmp_path / "tasks",), bad_rows=BadRows("skip"))


def test_rows_that_are_not_the_tasks_are_left_out_and_keep_their_places(places: Places) -> None:
    (found,) = read_task("own/wet", split="train", templates="first", limit=None, places=places)
    assert [e.provenance.row for e in found.examples] == [0, 1, 4, 5]
    assert [e.inputs for e in found.examples] == ["Wet? rain", "Wet? sun", "Wet? snow", "Wet? dust"]
    assert (found.left_out, found.skipped) == (1, 1)


def test_a_missing_value_is_named_and_never_rendered_as_none(places: Places) -> None:
    strict = Places(places.data_root, places.tasks_root)
    with pytest.raises(DataError, match="prints a missing value.*own/wet#ask/train/3") as caught:
        read_task("own/wet", split="train", templates="first", limit=None, places=strict)
    assert "wet.yaml:10" in str(caught.value)


def test_what_cannot_be_rendered_goes_to_the_quarantine_with_its_reason(
    places: Places, tmp_path: Path
) -> None:
    aside = tmp_path / "aside.jsonl"
    quarantined = Places(
        places.data_root, places.tasks_root, bad_rows=BadRows("quarantine", quarantine=aside)
    )
    (found,) = read_task("own/wet", split="train", templates="first", limit=None, places=quarantined)
    (entry,) = map(json.loads, aside.read_text().splitlines())
    assert found.skipped == 1
    assert "missing value" in entry["reason"] and "own/wet#ask/train/3" in entry["where"]


def test_a_limit_is_of_the_rows_that_are_the_tasks(places: Places) -> None:
    few, more = (
        {
            e.provenance.row
            for e in read_task("own/wet", split="train", templates="first", limit=n, places=places)[
                0
            ].examples
        }
        for n in (2, 4)
    )
    assert few <= more and 2 not in more


def test_a_part_of_a_split(places: Places) -> None:
    (found,) = read_task("own/wet", split="validation", templates="first", limit=None, places=places)
    assert [e.inputs for e in found.examples] == ["Wet? snow", "Wet? dust"]
    assert found.records.origin.endswith("train.jsonl[-2:]")


def test_all_means_the_plain_ones_in_evaluation_and_every_one_in_training(places: Places) -> None:
    sets = read_task("own/wet", split="validation", templates="all", limit=None, places=places)
    assert [each.template for each in sets] == ["ask", "say"]
    (mixed,) = training_examples(["own/wet"], split="train", templates="all", limit=None, places=places)
    assert [e.provenance.template for e in mixed.examples] == ["ask", "say", "say", "write"]
    assert mixed.examples[-1].targets == "dust" and mixed.examples[-1].options == ()
    assert template_names(sets[0].task, "say") == ("say",)


def test_the_style_reaches_the_prompt(places: Places) -> None:
    style = Style(words={"yes": "aye"})
    (found,) = read_task("own/wet", split="train", templates="say", limit=None, places=places, style=style)
    assert [e.targets for e in found.examples] == ["aye", "no", "aye", "no"]


def test_a_template_that_names_what_is_not_there_is_refused_before_any_row(places: Places) -> None:
    path = places.tasks_root[0] / "own" / "dry.yaml"
    path.write_text(TASK.replace("Wet? {{ text }}", "Wet? {{ txt }}"))
    with pytest.raises(DataError, match="unknown field 'txt': did you mean 'text'") as caught:
        read_task("own/dry", split="train", templates="first", limit=None, places=places)
    assert f"{path}:10" in str(caught.value)


def test_a_split_without_a_row_of_the_task(places: Places) -> None:
    path = places.tasks_root[0] / "own" / "none.yaml"
    path.write_text(TASK.replace("label != -1", "label == 7"))
    with pytest.raises(DataError, match="no rows of this task: own/none train: got .*6 rows of others"):
        read_task("own/none", split="train", templates="first", limit=None, places=places)


def sets(places: Places, mode: str, *, templates: str = "first", style: Style = PLAIN):
    return evaluation_sets(
        ["own/wet"],
        split="train",
        templates=templates,
        limit=None,
        places=places,
        mode=MODES[mode],
        style=style,
    )


def test_a_flipped_mode_gets_the_flipped_form_of_each_example(places: Places) -> None:
    (plain,) = sets(places, "rank")
    assert (plain.flipped, plain.words) == ((), {})
    found = sets(places, "flipped", templates="all", style=Style(words={"yes": "aye"}))
    assert [each.template for each in found] == ["ask", "say"]
    for each in found:
        assert [e.targets for e in each.examples] == ["aye", "no", "aye", "no"]
        assert [form.example.provenance for form in each.flipped] == [e.provenance for e in each.examples]
        assert each.words == {"yes": "aye"}
    assert found[0].flipped[0].under == (
        "input: <extra_id_0> rain\noutput: no",
        "input: <extra_id_0> rain\noutput: aye",
    )
    assert found[1].flipped[1].example.targets == "<extra_id_0> . Is it wet?"


def test_a_mode_that_wants_reasoning_asks_for_it(places: Places) -> None:
    def inputs(mode: str, templates: str) -> list[str]:
        sets = evaluation_sets(
            ["own/wet"],
            split="validation",
            templates=templates,
            limit=None,
            places=places,
            mode=MODES[mode],
        )
        return [example.inputs for each in sets for example in each.examples]

    plain = inputs("generate", "all")
    assert len(plain) == 4
    assert inputs("cot", "all") == [f"{text}\nLet's think step by step." for text in plain]
    assert inputs("cot", "write") == inputs("generate", "write")


def test_a_preview_shows_what_is_ranked(places: Places) -> None:
    (plain,) = sets(places, "rank")
    assert plain.preview() == plain.preview(MODES["generate"])
    assert plain.preview(MODES["rank"])[2:] == [
        "    inputs Wet? rain",
        "    options no | yes",
        "    target yes",
    ]
    (turned,) = sets(places, "flipped")
    assert turned.preview(MODES["flipped"])[2:] == [
        "    inputs input: <extra_id_0> rain\noutput: no",
        "    inputs input: <extra_id_0> rain\noutput: yes",
        "    instruction <extra_id_0> Wet?",
        "    target yes",
    ]


@pytest.mark.parametrize("mode", ["rank", "flipped"])
def test_a_row_that_cannot_be_ranked_is_a_bad_row(places: Places, mode: str) -> None:
    pick = TASK.replace('["no", "yes"]', "choices").replace("classification", "multiple_choice")
    pick = pick.replace("label: integer}", "label: integer, choices: list}").replace("own/wet", "own/pick")
    (places.tasks_root[0] / "own" / "pick.yaml").write_text(pick)
    assert places.data_root is not None
    (places.data_root / "own" / "pick").mkdir()
    rows = [
        {"text": "rain", "label": n, "choices": [] if n == 1 else ["dry", "wet", "hot"]} for n in range(3)
    ]
    (places.data_root / "own" / "pick" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")

    def found(places: Places):
        return evaluation_sets(
            ["own/pick"], split="train", templates="first", limit=None, places=places, mode=MODES[mode]
        )

    with pytest.raises(DataError, match=f"no options for mode '{mode}' to rank.*train/1.*use mode=generate"):
        found(Places(places.data_root, places.tasks_root))
    (skipping,) = found(places)
    assert ([e.targets for e in skipping.examples], skipping.skipped) == (["dry", "hot"], 1)
    assert len(skipping.flipped) == (2 if mode == "flipped" else 0)


class TestWhatIsLearned:
    FLIPPED = ObjectiveRecipe(name="flipped")

    @staticmethod
    def examples(
        places: Places, objective: ObjectiveRecipe, *, templates: str = "ask", seed: int = 0
    ) -> TaskExamples:
        (found,) = training_examples(
            ["own/wet"],
            split="train",
            templates=templates,
            limit=None,
            places=places,
            objective=objective,
            seed=seed,
        )
        return found

    def test_channel_is_turned(self, places: Places) -> None:
        found = self.examples(places, ObjectiveRecipe(name="channel"))
        assert [(e.inputs, e.targets) for e in found.examples[:2]] == [
            ("yes", "Wet? rain"),
            ("no", "Wet? sun"),
        ]
        assert found.not_flipped == 0

    def test_flipped_has_right_and_wrong_inputs(self, places: Places) -> None:
        first = self.examples(places, self.FLIPPED).examples[0]
        assert first.inputs == "input: <extra_id_0> rain\noutput: yes"
        assert first.wrong_inputs == "input: <extra_id_0> rain\noutput: no"
        assert first.targets == "<extra_id_0> Wet?"

    def test_without_unlikelihood_there_are_no_wrong_inputs(self, places: Places) -> None:
        without = ObjectiveRecipe(name="flipped", unlikelihood_weight=0.0)
        plain, both = self.examples(places, without), self.examples(places, self.FLIPPED)
        assert [e._replace(wrong_inputs="") for e in both.examples] == list(plain.examples)

    def test_templates_that_are_turned_around_are_for_the_direct_objective_alone(
        self, places: Places
    ) -> None:
        names = {
            o.name: {e.provenance.template for e in self.examples(places, o, templates="all").examples}
            for o in (ObjectiveRecipe(), ObjectiveRecipe(name="channel"), self.FLIPPED)
        }
        assert names["direct"] == {"ask", "say", "write"}
        assert names["channel"] == names["flipped"] == {"ask", "say"}

    def test_rows_that_cannot_be_flipped_are_left_out_and_counted(
        self, places: Places, tmp_path: Path
    ) -> None:
        bare = TASK.replace("turned_around:", '  bare: "{{ text }} ||| {{ answer }}"\nturned_around:')
        (tmp_path / "tasks" / "own" / "wet.yaml").write_text(bare)
        found = self.examples(places, self.FLIPPED, templates="all")
        rendered = self.examples(places, ObjectiveRecipe(name="channel"), templates="all").examples
        left_out = [e for e in rendered if e.provenance.template == "bare"]
        assert found.not_flipped == len(left_out) > 0
        assert len(found.examples) == len(rendered) - len(left_out)
        assert f"{found.not_flipped} left out that cannot be flipped" in found.preview()[0]

    def test_nothing_to_learn_is_an_error_with_the_reason(self, places: Places) -> None:
        with pytest.raises(
            DataError, match="'flipped' cannot be learned from any row.*own/wet#write.*no options"
        ):
            self.examples(places, self.FLIPPED, templates="write")

    def test_the_seed_draws_the_wrong_labels(self, places: Places, tmp_path: Path) -> None:
        many = TASK.replace('["no", "yes"]', json.dumps(["no", "yes", *"abcdefgh"]))
        (tmp_path / "tasks" / "own" / "wet.yaml").write_text(many)
        drawn = [
            tuple(e.wrong_inputs for e in self.examples(places, self.FLIPPED, seed=seed).examples)
            for seed in (0, 0, 1)
        ]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_preview_shows_both_inputs_and_the_target(self, places: Places) -> None:
        shown = self.examples(places, self.FLIPPED).preview()
        assert [line.split()[0] for line in shown[2:]] == ["inputs", "wrong", "target"]
