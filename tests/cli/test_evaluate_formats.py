"""`ramekin evaluate formats=[lm_eval,fusionbench]`, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    for seed in (0, 1):
        make_checkpoint(tmp_path / f"org/m{seed}", seed=seed)


def read(path: str) -> dict:
    (found,) = Path().glob(path)
    return json.loads(found.read_text())


def lines(path: str) -> list[dict]:
    (found,) = Path().glob(path)
    return [json.loads(line) for line in found.read_text().splitlines()]


def test_one_model_in_both_layouts(ramekin: Run) -> None:
    words = ("model=org/m0", "tasks=[mini/rte,mini/stsb]", "limit=6", "formats=[lm_eval,fusionbench]")
    code, _, err = ramekin("evaluate", *words, "output=eval")
    assert code == 0, err
    told = read("eval/evaluation.json")
    values = {part["task"]: part["scores"][0]["value"] for part in told["tasks"]}
    peer = read("eval/fusionbench.json")
    assert list(peer) == ["model_info", "rte", "stsb"]
    assert peer["rte"] == {"accuracy": values["mini/rte"]}
    assert peer["stsb"] == {"spearman_rho": values["mini/stsb"]}
    assert peer["model_info"]["all_params"] == told["all_parameters"]
    found = read("eval/lm_eval/org__m0/results_*.json")
    assert found["results"]["mini_rte"]["exact_match,none"] == values["mini/rte"]
    assert found["results"]["mini_stsb"]["spearman,none"] == values["mini/stsb"]
    assert (found["model_name"], found["config"]["limit"], found["group_subtasks"]) == ("org/m0", 6, {})
    assert found["ramekin_version"].startswith("ramekin ") and found["lm_eval_version"] is None
    rows = lines("eval/lm_eval/org__m0/samples_mini_rte_*.jsonl")
    own = lines("eval/predictions/mini_rte-fusionbench-validation.jsonl")
    assert [row["filtered_resps"] for row in rows] == [[row["prediction"]] for row in own]
    assert [row["arguments"]["gen_args_0"]["arg_0"] for row in rows] == [row["inputs"] for row in own]
    assert [row["exact_match"] for row in rows] == [float(row["correct"]) for row in own]
    names = sorted(path.name for path in Path("eval/lm_eval/org__m0").iterdir())
    dates = {name.rpartition("_")[2].rpartition(".")[0] for name in names}
    assert len(names) == 3 and len(dates) == 1


def test_several_models_and_templates_of_a_suite(ramekin: Run) -> None:
    Path("pair.yaml").write_text(
        "mode: lm_eval\ntemplates: all\nsplits: [validation]\nparts:\n"
        "- {title: two, tasks: [mini/rte]}\n- {title: one, tasks: [mini/qnli]}\n"
    )
    words = ("models=[org/m0,org/m1]", "suite=pair.yaml", "limit=4", "formats=lm_eval", "output=eval")
    code, _, err = ramekin("evaluate", *words)
    assert code == 0, err
    for model in ("m0", "m1"):
        found = read(f"eval/lm_eval/org__{model}/results_*.json")
        told = read(f"eval/org-{model}/evaluation.json")
        assert found["group_subtasks"]["pair"] == ["pair_two", "pair_one"]
        assert found["group_subtasks"]["pair_two"] == ["mini_rte"]
        templates = found["group_subtasks"]["mini_rte"]
        assert "mini_rte_fusionbench" in templates and len(templates) == 8
        assert found["groups"]["pair"]["acc,none"] == pytest.approx(told["headline"]["value"])
        for part in told["tasks"]:
            name = f"{part['task'].replace('/', '_')}_{part['template']}"
            by_name = {score["metric"]: score for score in part["scores"]}
            values = found["results"][name]
            assert values["acc,none"] == by_name["accuracy"]["value"]
            assert values["acc_norm,none"] == by_name["accuracy_characters"]["value"]
            assert values["acc_stderr,none"] == by_name["accuracy"]["standard_error"]
            assert len(lines(f"eval/lm_eval/org__{model}/samples_{name}_*.jsonl")) == 4


def test_what_a_layout_cannot_hold_is_refused_before_anything_is_computed(ramekin: Run) -> None:
    for how in ((), ("--dry-run",)):
        words = (
            *how,
            "model=org/m0",
            "task=mini/rte",
            "templates=all",
            "formats=[fusionbench]",
            "output=eval",
        )
        code, _, err = ramekin("evaluate", *words)
        assert code == 2 and "asked in several ways: mini/rte; fix: name one template" in err
        assert "open" not in err and not Path("eval").exists()
    code, _, err = ramekin("evaluate", "model=org/m0", "task=mini/rte", "formats=[lmeval]")
    assert code == 2 and "lm_eval" in err


def test_a_run_that_was_stopped_at_the_end_leaves_one_result(ramekin: Run) -> None:
    words = ("evaluate", "model=org/m0", "task=mini/rte", "limit=4", "formats=lm_eval", "output=eval")
    assert ramekin(*words)[0] == 0
    (file,) = Path().glob("eval/lm_eval/org__m0/results_*.json")
    file.rename(file.with_name("results_2020-01-01T00-00-00.json"))
    Path("eval/report.json").unlink()
    assert ramekin(*words)[0] == 0
    (again,) = Path().glob("eval/lm_eval/org__m0/results_*.json")
    assert "2020" not in again.name
