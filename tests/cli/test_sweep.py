"""`ramekin sweep` on tiny models, as a user types it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes import train

Run = Callable[..., tuple[int, str, str]]

TRAIN = (
    "sweep", "train", "task=mini/rte", "limit=16", "global_batch=8", "eval_limit=8", "threads=1", "model=base",
    "output=out",
)  # fmt: skip


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it."""
    monkeypatch.chdir(tmp_path)
    return make_checkpoint(tmp_path / "base", seed=0)


def test_every_point_has_its_folder_and_all_stand_in_one_table(ramekin: Run) -> None:
    code, out, err = ramekin(*TRAIN, "max_steps=1,2", "learning_rate=1e-3,1e-2")
    assert code == 0, err
    names = [f"max_steps={steps},learning_rate={rate}" for steps in (1, 2) for rate in ("0.001", "0.01")]
    for name in names:
        assert Path("out", name, "model.safetensors").is_file()
    assert "Scores by max_steps, learning_rate" in out
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [(row["max_steps"], row["learning_rate"]) for row in rows] == [
        ("1", "0.001"), ("1", "0.01"), ("2", "0.001"), ("2", "0.01"),
    ]  # fmt: skip
    own = json.loads(Path("out", names[3], "report.json").read_text())["tables"][0]["rows"][0]["cells"][0]
    assert float(rows[3]["rte"]) == own["value"] and rows[3]["steps"] == "2"
    table = json.loads(Path("out/report.json").read_text())["tables"][0]
    assert [row["label"] for row in table["rows"]] == ["1, 0.001", "1, 0.01", "2, 0.001", "2, 0.01"]
    assert table["rows"][3]["cells"][0] == own
    told = json.loads(Path("out/results.json").read_text())
    assert told["keys"] == ["max_steps", "learning_rate"] and len(told["points"]) == 4


def test_finished_points_are_found_done_and_the_grid_may_grow(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int | None] = []
    execute = train.execute

    def counted(config, progress):
        ran.append(config.training.max_steps)
        return execute(config, progress)

    monkeypatch.setattr(train, "execute", counted)
    assert ramekin(*TRAIN, "max_steps=1,2")[0] == 0
    first = Path("out/results.csv").read_text()
    code, _, err = ramekin(*TRAIN, "max_steps=1,2", "threads=2")
    assert code == 0 and "2 of 2 points are finished" in err and ran == [1, 2]
    assert Path("out/results.csv").read_text() == first
    assert ramekin(*TRAIN, "max_steps=1,2,3")[0] == 0 and ran == [1, 2, 3]
    # Killed between a point's end and its record: the run is found done, its values are the same.
    record = Path("out/points/max_steps=2.json")
    kept = record.read_bytes()
    record.unlink()
    assert ramekin(*TRAIN, "max_steps=1,2,3")[0] == 0
    assert json.loads(record.read_bytes())["values"] == {
        **json.loads(kept)["values"],
        "finished_before": True,
    }
    code, _, err = ramekin(*TRAIN, "max_steps=1,2", "seed=1")
    assert code == 2 and "a point of another sweep" in err


def test_a_point_is_taken_for_finished_only_if_all_that_decides_it_is_the_same(
    ramekin: Run, base: Path, make_checkpoint: Callable[..., Path]
) -> None:
    words = (
        "sweep",
        "evaluate",
        "model=base",
        "task=mini/rte",
        "limit=4,8",
        "threads=1",
        "--config",
        "own.yaml",
    )
    Path("own.yaml").write_text("output: out\nmax_input_tokens: 64\n")
    assert ramekin(*words)[0] == 0
    assert "2 of 2 points are finished" in ramekin(*words)[2]
    Path("own.yaml").write_text("output: out\nmax_input_tokens: 128\n")
    code, _, err = ramekin(*words)
    assert code == 2 and "expected max_input_tokens=128, got max_input_tokens=64" in err
    Path("own.yaml").write_text("output: out\nmax_input_tokens: 64\n")
    shutil.rmtree(base)
    make_checkpoint(base, seed=5)
    code, _, err = ramekin(*words)
    assert code == 2 and "expected weights.base=" in err and "overwrite=true" in err
    first = Path("out/results.csv").read_text()
    assert ramekin(*words, "overwrite=true")[0] == 0
    assert "2 of 2 points are finished" in ramekin(*words)[2]
    # The folder of a point may go: what it found stays in the table.
    report = json.loads(Path("out/report.json").read_text())["tables"]
    shutil.rmtree("out/limit=4")
    assert ramekin(*words)[0] == 0
    assert json.loads(Path("out/report.json").read_text())["tables"] == report
    assert len(Path("out/results.csv").read_text().splitlines()) == len(first.splitlines()) == 3


def test_a_point_that_fails_does_not_keep_the_others_from_being_done(ramekin: Run) -> None:
    words = (*TRAIN, "max_steps=3", "optimizer=adafactor", "scale_parameter=false", "max_grad_norm=null")
    code, _, err = ramekin(*words, "learning_rate=1e-3,1e11,1e-4")
    assert code == 4 and "1 of 3 points failed" in err and "learning_rate=100000000000.0: " in err
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [row["learning_rate"] for row in rows] == ["0.001", "0.0001"]
    code, _, err = ramekin(*words, "learning_rate=1e-3,1e-4")
    assert code == 0 and "2 of 2 points are finished" in err


def test_the_folder_of_a_sweep_is_said_as_that_of_its_verb(
    ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    words = ("sweep", "evaluate", "model=base", "task=mini/rte", "limit=4,8", "threads=1", "output='~/sw'")
    code, _, err = ramekin(*words)
    assert code == 0, err
    assert {path.name for path in (tmp_path / "home" / "sw").iterdir()} >= {
        "limit=4",
        "points",
        "results.csv",
    }
    assert "rte" in (tmp_path / "home" / "sw" / "results.csv").read_text().splitlines()[0]


@pytest.mark.slow
def test_points_side_by_side_find_the_same(ramekin: Run) -> None:
    words = ("max_steps=2", "seed=1,2")
    assert ramekin(*TRAIN, *words)[0] == 0
    assert ramekin(*TRAIN, *words, "output=two", "--workers", "2")[0] == 0
    for seed in (1, 2):
        one, two = (
            Path(folder, f"seed={seed}", "model.safetensors").read_bytes() for folder in ("out", "two")
        )
        assert one == two


def test_one_swept_number_gives_a_curve(ramekin: Run) -> None:
    words = ("sweep", "evaluate", "model=base", "tasks=[mini/rte,mini/cola]", "threads=1", "output=out")
    code, _, err = ramekin(*words, "limit=4,8")
    assert code == 0, err
    (sweep,) = json.loads(Path("out/report.json").read_text())["sweeps"]
    assert sweep["factors"] == [4.0, 8.0] and [series["label"] for series in sweep["series"]] == [
        "rte",
        "cola",
    ]
    assert [cell["n"] for cell in sweep["series"][0]["cells"]] == [4, 8]
    assert list(Path("out/plots").glob("*.png"))
    # The record is lost, the evaluation is not overwritten by itself: the sweep makes it anew.
    Path("out/points/limit=4.json").unlink()
    before = Path("out/results.csv").read_text()
    assert ramekin(*words, "limit=4,8")[0] == 0
    assert [line.split(",")[:2] for line in Path("out/results.csv").read_text().splitlines()] == [
        line.split(",")[:2] for line in before.splitlines()
    ]


def test_what_a_sweep_has_not_made_is_not_overwritten(ramekin: Run) -> None:
    words = ("model=base", "task=mini/rte", "threads=1")
    assert ramekin("evaluate", *words, "limit=4", "seed=7", "output='out/limit=4'")[0] == 0
    Path("out/limit=6").mkdir()
    Path("out/limit=6/notes.txt").write_text("mine")
    for _ in range(2):
        code, _, err = ramekin("sweep", "evaluate", *words, "output=out", "limit=4,5,6")
        assert code == 2 and "2 of 3 points failed" in err and "overwrite=true" in err
        assert "seed: 7" in Path("out/limit=4/config.yaml").read_text()
        assert Path("out/limit=6/notes.txt").read_text() == "mine"
    assert [path.name for path in Path("out/points").iterdir()] == ["limit=5.json"]
    code, _, err = ramekin("sweep", "evaluate", *words, "output=out", "limit=4,5,6", "overwrite=true")
    assert code == 2 and "1 of 3 points failed" in err and "a folder of something else" in err
    assert Path("out/limit=6/notes.txt").read_text() == "mine"
    Path("out/limit=6").rename("notes")
    assert ramekin("sweep", "evaluate", *words, "output=out", "limit=4,5,6", "overwrite=true")[0] == 0
    assert "seed: 0" in Path("out/limit=4/config.yaml").read_text()


@pytest.mark.parametrize(
    "scored",
    [
        ("evaluate", "model=base", "task=glue/rte"),
        (
            "fuse",
            "method=dummy",
            "modelpool=Seq2SeqLMPool/flan-t5-base_individual",
            "modelpool.models._pretrained_.pretrained_model_name_or_path=base",
            "taskpool=flan-t5_glue_text_generation",
            "taskpool.tasks=[glue/rte]",
        ),
    ],
    ids=["evaluate", "fuse"],
)
def test_scores_whose_rows_have_changed_are_not_taken_for_finished(
    ramekin: Run, glue_root: Path, monkeypatch: pytest.MonkeyPatch, scored: tuple[str, ...]
) -> None:
    shutil.copytree(glue_root, "data")
    monkeypatch.setenv("RAMEKIN_DATA", "data")
    words = ("sweep", *scored, "threads=1", "output=out")
    code, _, err = ramekin(*words, "limit=4,8")
    assert code == 0, err
    assert "2 of 2 points are finished" in ramekin(*words, "limit=4,8")[2]
    rows = Path("data/glue/rte/validation.jsonl")
    rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:9]))
    code, _, err = ramekin(*words, "limit=4,8,9")
    assert code == 2 and "read has changed since" in err and "validation.jsonl" in err
    assert ramekin(*words, "limit=4,8,9", "overwrite=true")[0] == 0


def test_merges_are_swept_and_told_by_their_hashes(
    ramekin: Run, base: Path, make_checkpoint: Callable[..., Path]
) -> None:
    for seed in (1, 2):
        make_checkpoint(Path(f"m{seed}"), seed=seed, like=base)
    words = ("sweep", "merge", "method=task_arithmetic", "base=base", "models=[m1,m2]", "output=out")
    code, out, err = ramekin(*words, "method.scaling_factor=0.1,0.3")
    assert code == 0 and "sha256" in out, err
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert len({row["sha256"] for row in rows}) == 2
    assert "sha256" in Path("out/report.md").read_text()
    code, out, _ = ramekin(*words, "method.scaling_factor=0.1,0.3", "--json")
    assert code == 0 and json.loads(out)["points"][0]["sha256"] == rows[0]["sha256"]
    # Killed between the end of a merge and its record: it is made anew, and nothing else is.
    record = Path("out/points/method.scaling_factor=0.1.json")
    told = json.loads(record.read_text())
    record.write_text(json.dumps({"asked": told["asked"]}))
    code, _, err = ramekin(*words, "method.scaling_factor=0.1,0.3")
    assert code == 0 and json.loads(record.read_text())["values"]["sha256"] == rows[0]["sha256"], err
    record.unlink()
    code, _, err = ramekin(*words, "method.scaling_factor=0.1,0.3")
    assert code == 2 and "overwrite=true" in err and not record.exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("sweep", "train", "task=mini/rte", "model=base", "max_steps=1"), "nothing is swept"),
        (("sweep", "trian", "seed=1,2"), "did you mean 'train'"),
        (("sweep", "train", "task=mini/rt,mini/coal", "model=base"), "did you mean 'mini/cola'"),
        (("sweep", "train", "model=base", "task=mini/rte", "max_steps=1,-1"), "max_steps=-1"),
        (
            (
                "sweep",
                "fuse",
                "method=simple_average",
                "modelpool=Seq2SeqLMPool/flan-t5-base_glue",
                "taskpool=flan-t5_glue_text_generation",
                "limit=1,2",
                "report_save_path=rep.json",
            ),
            "limit=2: report_save_path: another point writes rep.json",
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_point_is_run(
    ramekin: Run, words: tuple[str, ...], part: str
) -> None:
    code, _, err = ramekin(*words)
    assert code == 2 and part in err
    assert not Path("outputs").exists()


def test_a_dry_run_names_the_points(ramekin: Run) -> None:
    code, out, _ = ramekin(*TRAIN, "max_steps=1,2", "--dry-run")
    assert (
        code == 0 and "2 points of ramekin train" in out and "max_steps=2" in out and not Path("out").exists()
    )
