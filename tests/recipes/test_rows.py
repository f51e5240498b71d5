"""Which rows a task gives: its data's, the world's, a clone's, or the sample of its own file."""

import dataclasses
import json
from pathlib import Path

import pytest

from ramekin.catalog import Catalog
from ramekin.errors import DataError, UsageError
from ramekin.recipes.places import Places
from ramekin.recipes.rows import read_rows, rows_state, sample_of
from ramekin.text.task import Task

SAMPLES = Places(sample_rows=True)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The built-in tasks, and one of a clone of natural-instructions with three rows, one of them for tests."""
    clone = tmp_path_factory.mktemp("clone") / "tasks"
    clone.mkdir()
    data = {
        "Definition": ["Count the stones."],
        "Positive Examples": [{"input": "One stone", "output": "1", "explanation": "It is one."}],
        "Negative Examples": [],
        "Instances": [{"id": f"{n}", "input": f"{n} stones", "output": [str(n)]} for n in range(3)],
    }
    (clone / "task001_stones.json").write_text(json.dumps(data))
    return Catalog(clone.parent)


def test_a_task_that_would_be_downloaded_gives_its_sample_row(catalog: Catalog) -> None:
    task = catalog["glue/rte"]
    rows = read_rows(task, "train", None, SAMPLES)
    assert list(rows.records.rows) == [task.sample] and list(rows.positions) == [0]
    assert rows.records.origin.endswith("rte.yaml#sample") and rows.left_out == 0
    assert read_rows(task, "validation", 5, SAMPLES) == rows


def test_its_sample_row_is_given_even_where_data_is_at_hand(catalog: Catalog, glue_root: Path) -> None:
    places = Places(data_root=glue_root)
    task = catalog["glue/rte"]
    assert len(read_rows(task, "train", None, places).positions) == 24
    small = dataclasses.replace(places, sample_rows=True)
    assert len(read_rows(task, "train", None, small).positions) == 1
    assert rows_state(task, "train", small).told != rows_state(task, "train", places).told
    assert rows_state(task, "train", small).file is None


@pytest.mark.parametrize(("name", "count"), [("mini/rte", 7), ("ni/task001_stones", 2)])
def test_the_world_and_a_clones_files_are_read_as_ever(catalog: Catalog, name: str, count: int) -> None:
    task = catalog[name]
    assert read_rows(task, "train", 7, SAMPLES) == read_rows(task, "train", 7, Places())
    assert len(read_rows(task, "train", 7, SAMPLES).positions) == count
    assert rows_state(task, "train", SAMPLES) == rows_state(task, "train", Places())


def test_an_unknown_split_is_told_with_the_task(catalog: Catalog) -> None:
    for look in (
        lambda task: read_rows(task, "tst", None, Places()),
        lambda task: rows_state(task, "tst", Places()),
    ):
        with pytest.raises(UsageError, match="unknown split 'tst'; known: train, validation: mini/rte"):
            look(catalog["mini/rte"])
    with pytest.raises(UsageError, match="unknown split 'train'; known: validation: glue/mnli_mismatched"):
        rows_state(catalog["glue/mnli_mismatched"], "train", Places())


def test_a_task_without_a_sample_row_says_so(catalog: Catalog) -> None:
    without: Task = dataclasses.replace(catalog["glue/rte"], sample=None)
    with pytest.raises(DataError, match="no sample row"):
        sample_of(without)


def test_every_built_in_task_has_a_sample_row_that_is_its_own() -> None:
    from ramekin.text.reading import belongs

    for task in Catalog().values():
        assert task.sample is not None, task.name
        assert belongs(task, task.sample, where=task.name)
