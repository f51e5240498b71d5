"""Files as papers, and outputs as ranked pairs."""

import json

import pytest

from ramekin.catalog import load_task
from ramekin.errors import DataError
from ramekin.infer.request import Output
from ramekin.recipes.generating.answering import Answer
from ramekin.recipes.generating.papers import (
    asks_for_pairs,
    asks_of_papers,
    paper_cards,
    papers_in,
    record_of,
)
from ramekin.text.asking import asking_task


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"title": name, "abstract": "We count sheep.", "introduction": "Sheep."}))
    (tmp_path / "notes.csv").write_text("x\n")
    return tmp_path


def test_a_folder_is_its_papers_by_name(folder):
    assert [paper.title for paper in papers_in(folder)] == ["a", "b"]
    assert [paper.title for paper in papers_in(folder / "b.json")] == ["b"]
    assert record_of(papers_in(folder)[0]) == {
        "title": "a", "abstract": "We count sheep.", "introduction": "Sheep.",
    }  # fmt: skip
    (folder / "none").mkdir()
    with pytest.raises(DataError, match="no papers"):
        papers_in(folder / "none")


def test_only_templates_of_papers_read_papers(folder):
    papers, rte = load_task("papers/question_answer"), load_task("glue/rte")
    asking = asking_task(papers, None)
    assert asks_of_papers(asking, folder) and asks_of_papers(asking, folder / "a.json")
    assert not asks_of_papers(asking, folder / "notes.csv")
    assert not asks_of_papers(asking_task(rte, None), folder / "a.json")
    assert asks_for_pairs(papers) and not asks_for_pairs(rte)


def test_cards_are_the_pairs_of_a_paper_the_best_first(folder):
    (paper,) = papers_in(folder / "a.json")
    outputs = (
        Output("What is counted? [SEP] goats", (5, 1), "end", (-1.0, -1.0)),
        Output("What is counted, then? [SEP] sheep", (6, 1), "end", (-0.5, -0.5)),
        Output("no pair", (7, 1), "end", (-0.1, -0.1)),
    )
    (cards,) = paper_cards([paper], {0: Answer(0, outputs)}, support_weight=0.5)
    assert cards.paper is paper
    assert [pair.answer for pair in cards.pairs.pairs] == ["sheep", "goats"]
    failed = Answer(0, (), DataError("too long", where="a.json"))
    with pytest.raises(DataError, match="too long"):
        paper_cards([paper], {0: failed}, support_weight=0.5)
