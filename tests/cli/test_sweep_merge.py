"""`ramekin sweep merge` with tasks: merges formed in place and evaluated, as a user types it."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes import examination, in_place
from ramekin.weights.reading import CheckpointReader

Run = Callable[..., tuple[int, str, str]]
TASKS = ("tasks=[mini/rte,mini/cola]", "limit=12", "threads=1")
MODELS = ("base=base", "models=[m1,m2]")
SWEEP = ("sweep", "merge", *MODELS, *TASKS, "output=out")


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    """A tiny base and two models of it; the working folder is empty but for them."""
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)
    for seed in (1, 2):
        make_checkpoint(Path(f"m{seed}"), seed=seed, like=tmp_path / "base")


def _cells(folder: str | Path) -> list[float]:
    table = json.loads(Path(folder, "report.json").read_text())["tables"][0]
    return [cell["value"] for cell in table["rows"][-1]["cells"]]


def _predictions(folder: Path) -> dict[str, list[str]]:
    return {
        path.name: [json.loads(line)["prediction"] for line in path.read_text().splitlines()]
        for path in folder.glob("predictions/*.jsonl")
    }


@pytest.mark.parametrize(
    "words",
    [
        ("method=task_arithmetic", "method.scaling_factor=0.0,0.7"),
        ("method=ties_merging", "method.density=0.2,0.9"),
        ("method=simple_average,slerp",),
        ("method=task_arithmetic", "post=svc", "method.scaling_factor=0.3,0.7", "dtype=bfloat16"),
        ("method=ties_merging", "align=knots", "method.scaling_factor=0.3,0.7"),
    ],
    ids=["factors", "settings", "methods", "post", "align"],
)
def test_every_point_is_what_the_merge_on_disk_scores(ramekin: Run, words: tuple[str, ...]) -> None:
    code, _, err = ramekin(*SWEEP, *words)
    assert code == 0, err
    assert not list(Path("out").rglob("*.safetensors"))
    swept = next(word for word in words if "," in word)
    key, _, values = swept.partition("=")
    for value in values.split(","):
        rest = [f"{key}={value}" if word == swept else word for word in words]
        merged, scored = f"merged-{value}", f"scored-{value}"
        assert ramekin("merge", *MODELS, *rest, f"output={merged}")[0] == 0
        assert ramekin("evaluate", f"model={merged}", *TASKS, f"output={scored}")[0] == 0
        point = Path("out", f"{key}={value}")
        assert _cells(point) == _cells(scored)
        assert _predictions(point) == _predictions(Path(scored)) and len(_predictions(point)) == 2


def test_models_are_read_and_prompts_are_encoded_once(ramekin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[str] = Counter()
    read, encoded, made = CheckpointReader.read, [], examination.evaluation_sets_of

    def counted(self, name, start, stop, *, out=None):
        reads[f"{Path(self.where).name}#{name}"] += stop - start
        return read(self, name, start, stop, out=out)

    monkeypatch.setattr(CheckpointReader, "read", counted)
    monkeypatch.setattr(examination, "evaluation_sets_of", lambda sets: encoded.append(sets) or made(sets))
    code, out, err = ramekin(
        *SWEEP, "method=task_arithmetic,ties_merging", "method.scaling_factor=0.0,0.5,1.0"
    )
    assert code == 0, err
    assert len(encoded) == 1, reads
    with CheckpointReader(Path("base")) as reader:
        sizes = {name: reader.info(name).numel for name in reader.names()}
    assert {
        reads[f"{folder}#{name}"] / size for folder in ("base", "m1", "m2") for name, size in sizes.items()
    } == {1}
    rows = list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))
    assert [row["method.scaling_factor"] for row in rows] == ["0.0", "0.5", "1.0"] * 2
    assert "rte" in rows[0] and "Average" in rows[0] and "Scores by method, method.scaling_factor" in out


def test_models_that_do_not_fit_in_memory_are_swept_too(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("method=task_arithmetic", "method.scaling_factor=0.1,0.9")
    assert ramekin(*SWEEP, *words)[0] == 0
    monkeypatch.setattr(in_place, "_free_bytes", lambda: 1000)
    in_place._shared.cache_clear()
    assert ramekin(*SWEEP, *words, "output=other")[0] == 0
    assert Path("out/results.csv").read_text() != "" and _cells("out") == _cells("other")
    in_place._shared.cache_clear()


def test_a_curve_comes_out_and_the_grid_may_grow(ramekin: Run) -> None:
    words = (*SWEEP, "method=task_arithmetic")
    assert ramekin(*words, "method.scaling_factor=0.0,0.4")[0] == 0
    code, _, err = ramekin(*words, "method.scaling_factor=0.0,0.2,0.4")
    assert code == 0 and "3 of 4 points are finished" in err  # the base is one of them
    (sweep,) = json.loads(Path("out/report.json").read_text())["sweeps"]
    assert sweep["factors"] == [0.0, 0.2, 0.4] and sweep["average"]["label"] == "Average"
    assert list(Path("out/plots").glob("*.png"))


def test_merges_stand_beside_the_base_and_the_models_on_their_own_tasks(ramekin: Run) -> None:
    Path("m1").rename("rte")
    Path("m2").rename("cola")
    words = (
        "base=base",
        "models=[rte,cola]",
        *TASKS,
        "method=task_arithmetic",
        "method.scaling_factor=0.2,0.7",
    )
    code, out, err = ramekin("sweep", "merge", *words, "output=out")
    assert code == 0, err
    report = json.loads(Path("out/report.json").read_text())
    table, (curve,) = report["tables"][0], report["sweeps"]
    rows = {row["label"]: [cell["value"] for cell in row["cells"]] for row in table["rows"]}
    assert list(rows) == ["Pre-trained", "Fine-tuned (STL)", "0.2", "0.7"] and "Reference results" in out
    for name, asked in (("base", "mini/rte,mini/cola"), ("rte", "mini/rte"), ("cola", "mini/cola")):
        code = ramekin("evaluate", f"model={name}", f"tasks=[{asked}]", *TASKS[1:], f"output=own-{name}")[0]
        assert code == 0
    own = [*_cells("own-rte"), *_cells("own-cola")]
    assert rows["Pre-trained"] == _cells("own-base")
    assert rows["Fine-tuned (STL)"] == [*own, pytest.approx(sum(own) / 2)]
    assert [(each["label"], each["average"]["value"]) for each in curve["references"]] == [
        ("Pre-trained", rows["Pre-trained"][2]),
        ("Fine-tuned (STL)", rows["Fine-tuned (STL)"][2]),
    ]
    assert len(list(csv.DictReader(Path("out/results.csv").read_text().splitlines()))) == 2
    code, _, err = ramekin("sweep", "merge", *words, "output=out")
    assert code == 0 and "5 of 5 points are finished" in err
    assert ramekin("sweep", "merge", *words, "output=without", "references=false")[0] == 0
    assert len(json.loads(Path("without/report.json").read_text())["tables"][0]["rows"]) == 2


def test_points_of_fuse_are_formed_in_place_and_score_what_the_merge_on_disk_does(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read = CheckpointReader.read

    def counted(self, name, start, stop, *, out=None):
        reads[f"{Path(self.where).name}#{name}"] += stop - start
        return read(self, name, start, stop, out=out)

    names = {"_pretrained_": "base", "a": "m1", "b": "m2"}
    members = ", ".join(f"{key}: {{pretrained_model_name_or_path: {name}}}" for key, name in names.items())
    words = (
        "method=task_arithmetic",
        f"modelpool.models={{{members}}}",
        "+taskpool.name=own",
        "taskpool.tasks=[mini/rte,mini/cola]",
        *TASKS[1:],
    )
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointReader, "read", counted)
        code, _, err = ramekin("sweep", "fuse", *words, "method.scaling_factor=0.0,0.4,0.9", "output=out")
    assert code == 0, err
    assert not list(Path("out").rglob("*.safetensors"))
    with CheckpointReader(Path("m1")) as reader:
        sizes = {name: reader.info(name).numel for name in reader.names()}
    compared = {"shared.weight", "lm_head.weight"}  # first, to see whether they are one tensor
    assert {
        reads[f"{folder}#{name}"] / size
        for folder in ("base", "m1", "m2")
        for name, size in sizes.items()
        if name not in compared
    } == {1}
    kept = (*words, "method.scaling_factor=0.9", "merged_model_save_path=kept", "output=one")
    code, _, err = ramekin("fuse", *kept)
    assert code == 0, err
    point = Path("out/method.scaling_factor=0.9")
    assert _cells(point) == _cells("one") and _predictions(point) == _predictions(Path("one"))


def test_a_model_that_was_trained_anew_is_another_sweep(
    ramekin: Run, make_checkpoint: Callable[..., Path]
) -> None:
    words = (*SWEEP, "method=task_arithmetic", "method.scaling_factor=0.5,1.0")
    assert ramekin(*words)[0] == 0
    before = _cells("out"), _predictions(Path("out/method.scaling_factor=1.0"))
    shutil.rmtree("m2")
    make_checkpoint(Path("m2"), seed=9, like=Path("base"))
    code, _, err = ramekin(*words)
    assert code == 2 and "weights.m2" in err and "overwrite=true" in err
    assert ramekin(*words, "overwrite=true")[0] == 0
    assert (_cells("out"), _predictions(Path("out/method.scaling_factor=1.0"))) != before


def test_what_does_not_fit_fails_and_the_other_points_are_kept(ramekin: Run) -> None:
    code, _, err = ramekin(*SWEEP, "method=task_arithmetic", "method.weights=[1,2],[1,2,3]")
    assert code == 2 and "1 of 3 points failed" in err and "weights" in err  # the base is one
    assert len(Path("out/results.csv").read_text().splitlines()) == 2


def test_a_dry_run_names_the_points(ramekin: Run) -> None:
    code, out, err = ramekin(*SWEEP, "method=task_arithmetic", "method.scaling_factor=0.5,1.0", "--dry-run")
    assert code == 0 and "2 points of ramekin merge" in out, err
    assert not Path("out").exists()


def test_tasks_may_stand_in_a_file(ramekin: Run) -> None:
    Path("own.yaml").write_text("tasks: [mini/rte]\nlimit: 8\nthreads: 1\nbase: base\nmodels: [m1, m2]\n")
    words = ("sweep", "merge", "--config", "own.yaml", "method=task_arithmetic", "output=out")
    code, _, err = ramekin(*words, "method.scaling_factor=0.5,1.0")
    assert code == 0, err
    assert Path("out/method.scaling_factor=0.5/evaluation.json").is_file()


@pytest.mark.slow
def test_points_side_by_side_find_the_same(ramekin: Run) -> None:
    words = ("method=task_arithmetic", "method.scaling_factor=0.0,0.5,1.0")
    assert ramekin(*SWEEP, *words)[0] == 0
    code, _, err = ramekin(*SWEEP, *words, "output=two", "--workers", "2")
    assert code == 0, err
    for name in ("0.0", "0.5", "1.0"):
        one, two = (Path(folder, f"method.scaling_factor={name}") for folder in ("out", "two"))
        assert _cells(one) == _cells(two) and _predictions(one) == _predictions(two)
