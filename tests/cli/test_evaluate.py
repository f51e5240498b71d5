"""`ramekin evaluate` by ranking, as a user types it, and training that evaluates by it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
WORDS = "words={yes: agree, no: disagree}"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it, and answers are kept there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "base", seed=0)


def answers() -> list[str]:
    """The lines of all kept answers."""
    files = sorted(Path("cache/answers").rglob("*.jsonl"))
    return sorted(line for path in files for line in path.read_text().splitlines())


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


@pytest.mark.parametrize("mode", ["rank", "t0"])
def test_options_are_ranked_with_chance_interval_and_scores(base: Path, ramekin: Run, mode: str) -> None:
    words = (
        "evaluate",
        "model=base",
        "tasks=[mini/rte,mini/mnli]",
        f"mode={mode}",
        "limit=12",
        "output=eval",
    )
    code, out, err = ramekin(*words)
    assert code == 0, err
    assert f"Options are ranked by the rules of '{mode}'." in out
    assert "chance" in out and "33.3" in out and "±" in out
    found = json.loads(Path("eval/evaluation.json").read_text())
    assert (found["modes"][mode]["name"], found["modes"][mode]["direction"]) == (mode, "rank")
    rte, mnli = found["tasks"]
    assert (rte["scores"][0]["metric"], rte["scores"][0]["unparsable"], rte["ties"]) == ("accuracy", 0, 0)
    assert (rte["scores"][0]["chance"], mnli["scores"][0]["chance"]) == (0.5, pytest.approx(1 / 3))
    rows = rows_of("eval/predictions/mini_mnli-fusionbench-validation.jsonl")
    assert len(rows) == 12
    for row in rows:
        assert list(row["option_scores"]) == ["entailment", "neutral", "contradiction"]
        assert row["prediction"] == max(row["option_scores"], key=row["option_scores"].get)
    kept = answers()
    assert len(kept) == 24 and all(json.loads(line)["log_probs"] for line in kept)


def test_a_folder_of_something_else_is_kept_whoever_asks(base: Path, ramekin: Run) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("years")
    words = ("model=base", "task=mini/rte", "limit=4", "output=thesis", "overwrite=true")
    for verb in ("evaluate", "train"):
        code, _, err = ramekin(verb, *words, *(("max_steps=1",) if verb == "train" else ()))
        assert code == 2 and "a folder of something else, which is not overwritten: thesis" in err, verb
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.tex"]


def test_flipped_with_other_label_words(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "task=mini/rte", "mode=flipped", WORDS, "limit=10", "output=eval")
    code, out, err = ramekin(*words)
    assert code == 0, err
    assert "Label words: 'yes' is 'agree', 'no' is 'disagree'." in out
    (part,) = json.loads(Path("eval/evaluation.json").read_text())["tasks"]
    assert (part["options"], part["words"]) == (["agree", "disagree"], {"yes": "agree", "no": "disagree"})
    assert {row["target"] for row in rows_of("eval/predictions/mini_rte-fusionbench-validation.jsonl")} == {
        "agree",
        "disagree",
    }


def test_a_dry_run_shows_what_is_ranked_and_loads_no_weights(base: Path, ramekin: Run) -> None:
    (base / "model.safetensors").unlink()
    words = ("evaluate", "--dry-run", "model=base", "task=mini/rte", "limit=2")
    code, out, _ = ramekin(*words, "mode=rank")
    assert code == 0 and "options yes | no" in out and "Provide 'yes' or 'no'" in out
    code, out, _ = ramekin(*words, "mode=flipped", WORDS)
    assert code == 0 and "\noutput: agree" in out and "\noutput: disagree" in out
    assert "instruction <extra_id_0> Does the text:" in out and "'agree' or 'disagree'" in out
    code, out, _ = ramekin(*words, "--json", "mode=flipped")
    (shown,) = json.loads(out)["sets"]
    assert list(shown["inputs_under"]) == ["yes", "no"] and shown["instruction"].startswith("<extra_id_0>")
    code, out, _ = ramekin(*words, "--json", "mode=rank")
    assert json.loads(out)["sets"][0]["options"] == ["yes", "no"]
    code, out, _ = ramekin(*words, "--json")
    (shown,) = json.loads(out)["sets"]
    assert {key: shown[key] for key in ("task", "template", "split", "mode", "rows", "truncated_inputs")} == {
        "task": "mini/rte",
        "template": "fusionbench",
        "split": "validation",
        "mode": "fusionbench",
        "rows": 2,
        "truncated_inputs": 0,
    }


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("task=mini/stsb", "mode=rank"), 3, "no options for mode 'rank' to rank"),
        (("task=mini/stsb", "mode=flipped"), 3, "fix: use mode=generate"),
        (("task=mini/rte", "mode=rnk"), 2, "did you mean 'rank'"),
        (("task=mini/rte", "mode=rank", "words={yess: agree}"), 2, "did you mean 'yes'"),
        (("task=mini/rte", "mode=rank", "words={yes: no}"), 2, "two options become the same word"),
        (("tasks=[mini/rte,mini/stsb]", "mode=rank", WORDS), 2, "only the options of a task"),
    ],
)
def test_what_cannot_be_ranked_ends_with_its_code(
    base: Path, ramekin: Run, words: tuple[str, ...], code: int, part: str
) -> None:
    for how in ((), ("--dry-run",)):
        found, _, err = ramekin("evaluate", *how, "model=base", "limit=4", "output=eval", *words)
        assert found == code and part in err
        assert "Traceback" not in err
    if code == 2:
        assert not Path("eval").exists()


@pytest.mark.parametrize("mode", ["rank", "flipped"])
def test_training_evaluates_by_ranking(base: Path, ramekin: Run, mode: str) -> None:
    code, out, err = ramekin(
        "train", "model=base", "task=mini/rte", "limit=24", "max_steps=2", "global_batch=8", "eval_limit=6",
        f"mode={mode}", "output=runs/rte",
    )  # fmt: skip
    assert code == 0, err
    assert f"Options are ranked by the rules of '{mode}'." in out
    report = json.loads(Path("runs/rte/report.json").read_text())
    (cell,) = report["tables"][0]["rows"][0]["cells"]
    assert (cell["metric"], cell["n"], cell["chance"]) == ("accuracy", 6, 0.5)


def test_a_killed_ranking_continues(base: Path, ramekin: Run) -> None:
    words = (
        "evaluate",
        "model=base",
        "task=mini/rte",
        "mode=rank",
        "limit=16",
        "output=eval",
        "batch_tokens=300",
    )
    assert ramekin(*words)[0] == 0
    whole = json.loads(Path("eval/evaluation.json").read_text())["tasks"][0]["scores"]
    kept = answers()
    (file,) = Path("cache/answers").rglob("*.jsonl")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    for name in ("report.json", "evaluation.json"):
        Path("eval", name).unlink()
    code, _, err = ramekin(*words)
    assert code == 0, err
    assert json.loads(Path("eval/evaluation.json").read_text())["tasks"][0]["scores"] == whole
    assert set(answers()) == set(kept)


def test_the_difference_to_an_earlier_evaluation_is_paired(base: Path, ramekin: Run) -> None:
    words = ("evaluate", "model=base", "tasks=[mini/rte,mini/mnli]", "mode=rank", "limit=12")
    assert ramekin(*words, "output=before")[0] == 0
    code, out, err = ramekin(*words, "against=before", "output=after")
    assert code == 0, err
    assert "base minus before" in out and "difference" in out
    found = json.loads(Path("after/evaluation.json").read_text())["differences"]
    assert list(found) == ["rte", "mnli", "Average"]
    assert all((each["difference"], each["low"], each["high"]) == (0, 0, 0) for each in found.values())
    code, _, err = ramekin(*words, "against=nowhere", "output=other")
    assert code == 3 and "there is no evaluation to compare with" in err
