"""Flipped and channel forms: the layout byte for byte, and that nothing of a prompt is lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.catalog import Catalog
from ramekin.errors import DataError
from ramekin.text.example import Example, Provenance
from ramekin.text.flip import channel, ending, flipped, taught, wrong_label
from ramekin.text.render import Style, render_spans
from ramekin.text.strict_yaml import parse_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import parse_task
from ramekin.text.template import Rendered, Span

FILM = """
source: {hub: org/film, splits: {train: train}}
columns: {title: string, text: string, label: integer}
kind: classification
options: [bad, good]
answer: label
metrics: [accuracy]
templates:
  both: "Title: {{ title }} Review: {{ text }} Is it good? ||| {{ answer }}"
  before: "Is this a good film? {{ text }} ||| {{ answer }}"
  after: "{{ text }} Is that praise? ||| {{ answer }}"
  quoted: 'The film "{{ title }}": "{{ text }}". Was it liked? ||| {{ answer }}'
  listed: "{{ text }}\\n\\nWhich is it?\\n{{ options_ }} ||| {{ answer }}"
  nothing: "{{ title }}: {{ text }} ||| {{ answer }}"
turned_around:
  write: "Write something {{ answer }}. ||| {{ text }}"
"""
ROW = {"title": "Rain", "text": "a dull film", "label": 0}
WHERE = Provenance("t", "a", "train", 0)


def film() -> Task:
    return parse_task("toy/film", parse_document(FILM, where="film.yaml"), where="film.yaml")


def flip(template: str, **row: object):
    return flipped(*render_spans(film(), {**ROW, **row}, template=template, split="train", row=0))


def put_back(inputs: str, targets: str) -> str:
    """The prompt that a flipped example is of, without white space."""
    body = re.fullmatch(r"input: (.*)\noutput: .*", inputs, re.S)[1]
    stretches = re.split(r"<extra_id_\d+>", targets)[1:]
    filled = re.sub(r"<extra_id_(\d+)>", lambda found: stretches[int(found[1])], body)
    return "".join(filled.split())


@pytest.mark.parametrize(
    ("template", "inputs", "targets"),
    [
        ("before", "input: <extra_id_0> a dull film\noutput: bad", "<extra_id_0> Is this a good film?"),
        ("after", "input: a dull film<extra_id_0>\noutput: bad", "<extra_id_0> Is that praise?"),
        (
            "both",
            "input: <extra_id_0> Rain<extra_id_1> a dull film<extra_id_2>\noutput: bad",
            "<extra_id_0> Title: <extra_id_1> Review: <extra_id_2> Is it good?",
        ),
        (
            "listed",
            "input: a dull film<extra_id_0> OPTIONS:\n- bad\n- good\noutput: bad",
            "<extra_id_0> Which is it?",
        ),
    ],
)
def test_the_published_layout(template: str, inputs: str, targets: str) -> None:
    found = flip(template).example
    assert (found.inputs, found.targets) == (inputs, targets)
    assert (found.options, found.answer, found.references) == (("bad", "good"), "bad", ())


def test_text_before_and_after_the_record() -> None:
    """FLIPPED's own: `input: <extra_id_0> {x}<extra_id_1>` and the instruction on both sides."""
    spans = (Span("Review:", "instruction"), Span("{x}", "field", ("x",)), Span(" Good?", "instruction"))
    example = Example("Review:{x} Good?", "no", ("yes", "no"), WHERE)
    found = flipped(Rendered(spans, ()), example)
    assert found.under == (
        "input: <extra_id_0> {x}<extra_id_1>\noutput: yes",
        "input: <extra_id_0> {x}<extra_id_1>\noutput: no",
    )
    assert found.example.inputs == found.inputs_under("no") and found.inputs_under("yes") == found.under[0]
    assert found.example.targets == "<extra_id_0> Review: <extra_id_1> Good?"


def test_marks_between_two_texts_are_no_instruction() -> None:
    found = flip("quoted").example
    assert found.inputs == 'input: <extra_id_0> Rain": "a dull film<extra_id_1>\noutput: bad'
    assert found.targets == '<extra_id_0> The film " <extra_id_1> ". Was it liked?'


@pytest.mark.parametrize(
    ("template", "row", "words"),
    [
        ("nothing", {}, "expected 1 to 100 stretches of instruction, got 0"),
        ("write", {}, "answer is among options.*got no options"),
        ("both", {"text": "see <extra_id_3>"}, "holds a sentinel.*got <extra_id_3>"),
    ],
)
def test_what_cannot_be_flipped(template: str, row: dict, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        flip(template, **row)
    assert f"toy/film#{template}/train/0" in str(caught.value)


def test_more_stretches_than_sentinels() -> None:
    spans = tuple(Span(t, k) for _ in range(101) for t, k in ((" word ", "instruction"), ("x", "field")))
    example = Example("…", "yes", ("yes", "no"), WHERE)
    assert flipped(Rendered(spans[2:], ()), example).example.targets.endswith("<extra_id_99> word")
    with pytest.raises(DataError, match="got 101"):
        flipped(Rendered(spans, ()), example)


def test_channel_goes_from_the_label_to_the_whole_prompt() -> None:
    example = Example("Good? a dull film", "no", ("yes", "no"), WHERE, references=("no", "nope"))
    found = channel(example)
    assert (found.inputs, found.targets) == ("no", "Good? a dull film")
    assert (found.options, found.references, found.answer) == ((), (), "")


def test_where_fields_are_in_a_prompt_says_nothing_of_its_turned_forms() -> None:
    style = Style(mark_fields=True)
    spans, marked = render_spans(film(), ROW, split="train", row=0, style=style)
    assert marked.fields
    plain = marked._replace(fields=())
    assert channel(marked) == channel(plain) and flipped(spans, marked) == flipped(spans, plain)
    assert taught(spans, marked, "direct", 0) == marked


class TestWrongLabel:
    def test_never_the_right_one_and_each_other_one(self) -> None:
        example = Example("x", "b", ("a", "b", "c"), WHERE)
        drawn = [wrong_label(example, 0, row) for row in range(200)]
        assert set(drawn) == {"a", "c"} and 60 < drawn.count("a") < 140
        assert drawn == [wrong_label(example, 0, row) for row in range(200)]

    def test_of_a_flipped_example_the_label_is_kept_apart(self) -> None:
        assert wrong_label(flip("both").example, "key") == "good"

    def test_without_another_label(self) -> None:
        with pytest.raises(DataError, match="no wrong label"):
            wrong_label(Example("x", "a", ("a",), WHERE))


class TestTaught:
    @staticmethod
    def of(objective: str, *key: object, template: str = "both") -> Example:
        return taught(*render_spans(film(), ROW, template=template, split="train", row=0), objective, *key)

    def test_direct_is_the_example_itself_and_channel_its_turn(self) -> None:
        _, example = render_spans(film(), ROW, template="write", split="train", row=0)
        assert self.of("direct", template="write") == example
        assert self.of("channel", template="write") == channel(example)

    def test_flipped_has_the_inputs_under_a_wrong_label_too(self) -> None:
        example = self.of("flipped", 0, "row")
        form = flip("both").example
        assert example == form._replace(wrong_inputs=example.wrong_inputs, wrong_ending="output: good")
        assert example.ending == "output: bad"
        assert example.inputs.endswith("\noutput: bad") and example.wrong_inputs.endswith("\noutput: good")
        assert example.wrong_inputs.removesuffix("good") == example.inputs.removesuffix("bad")

    def test_the_wrong_label_is_drawn_by_the_key(self) -> None:
        options = tuple("abcdef")
        spans = Rendered((Span("Which? ", "instruction"), Span("x", "field")), ())
        example = Example("Which? x", "c", options, WHERE)
        drawn = [taught(spans, example, "flipped", 0, row).wrong_inputs[-1] for row in range(200)]
        assert set(drawn) == set(options) - {"c"}
        assert drawn == [taught(spans, example, "flipped", 0, row).wrong_inputs[-1] for row in range(200)]
        assert drawn != [taught(spans, example, "flipped", 1, row).wrong_inputs[-1] for row in range(200)]

    def test_what_cannot_be_flipped_is_an_error(self) -> None:
        with pytest.raises(DataError, match="got no options"):
            self.of("flipped", template="write")
        spans = Rendered((Span("Which? ", "instruction"),), ())
        with pytest.raises(DataError, match="no wrong label"):
            taught(spans, Example("Which?", "a", ("a",), WHERE), "flipped")


WORDS = st.text(st.sampled_from("ab?,. \n"), max_size=6)


@given(
    st.lists(st.tuples(WORDS, st.sampled_from(["instruction", "field", "options"])), min_size=1, max_size=8)
)
def test_filling_the_sentinels_gives_the_prompt_back(drawn: list) -> None:
    spans = tuple(Span(text, kind) for text, kind in drawn)
    example = Example("x", "yes", ("yes", "no"), WHERE)
    try:
        found = flipped(Rendered(spans, ()), example)
    except DataError:
        assert not any(re.search(r"\w", s.text) for s in spans if s.kind == "instruction")
        return
    for inputs in found.under:
        assert put_back(inputs, found.example.targets) == "".join("".join(s.text for s in spans).split())
    words = "".join(s.text for s in spans if s.kind != "instruction")
    assert not set(re.findall(r"[^\W\d]", words)) - set(found.example.inputs), "the record's words stay"


def test_every_built_in_prompt_whose_answer_is_among_options_flips() -> None:
    count = 0
    for task in Catalog().values():
        for name, template in task.templates.items():
            if task.sample is None or template.turned or task.kind in ("number", "text"):
                continue
            for style in (Style(), Style(options="items", option_order="drawn")):
                rendered, example = render_spans(
                    task, task.sample, template=name, split="sample", row=0, style=style
                )
                found = flipped(rendered, example)
                count += 1
                whole = "".join(example.inputs.split())
                assert put_back(found.example.inputs, found.example.targets) == whole, (
                    found.example.provenance
                )
                assert found.example.inputs.endswith(f"\noutput: {example.targets}")
    assert count > 2500


def test_every_input_ends_with_its_label_on_a_line_of_its_own():
    form = flip("both")
    assert [text.rpartition("\n")[2] for text in form.under] == [ending("bad"), ending("good")]
    assert ending("good") == "output: good"
