"""Published exemplars of a task, wherever they are: in a file of their own, or the rows of a split."""

import json
from pathlib import Path

import pytest

from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.recipes.exemplars import read_published
from ramekin.recipes.places import Places

TEXT = "Say yes or no.\n\nQ: Is it wet?\nA: Let's think step by step. It rains. So the answer is yes."


def test_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bbh/cot-prompts/navigate.txt"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    found = read_published(Catalog()["bbh/navigate"], Places(tmp_path))
    assert [shot.answer for shot in found.shots] == ["yes"]
    with pytest.raises(DataError, match="from a data root: bbh/navigate"):
        read_published(Catalog()["bbh/navigate"], Places())


def test_of_a_split(tmp_path: Path) -> None:
    rows = [
        {"question": f"Question: {n} + 1?", "answer": f"Step-by-Step Answer: {n} + 1 = {n + 1}. The answer is {n + 1}.", "answer_number": n + 1}
        for n in range(8)
    ]  # fmt: skip
    (tmp_path / "mgsm/en").mkdir(parents=True)
    (tmp_path / "mgsm/en/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_published(Catalog()["mgsm/en"], Places(tmp_path))
    assert [shot.answer for shot in found.shots] == [str(n + 1) for n in range(8)]
    assert found.shots[7].inputs == "7 + 1?"
    assert (
        found.shots[7].targets == "7 + 1 = 8. The answer is 8." and found.form.inputs_prefix == "Question: "
    )


def test_where_the_split_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "mgsm/en").mkdir(parents=True)
    (tmp_path / "mgsm/en/test.jsonl").write_text("")
    with pytest.raises(DataError, match="there is no split 'train'"):
        read_published(Catalog()["mgsm/en"], Places(tmp_path))


def test_a_task_without_any() -> None:
    with pytest.raises(UsageError, match="no file of exemplars was published .*: glue/rte"):
        read_published(Catalog()["glue/rte"], Places())
