"""Prompts from texts, tables and papers: what becomes one, where it came from, and what is refused."""

import io
import json
import sys

import pytest

from ramekin.errors import DataError, UsageError
from ramekin.recipes.generate_schema import GenerateConfig
from ramekin.recipes.generating.prompts import lines_of, read_prompts


def read(**settings):
    return read_prompts(GenerateConfig(model="m", **settings))


def texts(prompts):
    return [prompt.example.inputs for prompt in prompts.items]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    values = [{"sentence1": "It rains.", "sentence2": "It is wet.", "prompt": " one "}] * 2
    values += [{"sentence1": "a", "sentence2": "b", "prompt": "two"}]
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_texts_are_stripped_and_blank_ones_are_counted():
    found = lines_of([" a ", "", "b", "\t"], "line")
    assert texts(found) == ["a", "b"]
    assert [prompt.where for prompt in found.items] == ["line 1", "line 3"]
    assert found.notes == ("2 blank lines were left out",)
    with pytest.raises(DataError, match="the prompt is empty"):
        lines_of(["", " "], "line")


def test_standard_input_and_files_are_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n\nb\n"))
    assert texts(read(file="-")) == ["a", "b"]
    (tmp_path / "p.txt").write_text("a\n\nb\n")
    found = read(file=tmp_path / "p.txt")
    assert texts(found) == ["a", "b"]
    assert [prompt.where for prompt in found.items] == [f"{tmp_path / 'p.txt'}:{line}" for line in (1, 3)]


def test_a_column_of_a_table_keeps_its_row(rows):
    found = read(file=rows)
    assert texts(found) == ["one", "one", "two"], "the column 'prompt' is one of the usual"
    assert found.items[2].record == {"sentence1": "a", "sentence2": "b", "prompt": "two"}
    assert found.items[2].where == f"{rows}, row 3"
    assert texts(read(file=rows, column="sentence2", limit=2)) == ["It is wet.", "It is wet."]
    with pytest.raises(DataError, match="no such column") as caught:
        read(file=rows, column="sentence3")
    assert caught.value.expected in ("column=sentence1", "column=sentence2")


def test_a_template_reads_columns(rows):
    found = read(file=rows, template="{{ sentence1 }} So: {{ sentence2 }}?")
    assert texts(found) == ["It rains. So: It is wet.?"] * 2 + ["a So: b?"]
    by_task = read(file=rows, task="glue/rte")
    assert all("It rains." in text for text in texts(by_task)[:2])
    with pytest.raises(UsageError, match="shows columns"):
        read(file=rows, template="no column")


def test_a_paper_is_one_prompt_and_wants_pairs(tmp_path):
    path = tmp_path / "paper.json"
    path.write_text(json.dumps({"title": "T", "abstract": "We count.", "introduction": "Counting is old."}))
    found = read(file=path, task="papers/question_answer")
    assert len(found.items) == len(found.papers) == 1
    assert "We count." in texts(found)[0] and "Counting is old." in texts(found)[0]
    assert read(file=path, task="papers/question_answer", pairs=False).papers == ()


def test_nothing_to_ask_is_said(tmp_path):
    with pytest.raises(UsageError, match="nothing to write for"):
        read()
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError):
        read(file=tmp_path / "empty.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"prompt": 3}\n')
    with pytest.raises(DataError, match="no text"):
        read(file=tmp_path / "rows.jsonl")
