"""Files of published exemplars: found below a data root, and refused with file and line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.sources.published_exemplars import exemplars_in_file, published_exemplars

TEXT = "Say yes or no.\n\nQ: Is it wet?\nA: Let's think step by step. It rains. So the answer is yes."
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def written(root: Path, name: str, content: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_tasks_own_file_below_the_data_root(tmp_path: Path) -> None:
    written(tmp_path, "bbh/cot-prompts/navigate.txt", TEXT)
    written(tmp_path, "mmlu/cot-prompts/mmlu-cot.json", json.dumps({"anatomy": TEXT, "virology": "none"}))
    for name in ("bbh/navigate", "mmlu/anatomy"):
        found = published_exemplars(Catalog()[name], tmp_path)
        assert found.instruction == "Say yes or no." and found.shots[0].answer == "yes"
    assert found.shots[0].provenance.task == f"{tmp_path}/mmlu/cot-prompts/mmlu-cot.json#anatomy"
    with pytest.raises(DataError, match=r"has no question: .*mmlu-cot.json#virology"):
        published_exemplars(Catalog()["mmlu/virology"], tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    task = Catalog()["bbh/navigate"]
    with pytest.raises(DataError, match=r"no such file of exemplars: .*navigate.txt.*BIG-Bench-Hard"):
        published_exemplars(task, tmp_path)
    with pytest.raises(DataError, match=r"a data root: bbh/navigate: expected data_root=DIR with DIR/bbh/"):
        published_exemplars(task, None)
    for name in ("glue/rte", "mgsm/de"):
        with pytest.raises(UsageError, match=f"no file of exemplars was published .*: {name}"):
            published_exemplars(Catalog()[name], tmp_path)
    silent = replace(task.source.exemplars, obtain="")
    with pytest.raises(DataError, match="add the file"):
        published_exemplars(replace(task, source=replace(task.source, exemplars=silent)), tmp_path)


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        ("Q: a\nA: b\nQ: c\nA: d", "", r"published layout: .*shots:3"),
        (b"Q: a\nA: \xff", "", r"not UTF-8: .*shots:2"),
        ('{"a":\n 1,}', "a", r"not JSON: .*shots:2"),
        ("[1]", "a", r"no texts by name: .*expected an object, got list"),
        ('{"anatomi": "x"}', "anatomy", r"did you mean 'anatomi'"),
        ('{"a": 1}', "a", r"are no text: .*shots#a: got int"),
        ('{"a": "Q: x\\nA:y"}', "a", r"layout: .*shots#a:2"),
    ],
)
def test_another_form_is_refused_with_file_and_line(tmp_path: Path, content, key: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        exemplars_in_file(written(tmp_path, "shots", content), key=key)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        exemplars_in_file(tmp_path)


def test_line_ends_of_another_system_are_the_same(tmp_path: Path) -> None:
    plain = exemplars_in_file(written(tmp_path, "shots", TEXT))
    assert exemplars_in_file(written(tmp_path, "shots", TEXT.replace("\n", "\r\n"))) == plain


@pytest.mark.skipif(not (DATA / "bbh/cot-prompts").is_dir(), reason="needs ../shared/data")
def test_all_84_tasks_find_theirs_among_the_published() -> None:
    found = {
        name: published_exemplars(task, DATA)
        for name, task in Catalog().items()
        if task.source.exemplars is not None and task.source.exemplars.file
    }
    assert len(found) == 84
    assert {len(each.shots) for name, each in found.items() if name.startswith("bbh/")} == {3}
    assert all(shot.rationale and shot.answer for each in found.values() for shot in each.shots)
