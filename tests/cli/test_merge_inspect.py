"""`ramekin merge inspect` as a user types it; `ramekin merge` goes on beside it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

BASE = "base=google/flan-t5-base"
MODELS = "models=[" + ",".join(f"tanganke/flan-t5-base_glue-{task}" for task in ("rte", "cola", "sst2")) + "]"
INSPECT = ("merge", "inspect", BASE, MODELS)


@pytest.fixture(autouse=True)
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))


def _no_constants(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def _json(ramekin: Run, *words: str) -> dict:  # type: ignore[type-arg]
    code, out, err = ramekin(*words, "--json")
    assert code == 0, err
    told: dict = json.loads(out, parse_constant=_no_constants)  # type: ignore[type-arg]
    return told


def test_without_an_output_tables_are_printed_and_nothing_is_written(ramekin: Run) -> None:
    code, out, err = ramekin(*INSPECT)
    assert code == 0, err
    for title in ("Models", "Largest elements", "Pairs", "Layers", "Kinds", "Kept by TIES at density 0.2",
                  "Entropy ranks"):  # fmt: skip
        assert f"\n{title}\n" in out
    assert "3 models tuned from google/flan-t5-base" in out and "rte · cola" in out
    told = _json(ramekin, *INSPECT)
    model = told["whole"]["models"][0]
    row = next(
        line.split() for line in out[out.index("\nModels\n") :].splitlines() if line.startswith("rte ")
    )
    assert row[1] == f"{model['length']:.4g}" and float(row[2]) == pytest.approx(
        100 * model["relative"], abs=0.05
    )
    assert row[6] == f"{told['cuts'][0]['value']:.3g}"
    assert not list(Path().iterdir())


def test_an_output_has_everything(ramekin: Run) -> None:
    code, out, err = ramekin(*INSPECT, "output=seen", "density=0.5")
    assert code == 0 and out.rstrip().endswith("written to seen"), err
    pictures = sorted(path.name for path in Path("seen/plots").glob("*.png"))
    assert len(pictures) == len(list(Path("seen/plots").glob("*.svg"))) == 5
    assert pictures[0] == "heat-map-1-cosines-between-deltas.png"
    names = {"config.yaml", "inspection.json", "tensors.csv", "report.md", "report.html", "report.json"}
    assert names <= {path.name for path in Path("seen").iterdir()}
    found = json.loads(Path("seen/inspection.json").read_text("utf-8"), parse_constant=_no_constants)
    assert found["format"] == "ramekin.inspection/1" and found["density"] == 0.5
    assert found["labels"] == ["rte", "cola", "sst2"] and len(found["pairs"]) == 3
    assert found["cosines"][0][1] == found["cosines"][1][0] == found["whole"]["pairs"][0]["cosine"]
    assert list(found["layers"]) == [
        "embedding", "encoder.block.0", "encoder.block.1", "decoder.block.0", "decoder.block.1", "norms", "head",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(Path("seen/tensors.csv").read_text("utf-8"))))
    assert [row["tensor"] for row in rows] == list(found["tensors"])
    for row in rows:
        figures = found["tensors"][row["tensor"]]["figures"]
        assert float(row["length: cola"]) == figures["models"][1]["length"]
        cosine = figures["pairs"][1]["cosine"]
        assert row["cosine: rte · sst2"] == ("" if cosine is None else str(cosine))
        assert (row["overlap: rte · cola"] == "") == (figures["matrices"] == 0)
    report = json.loads(Path("seen/report.json").read_text("utf-8"))
    assert len(report["heat_maps"]) == 5 and report["heat_maps"][0]["values"] == found["cosines"]
    assert report["facts"]["checkpoints"][1]["parents"] == ["google/flan-t5-base"]
    page = Path("seen/report.html").read_text("utf-8")
    assert page.count('role="img"') >= 5 and "ramekin merge inspect" in page
    # What is there stays, unless it may go.
    code, _, err = ramekin(*INSPECT, "output=seen")
    assert code == 2 and "never overwritten" in err
    assert ramekin(*INSPECT, "output=seen", "overwrite=true")[0] == 0


def test_spectra_can_be_left_out_and_one_model_has_no_pairs(ramekin: Run) -> None:
    one = "models=[tanganke/flan-t5-base_glue-rte]"
    code, out, err = ramekin("merge", "inspect", BASE, one, "spectra=false", "output=one")
    assert code == 0, err
    assert "1 model tuned from" in out and "Entropy ranks" not in out and "\nPairs\n" not in out
    assert len(list(Path("one/plots").glob("*.png"))) == 2
    assert json.loads(Path("one/inspection.json").read_text())["whole"]["models"][0]["entropy_rank"] is None


def test_adapters_and_whole_models_together(ramekin: Run) -> None:
    both = "models=[tanganke/flan-t5-base_glue-rte_lora-16,tanganke/flan-t5-base_glue-rte]"
    told = _json(ramekin, "merge", "inspect", BASE, both)
    adapter, whole = told["whole"]["models"]
    assert 0 < adapter["changed"] < 0.5 < whole["changed"] and adapter["entropy_rank"] < whole["entropy_rank"]
    assert told["layers"]["embedding"]["models"][0]["length"] == 0
    assert told["layers"]["embedding"]["pairs"][0]["cosine"] is None


def test_a_dry_run_says_what_would_be_read(ramekin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = ramekin(*INSPECT, "output=seen", "--dry-run")
    assert code == 0 and not Path("seen").exists(), err
    assert (
        "inspect 3 models (density=0.2, rank=64)" in out and "in 2 pass(es) and one over the matrices" in out
    )
    planned = _json(ramekin, *INSPECT, "--dry-run")
    assert planned["bytes_read"] == _json(ramekin, *INSPECT)["bytes_read"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("density=20",), "fix: density=0.2"),
        (("density=0",), "more than 0"),
        (("rank=0",), "rank"),
        (("dens=0.2",), "did you mean 'density'"),
        (("models=[google/flan-t5-base]",), "base is among the models"),
        (("models=[tanganke/flan-t5-base_glue-rte,tanganke/flan-t5-base_glue-rte]",), "listed twice"),
        (("models=[]",), "at least one model"),
    ],
)
def test_what_cannot_be_asked_is_refused(ramekin: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = ramekin(*INSPECT, *words, "output=seen")
    assert code == 2 and message in err and out == ""


def test_merge_goes_on_beside_it(ramekin: Run) -> None:
    assert ramekin("merge", "method=simple_average", MODELS, BASE, "output=merged")[0] == 0
    assert Path("merged/model.safetensors").is_file()
    code, out, _ = ramekin("merge", "inspect", "--help")
    assert code == 0 and "merge inspect [OPTIONS]" in out and "density=" in out
    code, out, _ = ramekin("merge", "--help")
    assert code == 0 and "method=ties_merging" in out
    code, out, _ = ramekin("--help")
    assert "merge inspect" in out
