"""The two claims that docs/results shows at length, in a short form: transfer to tasks and to words never seen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.slow


@pytest.fixture
def table(
    ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, dict]]]:
    """The last table of a verb's report, as cells by column, row by row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))

    def table(verb: str, *words: str, output: str) -> list[dict[str, dict]]:
        code, _, errors = ramekin(verb, *words, "threads=1", f"output={output}")
        assert code == 0, errors
        shown = json.loads((tmp_path / output / "report.json").read_text())["tables"][-1]
        return [dict(zip(shown["columns"], row["cells"], strict=True)) for row in shown["rows"]]

    return table


def test_tuned_on_another_cluster_a_model_beats_its_base(table) -> None:
    table("train", "recipe=mini/hold_out", "mixture.exclude=[mini/squad]", "max_steps=400", "eval_every=null",
          output="held")  # fmt: skip
    asked = ("tasks=[mini/rte]", "mode=rank", "limit=1000")
    table("evaluate", "model=mini/text", *asked, output="base")
    (difference,) = table("evaluate", "model=held", *asked, "against=base", output="tuned")
    assert difference["rte"]["low"] > 0


def test_flipped_ranking_answers_under_label_words_unseen_with_the_task(table) -> None:
    table("train", "recipe=mini/flipped", "max_steps=400", "eval_every=null", output="flipped")
    words = "words={yes: agree, no: disagree}"
    (scores,) = table(
        "evaluate", "model=flipped", "task=mini/rte", "mode=flipped", words, "limit=500", output="unseen"
    )
    assert scores["rte"]["low"] > scores["rte"]["chance"] == 0.5
