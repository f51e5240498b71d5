"""Tasks from YAML: members, fields, borrowed templates, and errors with their lines."""

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.text.reading import belongs, read_record
from ramekin.text.render import render
from ramekin.text.strict_yaml import parse_document
from ramekin.text.task import Task
from ramekin.text.task_yaml import check_template, known_names, member_names, parse_task

WET = """\
description: Is it wet?
source: {hub: org/wet, local: wet, splits: {train: train}}
columns: {text: string, label: integer, words: any}
kind: classification
options: ["no", "yes"]
answer: label
metrics: [accuracy]
templates:
  ask: "Wet? {{ text }} ||| {{ answer }}"
  short: |-
    {{ text }}
    {{ options_ }} ||| {{ answer }}
turned_around:
  write: "Write {{ answer }}. ||| {{ text }}"
"""
ROW = {"text": "rain", "label": 1, "words": ["a", "b"]}

MEMBERS = """\
each:
  cat: {animal: cat, title: the cat}
  dog: {animal: dog, title: the dog, sound: bow wow}
description: About $title
source: {hub: org/zoo, name: $animal, local: zoo/$animal, splits: {test: test_$animal}}
columns: {text: string, kind_of: string}
fields: {about: text ~ ' $animal'}
keep: kind_of == '$animal'
kind: text
answer: "'$title'"
language: en
metrics: [rouge1]
templates:
  ask: "$animal costs $5, {{ animal }}: {{ about }} ||| {{ answer }}"
sample: {text: $title, kind_of: $animal, prices: [$none]}
"""


def wet(text: str = WET, *pairs: tuple[str, str], **others) -> Task:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return parse_task("toy/wet", parse_document(text, where="wet.yaml"), where="wet.yaml", **others)


def member(name: str, *pairs: tuple[str, str]) -> Task:
    text = MEMBERS
    for old, new in pairs:
        text = text.replace(old, new)
    document = parse_document(text, where="_zoo.yaml")
    return parse_task(
        f"zoo/{name}", document, where="_zoo.yaml", member=member_names(document, where="_zoo.yaml")[name]
    )


def problem(*pairs: tuple[str, str], text: str = WET) -> str:
    with pytest.raises(DataError) as caught:
        wet(text, *pairs)
    return str(caught.value)


class TestMembers:
    def test_what_a_member_says_stands_in_source_texts_and_expressions(self) -> None:
        task = member("cat")
        assert (task.description, task.source.name, task.source.local) == ("About the cat", "cat", "zoo/cat")
        assert task.source.splits == {"test": "test_cat"}
        assert [belongs(task, {"text": "", "kind_of": kind}, where="r") for kind in ("cat", "dog")] == [
            True,
            False,
        ]
        assert task.sample == {"text": "the cat", "kind_of": "cat", "prices": ["$none"]}

    def test_templates_see_it_as_a_field_and_are_left_alone(self) -> None:
        example = render(member("dog"), {"text": "a", "kind_of": "dog"}, split="test", row=0)
        assert (example.inputs, example.targets) == ("$animal costs $5, dog: a dog", "the dog")

    def test_a_column_of_the_same_name_goes_before(self) -> None:
        task = member("dog", ("kind_of: string", "kind_of: string, animal: string"))
        found = render(task, {"text": "a", "kind_of": "dog", "animal": "wolf"}, split="test", row=0)
        assert "wolf: a dog" in found.inputs

    def test_a_variable_that_a_member_lacks_has_its_line_and_the_nearest(self) -> None:
        assert member("dog", ("About $title", "It says $sound")).description == "It says bow wow"
        with pytest.raises(DataError, match=r"_zoo.yaml:4.*unknown variable '\$sound'"):
            member("cat", ("About $title", "It says $sound"))
        with pytest.raises(
            DataError, match=r"_zoo.yaml:5.*unknown variable '\$anmal': did you mean '\$animal'"
        ):
            member("cat", ("test_$animal", "test_$anmal"))

    def test_the_same_variable_is_told_once_a_key(self) -> None:
        with pytest.raises(DataError) as caught:
            member("cat", ("name: $animal, local: zoo/$animal", "name: $nimal, local: zoo/$nimal"))
        assert str(caught.value).count("unknown variable") == 1

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: 1", "has no 'each'"),
            ("each: {}", "has no 'each'"),
            ("[1]", "has no 'each'"),
            ("each:\n  a: {x: y}\n  Cat: {x: y}", "f.yaml:3.*'Cat'|'Cat' is no task name: f.yaml:3"),
            ("each:\n  a: {x: 1}", "'a' is not well formed: f.yaml:2: expected texts by name"),
            ("each:\n  a: x", "'a' is not well formed: f.yaml:2"),
        ],
    )
    def test_what_is_no_list_of_members(self, text: str, words: str) -> None:
        with pytest.raises(DataError, match=words):
            member_names(parse_document(text, where="f.yaml"), where="f.yaml")

    def test_members_in_a_file_of_one_task(self) -> None:
        text = WET + "each: {a: {b: c}}\n"
        assert "wet.yaml:15: expected" not in problem(text=text)
        assert "'each' stands only in files whose names begin with _" in problem(text=text)


class TestFields:
    def with_fields(self, fields: str, *more: tuple[str, str]) -> Task:
        return wet(WET, ("kind: classification", f"fields:\n{fields}\nkind: classification"), *more)

    def test_each_may_use_those_before_it_and_be_an_expression_or_a_template(self) -> None:
        fields = (
            "  loud: text | upper\n"
            "  twice: '{{ loud }}, {{ text }} '\n"
            '  some: "{% if label == 1 %}wet{% endif %}"\n'
            "  first: words[0]\n"
            "  same: text"
        )
        task = self.with_fields(fields)
        values = read_record(task, ROW, where="r").values
        assert values == {
            **ROW,
            "loud": "RAIN",
            "twice": "RAIN, rain",
            "some": "wet",
            "first": "a",
            "same": "rain",
        }
        assert known_names(task)[:8] == [*ROW, "loud", "twice", "some", "first", "same"]

    @pytest.mark.parametrize("name", ["answer", "options", "options_"])
    def test_our_own_names_are_taken(self, name: str) -> None:
        with pytest.raises(DataError, match=f"'{name}' is the task's own"):
            self.with_fields(f"  {name}: text")

    def test_a_field_that_is_no_text(self) -> None:
        with pytest.raises(DataError, match="wet.yaml:5.*'fields.one' must be an expression, not 1"):
            self.with_fields("  one: 1")


class TestBorrowing:
    BORROWER = WET[: WET.index("templates:")] + "templates: toy/lender\n"

    def lender(self) -> Task:
        fields = "fields: {loud: text | upper}\nkind: classification"
        return wet(WET, ("kind: classification", fields), ("Wet? {{ text }}", "Wet? {{ loud }}"))

    def borrow(self, text: str) -> Task:
        return wet(text, lender_of={"toy/lender": self.lender()}.__getitem__)

    def test_templates_and_fields_come_together(self) -> None:
        task = self.borrow(self.BORROWER)
        assert task.templates == self.lender().templates and list(task.fields) == ["loud"]
        assert render(task, ROW, split="train", row=0).inputs == "Wet? RAIN"

    def test_own_fields_stand_for_the_lenders(self) -> None:
        task = self.borrow(self.BORROWER + "fields: {loud: text ~ '!'}\n")
        assert render(task, ROW, split="train", row=0).inputs == "Wet? rain!"
        other = self.borrow(self.BORROWER + "fields: {quiet: text | lower}\n")
        with pytest.raises(DataError, match="uses a field.*unknown field 'loud'"):
            check_template(other, other.template("ask"))

    def test_own_turned_around_templates_come_after(self) -> None:
        task = self.borrow(self.BORROWER + "turned_around: {again: '{{ answer }} ||| {{ text }}'}\n")
        assert list(task.templates) == ["ask", "short", "write", "again"] and task.templates["again"].turned


class TestProblems:
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("description:", "descripton:", "wet.yaml:1: expected|unknown key 'descripton': did you mean 'description'"),
            ("text: string", "text: strng", "wet.yaml:3: got 'columns.text' is of unknown type 'strng'"),
            ("kind: classification", "kind: clasification", "wet.yaml:4: got 'kind' must be one of"),
            ('["no", "yes"]', '["no", "no"]', "wet.yaml:5: got 'options' holds the same text twice"),
            ('["no", "yes"]', '["no", " yes"]', "wet.yaml:5: got 'options' must have no white space around them"),
            ('["no", "yes"]', "[no, true]", "wet.yaml:5: got 'options' must be non-empty texts"),
            ("answer: label", "answer: 1", "wet.yaml:6: got 'answer' has the wrong kind of value: 1"),
            ("answer: label", "answer: label\npassage: 1", "wet.yaml:7: got 'passage' has the wrong kind of value: 1"),
            ("[accuracy]", "[acuracy]", "wet.yaml:7: got unknown metric 'acuracy': did you mean 'accuracy'"),
            ("Wet? {{ text }} |||", "Wet? {{ text }} ||", "wet.yaml:9: got the template 'ask' has no target"),
            ("  short: |-", "  Short: |-", "wet.yaml:11: got 'Short' is no template name"),
            ("  short: |-", "  1: |-", "wet.yaml:11: got the template name 1 is no text"),
            ("  short: |-", "  true: |-", "wet.yaml:11: got the template name True is no text"),
            ("  write:", "  ask:", "wet.yaml:14: got the template 'ask' stands twice"),
            ("hub: org/wet", "hub: 3", "wet.yaml:2: got 'source.hub' has the wrong kind of value: 3"),
            ("hub: org/wet", "hub: [a]", "wet.yaml:2: got 'source.hub' has the wrong kind"),
            ("hub: org/wet", "hbu: org/wet", "unknown key 'source.hbu': did you mean 'source.hub'"),
            ("{train: train}", "train", "'source.splits' has the wrong kind of value: 'train'"),
            ("hub: org/wet, local: wet", "world: rte, rows: 3", "'source.rows' has the wrong kind of value: 3"),
            ("local: wet", "local: wet, exemplars: x.txt", "'source.exemplars' has the wrong kind of value: 'x.txt'"),
            ("local: wet", "local: wet, exemplars: {file: x}", "'source.exemplars.question' is missing"),
            ("local: wet", "local: wet, exemplars: {question: x}", "'source.exemplars' needs either 'file' or 'split'"),
            ("local: wet", "local: wet, exemplars: {question: x, file: x, split: train, reasoning: y}", "needs either 'file' or 'split'"),
            ("local: wet", "local: wet, exemplars: {question: x, fle: x}", "'source.exemplars.fle': did you mean 'source.exemplars.file'"),
            ("local: wet", "local: wet, exemplars: {question: 3, file: x}", "'source.exemplars.question' must be a text, not 3"),
            ("local: wet", "local: wet, exemplars: {question: x, file: ../x}", "must stay below the data root: ../x"),
            ("local: wet", "local: wet, exemplars: {question: x, file: /x}", "must stay below the data root: /x"),
            ("local: wet", "local: wet, exemplars: {question: x, split: train}", "'source.exemplars.reasoning' is missing"),
            ("local: wet", "local: wet, exemplars: {question: x, split: tran, reasoning: y}", "is none of the splits: tran"),
        ],
    )  # fmt: skip
    def test_each_with_its_line(self, old: str, new: str, words: str) -> None:
        said = problem((old, new))
        assert any(each in said for each in words.split("|")) or words in said, said
        assert "wet.yaml" in said

    def test_several_at_once_each_with_its_line(self) -> None:
        said = problem(
            ("[accuracy]", "[acuracy]"), ("text: string", "text: strng"), ("Wet? {{ text }} |||", "Wet?")
        )
        assert (
            "line 3: 'columns.text'" in said
            and "line 7: unknown metric" in said
            and "line 9: the template" in said
        )

    @pytest.mark.parametrize("text", ["", "just a text", "[1, 2]"])
    def test_what_is_no_mapping(self, text: str) -> None:
        assert "expected a mapping, got" in problem(text=text)

    def test_everything_that_is_missing(self) -> None:
        said = problem(text="description: nothing\n")
        for key in ("source", "columns", "kind", "answer", "metrics", "templates"):
            assert f"'{key}' is missing" in said

    def test_a_missing_key_hides_nothing_else(self) -> None:
        said = problem(
            ("kind: classification", "knd: classification"),
            ("[accuracy]", "[acuracy]"),
            ("text: string", "text: strng"),
            ("splits:", "split:"),
            ("Wet? {{ text }} |||", "Wet? {{ text }} ||"),
        )
        for part in (
            "'knd'",
            "'kind' is missing",
            "'acuracy'",
            "'strng'",
            "'source.split'",
            "'ask' has no target",
        ):
            assert part in said


def test_published_exemplars_and_the_question_behind_them() -> None:
    given = "local: wet, exemplars: {file: wet.txt, question: 'Wet? {{ text }}', question_mark: '> '}"
    task = wet(WET, ("local: wet", given))
    exemplars = task.source.exemplars
    assert exemplars is not None
    assert (exemplars.file, exemplars.key, exemplars.question_mark, exemplars.answer_mark) == (
        "wet.txt",
        "",
        "> ",
        "A: ",
    )
    (template,) = task.as_published.templates.values()
    assert template.render({"text": "fog", "answer": "no"}) == ("Wet? fog", "no")
    assert task.as_published is task.as_published and wet().source.exemplars is None
    with pytest.raises(UsageError, match="no exemplars were published with the task's data set"):
        wet().as_published


class TestCheckTemplate:
    def test_every_template_of_a_good_task(self) -> None:
        for template in wet().templates.values():
            check_template(wet(), template)

    @pytest.mark.parametrize(
        ("old", "new", "words", "line"),
        [
            ("Wet? {{ text }}", "Wet? {{ txt }}", "unknown field 'txt': did you mean 'text'", 9),
            ("Wet? {{ text }}", "Wet? {{ anser }}", "unknown field 'anser': did you mean 'answer'", 9),
            (
                "    {{ options_ }}",
                "    {{ option_ }}",
                "unknown field 'option_': did you mean 'options_'",
                11,
            ),
            ("Wet? {{ text }}", "Wet? {% for w in wrds %}{{ w }}{% endfor %}", "unknown field 'wrds'", 9),
            ("answer: label", "answer: labels", "unknown column 'labels': did you mean 'label'", 6),
            (
                "answer: label",
                "answer: label\nkeep: lable != 1",
                "unknown column 'lable': did you mean 'label'",
                7,
            ),
            (
                "answer: label",
                "answer: label\npassage: txt",
                "the task's 'passage' uses a column|unknown column 'txt': did you mean 'text'",
                7,
            ),
            ("Wet? {{ text }}", "Wet? {{ text | uper }}", "unknown filter 'uper': did you mean 'upper'", 9),
            ("Wet? {{ text }}", "Wet? {{ text", "a template cannot be read", 9),
        ],
    )
    def test_near_names_and_lines(self, old: str, new: str, words: str, line: int) -> None:
        task = wet(WET, (old, new))
        with pytest.raises(DataError) as caught:
            for template in task.templates.values():
                check_template(task, template)
        assert all(each in str(caught.value) for each in words.split("|"))
        assert f"wet.yaml:{line}" in str(caught.value)

    def test_names_that_a_template_sets_itself_are_its_own(self) -> None:
        loops = "{% set y = text %}{% for w in words %}{{ loop.index }}{{ w }}{{ y }}{% endfor %}"
        check_template(task := wet(WET, ("Wet? {{ text }}", loops)), task.template("ask"))
