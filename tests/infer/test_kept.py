"""What is kept is found again by its question alone, and by no other model or version."""

import json

import pytest

from ramekin.errors import DataError
from ramekin.infer.kept import KeptAnswers, damaged_answer, fingerprint


def kept(folder, *, weights="w", **versions):
    return KeptAnswers(folder, weights=weights, versions={"ramekin": "1", **versions})


def test_answers_come_back(tmp_path):
    with kept(tmp_path) as first:
        first.add([(b"one", {"a": [1, 2.5]}), (b"two", {"a": "x"})])
        assert first.found(b"one") is None, "what is written now is read by the next run"
    again = kept(tmp_path)
    assert again.found(b"one").values["a"] == [1, 2.5]
    assert again.found(b"two").values["a"] == "x"
    assert again.found(b"three") is None
    assert kept(tmp_path, weights="v").found(b"one") is None
    assert kept(tmp_path, torch="2").found(b"one") is None


def test_a_torn_last_line_is_not_read_and_a_damaged_one_is_named(tmp_path):
    with kept(tmp_path) as first:
        first.add([(b"one", {"a": 1}), (b"two", {"a": 2})])
    (path,) = tmp_path.rglob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert kept(tmp_path).found(b"one").values["a"] == 1
    assert kept(tmp_path).found(b"two") is None
    path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(DataError, match=r"a kept answer cannot be read: .*jsonl:1: .*got 'nonsense"):
        kept(tmp_path)
    path.write_bytes(whole.replace(b'"a": 1', b'"a": ?'))
    with pytest.raises(DataError, match=r"a kept answer cannot be read: .*byte 0"):
        kept(tmp_path).found(b"one")


def test_a_line_is_json_with_its_key_first(tmp_path):
    with kept(tmp_path) as first:
        first.add([(b"one", {"text": "é"})])
        first.add([])
    (path,) = tmp_path.rglob("*.jsonl")
    (line,) = path.read_text().splitlines()
    assert list(json.loads(line)) == ["key", "text"]


def test_nothing_kept_makes_no_folder(tmp_path):
    with kept(tmp_path / "answers") as first:
        first.add([])
    assert not (tmp_path / "answers").exists()


def test_the_error_shows_the_beginning_of_a_line():
    assert "got '" + "x" * 60 + "'" in str(damaged_answer("here", "x" * 100))


def test_a_fingerprint_is_of_weights_and_configuration(tiny):
    model = tiny()
    first = fingerprint(model)
    assert fingerprint(tiny()) == first
    assert fingerprint(tiny(seed=1)) != first
    model.config.num_heads = 99
    assert fingerprint(model) != first
