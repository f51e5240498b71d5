"""`ramekin evaluate diff` as a user types it."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

PMI = ("mode=rank", "mode.normalisation=pmi")
"""By it random models do not answer everything alike."""
ASKED = ("tasks=[mini/rte,mini/mnli]", *PMI, "limit=30")
MNLI = "mini_mnli-fusionbench-validation.jsonl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """Two random models, each asked the same two tasks, together and apart."""
    from ramekin.cli import main

    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("RAMEKIN_CACHE", str(root / "cache"))
        for seed in (0, 1):
            make_checkpoint(root / f"m{seed}", seed=seed)
        for words in (
            ("models=[m0,m1]", *ASKED, "output=both"),
            ("model=m0", *ASKED, "output=a"),
            ("model=m1", *ASKED, "output=b"),
            ("model=m1", "task=mini/rte", *PMI, "limit=30", "output=rte"),
            ("model=m1", *ASKED, "output=t0", "mode=t0"),
            ("model=m1", "tasks=[mini/rte,mini/mnli]", *PMI, "limit=29", "output=fewer"),
            ("model=m1", *ASKED, "shots=1", "max_input_tokens=2048", "output=shot"),
            ("model=m0", "task=mini/rte", "limit=30", "output=wrote"),
            (
                "models=[m0,m1]",
                "tasks=[mini/rte,mini/mnli]",
                "limit=6",
                "mode=perplexity",
                "output=perplexity",
            ),
            ("models=[m0,m1]", "suite=pair.yaml", PMI[1], "limit=8", "output=suite"),
        ):
            (root / "pair.yaml").write_text(
                "mode: rank\ntemplates: all\nnormalised: true\nover_templates: median\nsplits: [validation]\n"
                "parts:\n- {title: two, tasks: [mini/rte, mini/mnli]}\n- {title: one, tasks: [mini/qnli]}\n"
            )
            patch.setattr(sys, "argv", ["ramekin", "evaluate", *words])
            with pytest.raises(SystemExit, match="^0$"):
                main()
    return root


@pytest.fixture(autouse=True)
def _at_home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has the folders in its working folder, to read."""
    monkeypatch.chdir(tmp_path)
    for folder in made.iterdir():
        (tmp_path / folder.name).symlink_to(folder)


def rows_of(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def right_probability(row: dict) -> float:
    powers = {option: math.exp(score) for option, score in row["option_scores"].items()}
    return powers[row["target"]] / sum(powers.values())


def mcnemar(gained: int, lost: int) -> float:
    """Twice the binomial tail, by the book."""
    tosses = gained + lost
    tail = sum(math.comb(tosses, k) for k in range(min(gained, lost) + 1)) / 2**tosses
    return min(1.0, 2 * tail)


def expected_rows(task: str) -> list[dict]:
    """By the book, from the two files of predictions."""
    found = []
    name = f"{task.replace('/', '_')}-fusionbench-validation.jsonl"
    for a, b in zip(rows_of(f"a/predictions/{name}"), rows_of(f"b/predictions/{name}"), strict=True):
        if a["prediction"] != b["prediction"]:
            kind = "a_right" if a["correct"] else "b_right" if b["correct"] else "both_wrong"
            found.append({"id": a["id"], "kind": kind, "swing": right_probability(b) - right_probability(a),
                          "prompt": a["inputs"], "target": a["target"]})  # fmt: skip
    return found


def test_all_rows_are_written_and_the_largest_swings_shown(ramekin: Run) -> None:
    code, out, err = ramekin("evaluate", "diff", "a", "b", "show=3", "output=diff")
    assert code == 0, err
    expected = expected_rows("mini/rte") + expected_rows("mini/mnli")
    assert len({row["kind"] for row in expected}) == 3  # else the models are too much alike for a test
    found = rows_of("diff/diff.jsonl")
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    for row, by_hand in zip(found, expected, strict=True):
        assert {key: row[key] for key in by_hand} == by_hand | {"swing": pytest.approx(by_hand["swing"])}
        assert row["a"]["prediction"] != row["b"]["prediction"]
        assert row["kind"] == "both_wrong" or row["a"]["correct"] != row["b"]["correct"]
        assert row["a"]["prediction"] == max(row["a"]["scores"], key=row["a"]["scores"].get)
    swings = sorted(expected, key=lambda row: -abs(row["swing"]))[:3]
    shown = [line.partition(": ")[0] for line in out.splitlines() if line.startswith("mini/")]
    assert shown == [row["id"] for row in swings]
    assert f"3 of {len(expected)} rows; diff.jsonl has them all:" in out
    assert "m1 (B) minus m0 (A)" in out and "written to diff" in out
    assert sorted(path.name for path in Path("diff").iterdir() if path.name[0] != ".") == [
        "config.yaml", "diff.jsonl", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    tasks, listed = json.loads(Path("diff/report.json").read_text())["text_tables"]
    assert [row[0] for row in tasks["rows"]] == ["rte", "mnli", "average"]
    assert [row[0] for row in listed["rows"]] == shown and listed["caption"].startswith("3 of ")


def test_json_has_what_the_tests_say_by_hand(ramekin: Run) -> None:
    code, out, err = ramekin("evaluate", "diff", "a", "b", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["format"] == "ramekin.evaluation-diff/1"
    assert (told["a"], told["b"]) == ({"folder": "a", "model": "m0"}, {"folder": "b", "model": "m1"})
    for part in told["tasks"]:
        kinds = [row["kind"] for row in expected_rows(part["task"])]
        gained, lost = kinds.count("b_right"), kinds.count("a_right")
        assert (part["a_right"], part["b_right"]) == (lost, gained)
        assert part["both_wrong"] == kinds.count("both_wrong")
        assert (part["n"], part["test"]) == (30, "mcnemar_exact")
        assert (
            part["difference"] == pytest.approx((gained - lost) / 30) == pytest.approx(part["b"] - part["a"])
        )
        assert part["low"] <= part["difference"] <= part["high"]
        assert part["p_value"] == pytest.approx(mcnemar(gained, lost))
    small, large = sorted(part["p_value"] for part in told["tasks"])
    adjusted = sorted(part["p_value_holm"] for part in told["tasks"])
    assert adjusted == [min(1.0, 2 * small), max(min(1.0, 2 * small), large)]
    mean = sum(part["difference"] for part in told["tasks"]) / 2
    assert told["whole"]["name"] == "average"
    assert told["whole"]["difference"] == pytest.approx(mean)
    assert len(told["rows"]) == min(20, told["num_rows"]) and not Path("diff").exists()
    code, swapped, _ = ramekin("evaluate", "diff", "b", "a", "--json")
    turned = json.loads(swapped)
    assert [part["difference"] for part in turned["tasks"]] == [-part["difference"] for part in told["tasks"]]
    assert [part["a_right"] for part in turned["tasks"]] == [part["b_right"] for part in told["tasks"]]


def test_folders_below_one_of_several_models_and_one_task(ramekin: Run) -> None:
    code, out, _ = ramekin("evaluate", "diff", "both/m0", "both/m1", "--json")
    whole = json.loads(out)
    code, out, _ = ramekin("evaluate", "diff", "a", "b", "--json")
    assert code == 0 and whole["tasks"] == json.loads(out)["tasks"]
    for task in ("mini/rte", "'mini/rte#fusionbench'"):
        code, out, err = ramekin("evaluate", "diff", "both/m0", "rte", f"task={task}", "--json")
        assert code == 0, err
        told = json.loads(out)
        (part,) = told["tasks"]
        assert part["difference"] == whole["tasks"][0]["difference"] and told["whole"] is None
        assert part["p_value_holm"] == part["p_value"]
    code, out, _ = ramekin("evaluate", "diff", "a", "b", "task=mini/mnli", "--json")
    assert code == 0 and {row["part"] for row in json.loads(out)["rows"]} == {
        "mini/mnli#fusionbench/validation"
    }


@pytest.mark.parametrize("only", ["a_right", "b_right", "both_wrong"])
def test_only_one_kind_of_rows(ramekin: Run, only: str) -> None:
    code, _, err = ramekin("evaluate", "diff", "a", "b", f"only={only}", "show=0", "output=diff")
    assert code == 0, err
    expected = [row["id"] for task in ("mini/rte", "mini/mnli") for row in expected_rows(task)
                if row["kind"] == only]  # fmt: skip
    assert [row["id"] for row in rows_of("diff/diff.jsonl")] == expected


def test_the_headline_of_a_suite_is_drawn_over_templates(ramekin: Run) -> None:
    code, out, err = ramekin("evaluate", "diff", "suite/m0", "suite/m1", "--json")
    assert code == 0, err
    told = json.loads(out)
    headlines = [json.loads(Path(f"suite/{m}/evaluation.json").read_text())["headline"] for m in ("m0", "m1")]
    assert told["whole"]["name"] == "normalised headline of pair"
    assert told["whole"]["difference"] == pytest.approx(headlines[1]["value"] - headlines[0]["value"])
    assert told["whole"]["low"] < told["whole"]["difference"] < told["whole"]["high"]
    code, out, _ = ramekin("evaluate", "diff", "suite/m0", "suite/m1")
    assert code == 0 and "rte#fusionbench" in out and "p by Holm" in out


def test_prompts_that_differ_are_refused_unless_any_may_be(ramekin: Run) -> None:
    code, _, err = ramekin("evaluate", "diff", "a", "shot")
    assert code == 3 and "not asked in the same words: mini/rte#fusionbench/validation/0" in err
    assert "prompts=any" in err
    code, out, err = ramekin("evaluate", "diff", "a", "shot", "prompts=any", "output=diff")
    assert code == 0, err
    assert "  B's     " in out
    row = rows_of("diff/diff.jsonl")[0]
    assert row["prompt"] != row["prompt_b"] and row["prompt"] in row["prompt_b"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("a", "t0"),
            3,
            "scored by different rules: t0, mini/rte#fusionbench/validation: expected mode=rank(n",
        ),
        (("a", "wrote", "task=mini/rte"), 3, "scored by different rules"),
        (("a", "fewer"), 3, "did not answer the same examples"),
        (("a", "rte"), 3, "has not these rows: rte: expected mini/mnli#fusionbench/validation"),
        (("rte", "a"), 3, "has not these rows: rte: expected mini/mnli#fusionbench/validation"),
        (("a", "b", "task=mini/rtee"), 3, "neither evaluation has the task 'mini/rtee'"),
        (
            ("a", "both"),
            2,
            "several models: both: expected the folder of one, got m0, m1; fix: name one: both/m0",
        ),
        (("a", "nowhere"), 3, "there is no evaluation to compare with: nowhere/evaluation.json"),
        (("a", "b", "only=both_right"), 2, "only"),
        (("a", "b", "shwo=3"), 2, "did you mean 'show'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    ramekin: Run, words: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = ramekin("evaluate", "diff", *words, "output=diff")
    assert found == code and message in err and "Traceback" not in err and not out


def test_answers_that_are_written_are_listed_in_order(ramekin: Run, made: Path) -> None:
    shutil.copytree(made / "wrote", "other")
    path = Path("other/predictions/mini_rte-fusionbench-validation.jsonl")
    rows = rows_of(str(path))
    for place, row in enumerate(rows):
        if place in (4, 9):
            row |= {"prediction": row["target"], "correct": True, "parsed": row["target"]}
        if place == 2:
            row |= {"prediction": "something else"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = ramekin("evaluate", "diff", "wrote", "other", "--json")
    assert code == 0, err
    found = json.loads(out)["rows"]
    assert [(row["id"].rpartition("/")[2], row["kind"]) for row in found] == [
        ("2", "both_wrong"), ("4", "b_right"), ("9", "b_right"),
    ]  # fmt: skip
    assert all("swing" not in row and "scores" not in row["a"] for row in found)


def test_perplexities_differ_as_they_are_and_have_no_rows(ramekin: Run) -> None:
    code, out, err = ramekin("evaluate", "diff", "perplexity/m0", "perplexity/m1", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["num_rows"] == 0 and {part["metric"] for part in told["tasks"]} == {"perplexity"}
    code, out, _ = ramekin("evaluate", "diff", "perplexity/m0", "perplexity/m1")
    assert code == 0 and "No rows are answered differently." in out


def test_a_model_has_no_difference_to_itself(ramekin: Run) -> None:
    code, out, _ = ramekin("evaluate", "diff", "a", "a", "--json")
    told = json.loads(out)
    assert code == 0 and told["num_rows"] == 0
    assert [(part["difference"], part["p_value"]) for part in told["tasks"]] == [(0, 1), (0, 1)]


def test_it_stands_beside_evaluate(ramekin: Run) -> None:
    code, out, _ = ramekin("evaluate", "diff", "--help")
    assert code == 0 and "evaluate diff [OPTIONS]" in out and "only=a_right" in out
    assert "evaluate diff" in ramekin("--help")[1]


def test_nothing_heavy_is_loaded() -> None:
    watch = (
        "import atexit, sys; heavy = ('torch', 'transformers', 'peft', 'datasets'); "
        "atexit.register(lambda: sys.stderr.write(repr([m for m in heavy if m in sys.modules]))); "
        "sys.argv[0] = 'ramekin'; from ramekin.cli import main; main()"
    )
    words = [sys.executable, "-c", watch, "evaluate", "diff", "a", "b"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0 and done.stderr.endswith("[]"), done.stderr + done.stdout
