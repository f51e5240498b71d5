"""`ramekin train objective=…`, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes.compose import compose
from ramekin.recipes.groups import CONF
from ramekin.recipes.schema import TrainConfig

Run = Callable[..., tuple[int, str, str]]

TRAIN = ("train", "model=base", "task=mini/rte", "limit=32", "max_steps=3", "global_batch=8", "eval_limit=8")


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it."""
    monkeypatch.chdir(tmp_path)
    return make_checkpoint(tmp_path / "base", seed=0)


def steps(folder: str) -> list[dict]:
    lines = map(json.loads, Path(folder, "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "step"]


def test_flipped_learning_from_end_to_end(ramekin: Run) -> None:
    words = ("objective=flipped", "objective.unlikelihood_weight=2", "adapter=lora")
    code, out, err = ramekin(*TRAIN, *words, "output=runs/f")
    assert code == 0, err
    assert "Objective: flipped, unlikelihood_weight 2, clamp 1e-06" in " ".join(out.split())
    assert "f, unlikelihood" in out
    for line in steps("runs/f"):
        assert line["loss"] == pytest.approx(line["likelihood"] + 2 * line["unlikelihood"], rel=1e-5)
    told = json.loads(Path("runs/f/ramekin.json").read_text())["lineage"]["settings"]["objective"]
    assert told == {"name": "flipped", "unlikelihood_weight": 2.0, "label_smoothing": 0.0, "clamp": 1e-6}
    report = json.loads(Path("runs/f/report.json").read_text())
    assert [row["label"] for row in report["losses"][0]["rows"]] == ["f", "f, likelihood", "f, unlikelihood"]
    assert "mode: flipped" in Path("runs/f/config.yaml").read_text(), "it is scored as it learned"


@pytest.mark.parametrize("name", ["channel", "flipped"])
def test_a_model_that_is_not_asked_what_it_learned_is_reported(ramekin: Run, name: str) -> None:
    code, out, err = ramekin(*TRAIN, f"objective={name}", "adapter=lora", "output=m")
    assert code == 0, err
    assert f"by the rules of '{name}'" in out and "could not be read" not in out
    told = f"m was trained by objective={name}: mode={name} asks it what it learned"
    for mode, others in ((name, 0), ("rank", 1), ("fusionbench", 1)):
        words = ("evaluate", "model=m", "task=mini/rte", "limit=4", f"mode={mode}", f"output={mode}")
        code, out, err = ramekin(*words)
        assert code == 0, err
        assert " ".join(out.split()).count(told) == others
        warnings = json.loads(Path(mode, "report.json").read_text())["facts"]["warnings"]
        assert warnings == [told] * others


def test_what_is_learned_flipped_is_scored_flipped_unless_another_mode_is_asked_for() -> None:
    words = ["model=base", "task=mini/rte"]
    assert compose("train", TrainConfig, words).mode == "fusionbench"
    assert compose("train", TrainConfig, [*words, "objective=flipped"]).mode == "flipped"
    assert compose("train", TrainConfig, [*words, "objective=channel"]).mode == "channel"
    assert compose("train", TrainConfig, [*words, "objective=flipped", "mode=generate"]).mode == "generate"


def test_channel_with_label_smoothing_in_shared_rows(ramekin: Run) -> None:
    words = ("objective=channel", "objective.label_smoothing=0.1", "eval_split=''", "packing=true")
    code, out, err = ramekin("train", "--json", *TRAIN[1:], *words, "output=runs/c")
    assert code == 0, err
    assert json.loads(out)["likelihood"] > 0
    assert all(line["likelihood"] != line["loss"] and line["rows"] <= 8 for line in steps("runs/c"))
    told = json.loads(Path("runs/c/ramekin.json").read_text())["lineage"]["settings"]["recipe"]
    assert told["packing"] is True


def test_a_dry_run_shows_both_inputs_and_the_instruction(base: Path, ramekin: Run) -> None:
    (base / "model.safetensors").unlink()
    code, out, err = ramekin(*TRAIN, "objective=flipped", "--dry-run")
    assert code == 0, err
    assert "(flipped, unlikelihood_weight 3, clamp 1e-06)" in out
    shown = out[out.index("inputs ") :]
    inputs, rest = shown.split("    wrong  ")
    wrong, target = rest.split("    target ")
    assert inputs.startswith("inputs input: <extra_id_0>") and wrong.startswith("input: <extra_id_0>")
    assert {inputs.split()[-1], wrong.split()[-1]} == {"yes", "no"}
    assert target.startswith("<extra_id_0> Does the text")


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("objective=fliped",), 2, "did you mean 'flipped'"),
        (
            ("objective=flipped", "objective.unlikelihod_weight=1"),
            2,
            "did you mean 'objective.unlikelihood_weight'",
        ),
        (("objective=flipped", "objective.label_smoothing=0.1"), 2, "expected 0 with unlikelihood"),
        (("objective.unlikelihood_weight=1",), 2, "the objective 'direct' has none"),
        (("objective=flipped", "objective.clamp=0"), 2, "clamp: expected >= 1e-08"),
        (("packing=true", "adapter=prompt"), 2, "packing: a prompt stands before a whole row"),
        (("objective=flipped", "task=mini/stsb"), 3, "cannot be learned from any row"),
    ],
)
def test_what_cannot_be_is_refused(ramekin: Run, words: tuple[str, ...], code: int, part: str) -> None:
    found, out, err = ramekin(*TRAIN, *words, "output=runs/x")
    assert found == code and part in err + out
    assert not Path("runs/x").exists() and "Traceback" not in err


@pytest.mark.parametrize("path", sorted((CONF / "objective").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_objectives_file_opens_with_its_command(ramekin: Run, path: Path, glue_root: Path) -> None:
    command = path.read_text().splitlines()[0].removeprefix("# ramekin ")
    code, out, err = ramekin(*command.split(), "--dry-run", f"data_root={glue_root}")
    assert code == 0 and f"objective={path.stem}" in command and "glue/rte" in out, err
