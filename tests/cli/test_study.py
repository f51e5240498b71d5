"""`ramekin study` on tiny models, as a user types it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes import evaluate, train

Run = Callable[..., tuple[int, str, str]]

SMALL = (
    "study", "name=mini", "num_tasks=[1,2]", "models=[own]", "study.train.max_steps=2", "train.global_batch=4",
    "workers=1", "threads=1", "evaluations.held_out.limit=6", "evaluations.held_out_in_steps.limit=3",
    "study.train.mixture.limit_examples=20", "output=out",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it, and tokens are kept in a folder of the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "own", seed=0)


def test_a_study_is_carried_out_drawn_and_found_done(ramekin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for module in (train, evaluate):
        execute = module.execute

        def counted(config, progress, execute=execute):
            ran.append(config.output.name)
            return execute(config, progress)

        monkeypatch.setattr(module, "execute", counted)
    code, out, err = ramekin(*SMALL)
    assert code == 0, err
    names = [f"num_tasks={n},model=own,cot={cot},seed=0" for n in (1, 2) for cot in ("leave_out", "include")]
    scored = [f"{name},evaluation={each}" for name in names for each in ("held_out", "held_out_in_steps")]
    assert ran == [*names, *scored]
    assert "Held out: score by number of tasks" in out and "own, with chains of thought" in out
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [(row["num_tasks"], row["cot_tasks"], row["cot"]) for row in rows] == [
        ("1", "0", "leave_out"), ("1", "2", "include"), ("2", "0", "leave_out"), ("2", "2", "include"),
    ]  # fmt: skip
    own = json.loads(Path("out", scored[0], "report.json").read_text())["tables"][0]["rows"][0]["cells"]
    assert [float(rows[0][f"held_out: {name}"]) for name in ("boolq", "multirc")] == [
        cell["value"] for cell in own[:2]
    ]
    report = json.loads(Path("out/report.json").read_text())
    assert report["tables"][0]["rows"][0]["cells"][0] == {**own[2], "metric": "accuracy"}
    assert len(report["curves"]) == 2 and len(list(Path("out/plots").glob("curves-*.png"))) == 2
    # Done already; then one point is lost: it alone is made again, with the same result.
    first = Path("out/results.csv").read_text()
    ran.clear()
    assert ramekin(*SMALL)[0] == 0 and ran == []
    for name in (names[1], scored[3]):
        shutil.rmtree(Path("out", name))
    Path("out/points", f"{scored[3]}.json").unlink()
    assert ramekin(*SMALL)[0] == 0 and ran == [names[1], scored[3]]
    kept = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(first.splitlines())]
    again = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in again] == kept
    # A grid may grow; another study may not take the folder.
    ran.clear()
    code, _, err = ramekin(*SMALL, "num_tasks=[0,1,2]", "cot=[leave_out]")
    assert code == 0, err
    assert ran == [
        f"num_tasks=0,model=own,cot=leave_out,evaluation={e}" for e in ("held_out", "held_out_in_steps")
    ]
    ran.clear()
    code, _, err = ramekin(*SMALL, "study.train.max_steps=3")
    assert code == 2 and "a point of another sweep" in err
    # Nor may a model that is gone be trained by other words and its old scores stay.
    shutil.rmtree(Path("out", names[0]))
    code, _, err = ramekin(*SMALL, "study.train.max_steps=3", "evaluations.held_out_in_steps.limit=2")
    assert code == 2 and "a point of another sweep" in err and "training.max_steps=3" in err and ran == []


def test_a_dry_run_shows_the_grid_and_commands_that_can_be_typed(ramekin: Run) -> None:
    code, out, err = ramekin(*SMALL, "--dry-run")
    assert code == 0 and "4 models below out" in out, err
    assert "num_tasks=2,model=own,cot=include,seed=0" in out and not Path("out").exists()
    import shlex

    line = next(line for line in out.splitlines() if line.startswith("ramekin train"))
    code, planned, err = ramekin(*shlex.split(line)[1:], "--dry-run")
    assert code == 0 and "train own" in planned, err
    values = json.loads(ramekin(*SMALL, "--dry-run", "--json")[1])
    assert [point["tasks"] for point in values["points"]] == [1, 1, 2, 2]
    assert values["points"][0]["tokens_at_most"] == 2 * 4 * (192 + 64)
    assert len(values["points"][0]["commands"]) == 3


def test_flan_2022_is_planned_without_a_network_or_a_clone(ramekin: Run) -> None:
    code, out, err = ramekin("study", "name=flan_2022", "models=[small,xxl]", "output=out", "--dry-run")
    assert code == 0, err
    assert "16 models below out" in out and "98,000" in out and "14,000" in out
    assert "not counted: the mixture's tasks of the family 'ni' are not there" in out
    assert "model=google/t5-xxl-lm-adapt" in out and "mixture.without=[t0_sf,niv2]" in out
    assert not Path("out").exists()


def test_what_is_wrong_is_said_before_any_point_is_run(ramekin: Run) -> None:
    code, _, err = ramekin(*SMALL, "study.evaluations.held_out.tasks=[mini/bolq]", "study.train.max_step=1")
    assert code == 2 and "did you mean 'mini/boolq'" in err and "did you mean 'max_steps'" in err
    code, _, err = ramekin("study", "name=mni")
    assert code == 2 and "did you mean 'mini'" in err
