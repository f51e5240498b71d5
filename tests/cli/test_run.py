"""The whole road in small: on the built-in world, and on real text where it is at hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SMALL = (
    "recipe.base.name=tiny", "recipe.base.text_rows=40", "recipe.base.d_model=32", "recipe.base.d_kv=8",
    "recipe.base.vocab_size=300", "recipe.train_rows=32", "recipe.eval_rows=10", "recipe.workers=1",
    "recipe.full.global_batch=16", "recipe.lora.global_batch=16", "recipe.sweep.factors=[0.0,0.3]", "output=out",
)  # fmt: skip
DEMO = (
    "run", "recipe=demo", *SMALL, "recipe.tasks=[mini/rte,mini/sst2]", "recipe.base.task_rows=20",
    "recipe.base.training.max_steps=2", "recipe.full.max_steps=2", "recipe.lora.max_steps=2",
)  # fmt: skip


def check_report(num_tasks: int) -> dict:
    report = json.loads(Path("out/report.json").read_text())
    methods = 3 * 2
    assert len(report["facts"]["checkpoints"]) == 1 + 2 * num_tasks + methods
    assert [len(table["columns"]) for table in report["tables"]] == [num_tasks + 1] * 4
    for table in report["tables"]:
        for row in table["rows"]:
            assert all(
                0 <= cell["low"] <= cell["high"] <= 1 or cell["metric"] != "accuracy" for cell in row["cells"]
            )
    (sweep,) = report["sweeps"]
    base_row = report["tables"][0]["rows"][0]["cells"]
    # At λ = 0 the sweep is the base, to the last digit.
    assert [series["cells"][0]["value"] for series in sweep["series"]] == [
        cell["value"] for cell in base_row[:-1]
    ]
    for name in ("report.md", "report.html", "config.yaml"):
        assert Path("out", name).stat().st_size > 0
    return report


def test_the_demos_road_is_walked_and_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramekin: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = ramekin(*DEMO)
    assert code == 0, err
    assert "Merging: full fine-tuned models" in out and "Pre-trained" in out
    first = check_report(2)
    weights = {path: path.read_bytes() for path in Path("out/models").rglob("*.safetensors")}
    # An interrupted walk has no report yet: the same command takes what is there and ends in the same report.
    Path("out/report.json").unlink()
    assert ramekin(*DEMO)[0] == 0
    assert check_report(2)["tables"] == first["tables"]
    assert {path: path.read_bytes() for path in weights} == weights
    code, _, err = ramekin(*DEMO)
    assert code == 2 and "never overwritten unasked" in err


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_the_road_on_real_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramekin: Run) -> None:
    monkeypatch.chdir(tmp_path)
    short = (
        "recipe.base.vocab_size=1500",
        "recipe.base.training.epochs=1",
        "recipe.full.epochs=1",
        "recipe.lora.epochs=1",
    )
    code, out, err = ramekin("run", "recipe=real_text", f"data_root={DATA}", *SMALL, *short)
    assert code == 0, err
    assert "TF-IDF + logistic regression" in out
    origins = [each["origin"] for each in check_report(4)["facts"]["data"]]
    assert all(origin.endswith("validation.parquet") for origin in origins)


def test_a_dry_run_shows_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramekin: Run) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = ramekin("demo", "--dry-run")
    assert code == 0 and "1. make the base mini/base" in out and "sweep 11 scaling factors" in out
    assert list(tmp_path.iterdir()) == []


def test_settings_of_another_base_under_the_name_of_mini_base_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramekin: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = ramekin("demo", "recipe.base.d_model=32", "output=out")
    assert code == 2 and "recipe.base.name" in err


def test_a_training_recipe_runs_under_either_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramekin: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    words = ("recipe=glue/full_base", "task=glue/cola", "tiny=true", "max_steps=2", "threads=1")
    for verb in ("run", "train"):
        code, out, err = ramekin(verb, *words, f"output={verb}ning")
        assert code == 0 and "2 steps" in out, err
    weights = [Path(f"{verb}ning", "model.safetensors").read_bytes() for verb in ("run", "train")]
    assert weights[0] == weights[1]
    Path("c.yaml").write_text("recipe: glue/full_base\ntask: glue/cola\n")
    code, out, _ = ramekin("run", "--config", "c.yaml", "--dry-run", "tiny=true")
    assert code == 0 and "12 steps" in out
    assert ramekin("run", "recipe=glue/fullbase")[0] == 2
