"""YAML without surprises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.errors import DataError
from ramekin.text.strict_yaml import Document, parse_document, parse_yaml, read_document, read_yaml


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("12:30:00", "12:30:00"), ("010", "010"), ("1e-4", 1e-4),
        ("0.3", 0.3), (".5", 0.5), ("-3", -3), ("true", True), ("False", False), ("null", None), ("~", None),
        ("", None), ("NA", "NA"), ("'1'", "1"), ("1_0", "1_0"), (".nan", ".nan"), ("2026-01-01", "2026-01-01"),
    ],
)  # fmt: skip
def test_scalars_mean_what_they_say(scalar: str, value: object) -> None:
    found = parse_yaml(f"key: {scalar}\n", where="f.yaml")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1"),
        ("a: {b: 1, b: 2}\n", "f.yaml:1:11"),
        ("a: &x 1\nb: *x\n", "f.yaml:2:4"),
        ("a: !!python/object/apply:os.system [ls]\n", "f.yaml:1:4"),
        ("a: [1\n", "f.yaml:2:1"),
        ("a: b\nc: " + "1" * 5000, "f.yaml:2:4"),
        ("1" * 5000 + ": a\n", "f.yaml:1:1"),
        ("a: 1e999\n", "f.yaml:1:4"),
        ("a: b\nc: \ud800\n", "f.yaml:2"),
        ("[" * 5000, "f.yaml:1:102"),
    ],
)
def test_what_is_refused_is_named_with_line_and_column(text: str, place: str) -> None:
    with pytest.raises(DataError, match="the YAML cannot be read") as caught:
        parse_yaml(text, where="f.yaml")
    assert place in str(caught.value)


def test_an_alias_bomb_is_refused_at_its_first_alias() -> None:
    bomb = "a: &a [x,x]\n" + "\n".join(
        f"{n}: &{n} [*{p},*{p}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(DataError, match="aliases are not accepted"):
        parse_yaml(bomb, where="bomb.yaml")


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DataError, match="too large"):
        parse_yaml("a: " + "x" * (5 << 20), where="f.yaml")


def test_missing_and_undecodable_files(tmp_path) -> None:
    with pytest.raises(DataError, match="the file is missing"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8.*byte 9"):
        read_yaml(tmp_path / "latin.yaml")


# JSON is YAML 1.2, but PyYAML reads neither JSON's surrogate escapes nor control characters.
PLAIN = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_categories=["Cc", "Cs"]), max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    text = json.dumps({"value": value}, ensure_ascii=False)
    assert parse_yaml(text, where="f")["value"] == value


LINED = """# a comment
name: wet
templates:
  ask: "one line"
  block: |-
    first line
    second
  folded: >
    also below
list:
  - a
  - {b: 1,
     c: 2}
empty:
"""


class TestLines:
    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ((), 2), (("name",), 2), (("templates",), 4), (("templates", "ask"), 4), (("templates", "block"), 6),
            (("templates", "folded"), 9), (("list",), 11), (("list", 0), 11), (("list", 1), 12), (("list", 1, "c"), 13),
            (("empty",), 14),
        ],
    )  # fmt: skip
    def test_where_each_value_begins(self, path: tuple, line: int) -> None:
        document = parse_document(LINED, where="f.yaml")
        assert document.line(*path) == line

    def test_of_what_is_not_there_the_nearest_thing_around_it(self) -> None:
        document = parse_document(LINED, where="f.yaml")
        assert document.line("templates", "nope", 3) == 4 and document.line("nope") == 2
        assert Document(None, {}).line("nope") is None

    def test_every_value_has_a_line(self) -> None:
        document = parse_document(LINED, where="f.yaml")
        assert document.value["list"] == ["a", {"b": 1, "c": 2}] and len(document.lines) == 12

    def test_keys_that_are_no_texts_are_found_by_their_text(self) -> None:
        found = parse_document("2: a\ntrue: b\n", where="f")
        assert found.value == {2: "a", True: "b"} and (found.line("2"), found.line("True")) == (1, 2)

    def test_a_folder_is_no_file(self, tmp_path) -> None:
        with pytest.raises(DataError, match="the file cannot be read: .*Is a directory"):
            read_document(tmp_path)

    def test_from_a_file(self, tmp_path) -> None:
        (tmp_path / "f.yaml").write_text(LINED)
        assert read_document(tmp_path / "f.yaml").lines == parse_document(LINED, where="f").lines


class TestTags:
    TAGS = frozenset({"!Template"})

    def test_a_known_tag_is_ignored(self) -> None:
        text = "a: !Template\n  b: 1\n  c: !Template {d: 2}\n"
        found = parse_document(text, where="f", tags=self.TAGS)
        assert found.value == {"a": {"b": 1, "c": {"d": 2}}} and found.line("a", "c", "d") == 3

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: !Templat {b: 1}", "tag '!Templat' is not accepted"),
            ("a: !!str 1", "tag 'tag:yaml.org,2002:str' is not accepted"),
            ("!Template a: 1", "tags and merges are not accepted in keys"),
            ("<<: {a: 1}", "tags and merges are not accepted in keys"),
            ("[a]: 1", "a key must be a text"),
            ("? {a: 1}\n: 2", "a key must be a text"),
            ("a: 1\n---\nb: 2", "there is a second document"),
            ("a: 1e400", "the number is too large"),
        ],
    )
    def test_any_other_is_refused(self, text: str, words: str) -> None:
        with pytest.raises(DataError, match="the YAML cannot be read") as caught:
            parse_document(text, where="f", tags=self.TAGS)
        assert words in str(caught.value)

    def test_a_quoted_key_is_a_text_whatever_it_looks_like(self) -> None:
        assert parse_yaml('{"<<": 1, "~": 2, "3": 3}', where="f") == {"<<": 1, "~": 2, "3": 3}

    def test_a_text_that_is_tagged_as_nothing_is_a_text(self) -> None:
        assert parse_yaml("a: ! 1\nb: ! '2'\nc: ! 'null'", where="f") == {"a": "1", "b": "2", "c": "null"}


class TestAliases:
    def test_a_flat_one_is_the_value_itself(self) -> None:
        found = parse_document("a: &x [1, 2]\nb: *x\nc: *x\n", where="f", aliases=True)
        assert found.value == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}
        assert found.line("c") == 3

    def test_one_that_holds_another_is_refused(self) -> None:
        text = "a: &x [1]\nb: &y [*x]\nc: *y\n"
        with pytest.raises(DataError, match="f:3:4.*aliases are not accepted"):
            parse_document(text, where="f", aliases=True)

    @pytest.mark.parametrize("text", ["a: &x [*x]", "a: *x\nb: &x 1", "&x a: 1\nb: *x", "*x : 1"])
    def test_one_to_itself_to_what_follows_or_in_a_key(self, text: str) -> None:
        with pytest.raises(DataError, match="the YAML cannot be read"):
            parse_document(text, where="f", aliases=True)

    def test_a_name_may_be_given_anew(self) -> None:
        assert parse_document("a: &x 1\nb: &x 2\nc: *x\n", where="f", aliases=True).value["c"] == 2

    def test_an_anchor_alone_is_harmless(self) -> None:
        assert parse_yaml("a: &x 1", where="f") == {"a": 1}


class TestEdges:
    @pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
    def test_an_empty_document(self, text: str) -> None:
        assert parse_yaml(text, where="f") is None

    def test_depth(self) -> None:
        assert parse_yaml("[" * 100 + "]" * 100, where="f")
        with pytest.raises(DataError, match="nested too deeply"):
            parse_yaml("[" * 103 + "]" * 103, where="f")

    def test_characters_that_no_yaml_has(self) -> None:
        with pytest.raises(DataError, match="the YAML cannot be read"):
            parse_yaml("a: \x00", where="f")

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("'yes'", "yes"), ('"1"', "1"), ("1.", 1.0), ("+1", 1), ("0x1f", "0x1f"), ("-", None),
            ("TRUE", True), ("tRue", "tRue"), ("-.5", -0.5), (".", "."), ("1e5x", "1e5x"), ("٣", "٣"),
        ],
    )  # fmt: skip
    def test_more_scalars(self, text: str, value: object) -> None:
        found = parse_yaml(f"[{text}]" if text != "-" else "-", where="f")[0]
        assert found == value and type(found) is type(value)
