"""`ramekin merge search` on tiny models, as a user types it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes import merge_search
from ramekin.recipes.examination import examine

Run = Callable[..., tuple[int, str, str]]
SEARCH = (
    "merge", "search", "method=task_arithmetic", "base=base", "models=[m1,m2]", "tasks=[mini/rte,mini/cola]",
    "limit=24", "mode=rank", "threads=1", "output=out",
)  # fmt: skip
FACTOR = "over={scaling_factor:[0,2]}"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    """A tiny base and two models of it; the working folder is empty but for them."""
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)
    for seed in (1, 2):
        make_checkpoint(Path(f"m{seed}"), seed=seed, like=tmp_path / "base")


def _tried() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(Path("out/tried.json").read_text())["trials"]
    return found


def _best() -> dict[str, object]:
    return max(_tried(), key=lambda each: each["average"])  # type: ignore[arg-type, return-value]


def test_a_grid_is_that_of_a_sweep(ramekin: Run) -> None:
    code, out, err = ramekin(*SEARCH, FACTOR, "strategy=grid", "points=5")
    assert code == 0, err
    assert [each["values"] for each in _tried()] == [{"scaling_factor": x} for x in (0, 0.5, 1, 1.5, 2)]
    swept = [word for word in SEARCH[2:] if not word.startswith("output")]
    words = ("sweep", "merge", *swept, "method.scaling_factor=0,0.5,1,1.5,2", "output=sweep")
    assert ramekin(*words)[0] == 0
    rows = list(csv.DictReader(Path("sweep/results.csv").read_text().splitlines()))
    assert [each["average"] for each in _tried()] == [float(row["Average"]) for row in rows]
    assert f"scaling_factor={_best()['values']['scaling_factor']:g}: " in out  # type: ignore[index]
    assert len(Path("out/results.csv").read_text().splitlines()) == 6
    (curve,) = json.loads(Path("out/report.json").read_text())["sweeps"]
    assert curve["factors"] == [0, 0.5, 1, 1.5, 2]


def test_the_best_is_written_as_the_merge_would_write_it(ramekin: Run) -> None:
    code, out, err = ramekin(*SEARCH, FACTOR, "points=6", "dtype=bfloat16", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["best"] == _best()["values"] and len(told["tried"]) == len(_tried()) <= 6
    factor = f"method.scaling_factor={told['best']['scaling_factor']}"
    words = ("merge", *SEARCH[2:5], factor, "dtype=bfloat16", "output=own")
    assert ramekin(*words)[0] == 0
    own, kept = (Path(folder, "model.safetensors").read_bytes() for folder in ("own", "out/model"))
    assert own == kept
    scored = ("evaluate", "model=out/model", *SEARCH[5:9], "output=scored", "--json")
    own_scores, best_scores = (
        [task["scores"] for task in each["tasks"]] for each in (json.loads(ramekin(*scored)[1]), told)
    )
    assert own_scores == best_scores


@pytest.mark.parametrize(("words", "first"), [((), 0.3), (("method.scaling_factor=1.2",), 1.2)])
def test_a_search_begins_at_the_methods_own_settings(
    ramekin: Run, words: tuple[str, ...], first: float
) -> None:
    assert ramekin(*SEARCH, FACTOR, *words, "points=2", "keep=false")[0] == 0
    assert _tried()[0]["values"] == {"scaling_factor": first}


def test_weights_are_searched_model_by_model(ramekin: Run) -> None:
    words = ("over={weights:[0,1]}", "method.scaling_factor=1", "strategy=cma_es", "points=7", "keep=false")
    code, _, err = ramekin(*SEARCH, *words)
    assert code == 0, err
    assert 4 <= len(_tried()) <= 7 and all(len(each["values"]["weights"]) == 2 for each in _tried())  # type: ignore[index]
    assert not Path("out/model").exists()
    assert json.loads(Path("out/report.json").read_text())["sweeps"] == []


def test_a_search_that_was_stopped_goes_on_and_ends_alike(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("over={weights:[0,1],scaling_factor:[0,2]}", "strategy=cma_es", "points=9", "seed=3")
    assert ramekin(*SEARCH, *words, "output=whole")[0] == 0
    asked = 0

    def stopped(*args, **more):
        nonlocal asked
        asked += 1
        if asked == 5:
            raise KeyboardInterrupt
        return examine(*args, **more)

    monkeypatch.setattr(merge_search, "examine", stopped)
    code, *_ = ramekin(*SEARCH, *words)
    assert code != 0 and len(_tried()) == 4 and not Path("out/report.json").exists()
    asked = -100
    code, _, err = ramekin(*SEARCH, *words)
    assert code == 0, err
    assert asked == -100 + len(_tried()) - 4 + 1  # those that were left, and the best once more
    whole, here = (Path(folder, "results.csv").read_text() for folder in ("whole", "out"))
    assert whole == here
    one, other = (Path(folder, "model/model.safetensors").read_bytes() for folder in ("whole", "out"))
    assert one == other


def test_other_weights_are_another_search(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]
) -> None:
    assert ramekin(*SEARCH, FACTOR, "points=3")[0] == 0
    Path("out/report.json").unlink()  # as if it had been stopped
    shutil.rmtree("m2")
    make_checkpoint(Path("m2"), seed=9, like=Path("base"))
    code, _, err = ramekin(*SEARCH, FACTOR, "points=3")
    assert code == 2 and "others than those that the search began with" in err and "overwrite=true" in err
    assert ramekin(*SEARCH, FACTOR, "points=3", "overwrite=true")[0] == 0


def test_the_best_is_scored_on_rows_that_had_no_say(ramekin: Run) -> None:
    code, out, err = ramekin(*SEARCH, FACTOR, "points=3", "split=train", "held_out=validation")
    assert code == 0, err
    assert "best, on train" in out and "best, on validation" in out
    rows = json.loads(Path("out/report.json").read_text())["tables"][0]["rows"]
    scored = ("evaluate", "model=out/model", *SEARCH[5:9], "output=scored")
    assert ramekin(*scored)[0] == 0
    own = json.loads(Path("scored/report.json").read_text())["tables"][0]["rows"][0]["cells"]
    assert rows[1]["cells"][:-1] == own[:-1]
    # The average's interval is made from the cells here, and from the rows there.
    assert rows[1]["cells"][-1]["value"] == pytest.approx(own[-1]["value"])


def test_points_without_finite_weights_are_passed_over(ramekin: Run) -> None:
    words = ("over={scaling_factor:[0,1e9]}", "strategy=grid", "points=3", "dtype=float16")
    code, _, err = ramekin(*SEARCH, *words)
    assert code == 0, err
    assert [each["average"] is None for each in _tried()] == [False, True, True]
    assert _best_of_finite() == {"scaling_factor": 0}
    words = ("over={scaling_factor:[1e8,1e9]}", "strategy=grid", "points=3", "dtype=float16")
    code, _, err = ramekin(*SEARCH, *words, "overwrite=true")
    assert code == 4 and "no point of the search is a merge with finite weights" in err


def _best_of_finite() -> object:
    return json.loads(Path("out/evaluation.json").read_text())["best"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("over={scaling_facto:[0,1]}",), "did you mean 'scaling_factor'"),
        (("over={scaling_factor:[1,0]}",), "a lower bound and a higher one"),
        (("over={}",), "over={scaling_factor:[0,1.5]}"),
        ((FACTOR, "held_out=validation"), "held_out: the search sees validation itself"),
        ((FACTOR, "strategy=cma_es"), "two numbers or more"),
        ((FACTOR, "strategy=simplex"), "nelder_mead"),
        ((FACTOR, "by_model=[weights,densities]"), "by_model"),
    ],
)
def test_what_cannot_be_searched_is_refused(ramekin: Run, words: tuple[str, ...], said: str) -> None:
    code, _, err = ramekin(*SEARCH, *words)
    assert code == 2 and said in err, err


def test_a_dry_run_says_what_would_be_tried(ramekin: Run) -> None:
    code, out, err = ramekin(*SEARCH, "over={weights:[0,1]}", "--dry-run")
    assert code == 0, err
    assert "weights[m1] from 0 to 1" in out and "at most 30 points" in out and "mini/rte" in out
    assert not Path("out").exists()
