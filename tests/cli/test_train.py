"""`ramekin train`, `merge` and `evaluate` on tiny models, as a user types them."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.files import folder_lock

Run = Callable[..., tuple[int, str, str]]

TRAIN = (
    "train",
    "task=mini/rte",
    "limit=48",
    "max_steps=3",
    "global_batch=16",
    "eval_limit=8",
    "log_every=1",
)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny base; the working folder is empty but for it."""
    monkeypatch.chdir(tmp_path)
    return make_checkpoint(tmp_path / "base", seed=0)


@pytest.mark.parametrize("adapter", ["none", "lora", "ia3", "prompt"])
def test_a_run_leaves_a_checkpoint_with_lineage_events_and_report(
    base: Path, ramekin: Run, adapter: str
) -> None:
    code, out, err = ramekin(*TRAIN, "model=base", f"adapter={adapter}", "output=runs/rte")
    assert code == 0, err
    assert "3 steps" in out and "saved runs/rte" in out
    names = {path.name for path in Path("runs/rte").iterdir()}
    weights = "model.safetensors" if adapter == "none" else "adapter_model.safetensors"
    assert names >= {
        weights,
        "ramekin.json",
        "config.yaml",
        "events.jsonl",
        "report.md",
        "report.html",
        "report.json",
    }
    assert list(Path("runs").iterdir()) == [Path("runs/rte")]
    told = json.loads(Path("runs/rte/ramekin.json").read_text())
    lineage = told["lineage"]
    assert (lineage["operation"], lineage["base"], lineage["seed"]) == ("finetune", "base", 0)
    assert lineage["parents"][0]["role"] == "base" and len(lineage["parents"][0]["sha256"]) == 64
    assert set(told["files"]) == names - {"ramekin.json"}
    steps = [
        json.loads(line)["step"]
        for line in Path("runs/rte/events.jsonl").read_text().splitlines()
        if '"loss"' in line
    ]
    assert steps == [1, 2, 3]


def test_a_finished_run_is_found_done_and_another_is_not_overwritten(base: Path, ramekin: Run) -> None:
    assert ramekin(*TRAIN, "model=base", "output=runs/rte")[0] == 0
    before = Path("runs/rte/model.safetensors").read_bytes()
    code, out, _ = ramekin(*TRAIN, "model=base", "output=runs/rte")
    assert code == 0 and "finished already" in out
    code, _, err = ramekin(*TRAIN, "model=base", "output=runs/rte", "seed=1")
    assert code == 2 and "overwrite=true" in err
    assert Path("runs/rte/model.safetensors").read_bytes() == before
    assert ramekin(*TRAIN, "model=base", "output=runs/rte", "seed=1", "overwrite=true")[0] == 0
    assert Path("runs/rte/model.safetensors").read_bytes() != before


def test_two_runs_of_one_configuration_are_equal_to_the_bit(base: Path, ramekin: Run) -> None:
    for name in ("a", "b"):
        assert ramekin(*TRAIN, "model=base", f"output=runs/{name}")[0] == 0
    assert Path("runs/a/model.safetensors").read_bytes() == Path("runs/b/model.safetensors").read_bytes()


def test_an_unfinished_run_of_another_configuration_is_not_taken_over(base: Path, ramekin: Run) -> None:
    Path("runs/rte.unfinished").mkdir(parents=True)
    Path("runs/rte.unfinished/config.yaml").write_text("seed: 5\n")
    code, _, err = ramekin(*TRAIN, "model=base", "output=runs/rte")
    assert code == 2 and "unfinished run of another configuration" in err


def test_what_was_trained_is_merged_and_evaluated(base: Path, ramekin: Run) -> None:
    assert ramekin(*TRAIN, "model=base", "output=runs/rte")[0] == 0
    assert ramekin(*TRAIN, "model=base", "task=mini/cola", "adapter=lora", "output=runs/cola")[0] == 0
    words = ("method=ties_merging", "method.scaling_factor=0.3", "base=base", "models=[runs/rte,runs/cola]")
    code, out, err = ramekin("merge", "--dry-run", *words, "output=runs/ties")
    assert code == 0 and "reads" in out and not Path("runs/ties").exists(), err
    code, out, err = ramekin("merge", *words, "output=runs/ties")
    assert code == 0 and "sha256" in out, err
    code, out, err = ramekin(
        "evaluate", "model=runs/ties", "tasks=[mini/rte,mini/cola]", "limit=10", "output=eval"
    )
    assert code == 0, err
    scores = json.loads(Path("eval/evaluation.json").read_text())
    assert [part["n"] for part in scores["tasks"]] == [10, 10]
    assert len(Path("eval/predictions/mini_rte-fusionbench-validation.jsonl").read_text().splitlines()) == 10
    code, out, _ = ramekin(
        "evaluate", "--json", "model=runs/cola", "base=base", "task=mini/cola", "limit=4", "output=eval2"
    )
    assert code == 0 and json.loads(out)["tasks"][0]["n"] == 4


@pytest.mark.parametrize(
    "words",
    [
        ("adapter=lora", "adapter.dora=true", "adapter.targets=all-linear"),
        ("adapter=lora", "adapter.rslora=true", "adapter.targets=['decoder.*[.]q']"),
        ("adapter=ia3", "adapter.targets=[k,v,wo]"),
        ("adapter=prompt", "adapter.num_virtual_tokens=5"),
        ("adapter=prompt", "adapter.text='Does the text say so?'"),
    ],
    ids=["dora", "rslora", "ia3", "prompt", "prompt from text"],
)
def test_an_adapter_of_any_kind_opens_as_peft_opens_it_and_scores_as_in_training(
    base: Path, ramekin: Run, words: tuple[str, ...]
) -> None:
    fast = ("learning_rate=0.5", "optimizer=adamw", "max_steps=4", "limit=16")
    code, out, err = ramekin(*TRAIN, "--json", "model=base", *fast, *words, "output=runs/rte")
    assert code == 0, err
    trained = json.loads(out)["scores"]["mini/rte"]
    code, out, err = ramekin("evaluate", "--json", "model=runs/rte", "task=mini/rte", "limit=8", "output=e")
    assert code == 0, err
    told = json.loads(Path("e/evaluation.json").read_text())["tasks"][0]
    assert told["n"] == 8 and trained == next(s["value"] for s in told["scores"] if s["metric"] == "accuracy")
    assert largest_difference(base, Path("runs/rte")) < 1e-5
    evaluated = Path("e/predictions/mini_rte-fusionbench-validation.jsonl").read_text()
    ramekin("evaluate", "model=base", "task=mini/rte", "limit=8", "output=plain")
    assert evaluated != Path("plain/predictions/mini_rte-fusionbench-validation.jsonl").read_text()


def largest_difference(base: Path, adapter: Path) -> float:
    """Between the logits of ramekin's opened model and of PEFT's own wrapper, relative to the largest."""
    import torch
    from peft import PeftModel

    from ramekin.weights.opening import open_model
    from ramekin.weights.seq2seq import load_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated")
        theirs = PeftModel.from_pretrained(load_model(base), adapter).eval()
    ids = torch.tensor([[5, 9, 33, 12, 1], [7, 8, 1, 0, 0]])
    batch = {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "decoder_input_ids": torch.tensor([[0, 4], [0, 9]]),
    }
    with torch.no_grad():
        ours, expected = open_model(adapter).model(**batch).logits, theirs(**batch).logits
    assert (ours - load_model(base)(**batch).logits.detach()).abs().max() > 1e-3
    return float((ours - expected).abs().max() / expected.abs().max())


def test_what_cannot_be_merged_or_trained_further_is_said(base: Path, ramekin: Run) -> None:
    assert ramekin(*TRAIN, "model=base", "adapter=prompt", "output=runs/prompt")[0] == 0
    assert ramekin(*TRAIN, "model=base", "adapter=ia3", "output=runs/ia3")[0] == 0
    merging = ("method=simple_average", "base=base", "output=runs/x")
    code, _, err = ramekin("merge", *merging, "models=[runs/prompt]")
    assert code == 2 and "a soft prompt has no weights to merge: runs/prompt" in err
    for words in ((), ("adapter=lora",)):
        code, _, err = ramekin(*TRAIN, "model=runs/prompt", *words, "output=runs/y")
        assert code == 4 and "reads a soft prompt" in err and "runs/prompt" in err
    assert not list(Path("runs").glob("[xy]*"))
    code, _, err = ramekin("merge", *merging, "models=[runs/ia3]")
    assert code == 0, err


def test_a_dry_run_loads_no_weights(base: Path, ramekin: Run) -> None:
    (base / "model.safetensors").unlink()
    code, out, _ = ramekin(*TRAIN, "--dry-run", "model=base", "output=runs/rte")
    assert code == 0 and "48 rows for 3 steps" in out and "Does the text" in out
    code, out, _ = ramekin("evaluate", "--dry-run", "model=base", "task=mini/rte", "limit=2")
    assert code == 0 and "2 rows" in out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("train", "model=none/there", "task=mini/rte", "max_steps=1", "output=x"), 4, "none/there"),
        (("train", "model=base", "task=mini/rte", "split=tran", "output=x"), 2, "did you mean 'train'"),
        (("train", "model=base", "task=mini/rte", "device=cuda:99", "output=x"), 2, "no such device"),
        (("evaluate", "model=base", "task=mini/rte", "device=gpu", "output=x"), 2, "no such device"),
        (("evaluate", "model=base", "task=mini/rte", "split=validaton"), 2, "did you mean 'validation'"),
        (("merge", "method=simple_average", "models=[base]"), 2, "output=DIR"),
        (("merge", "method=task_arithmetic", "models=[base]", "output=x"), 2, "needs the base"),
        (("merge", "method=simple_average", "models=[base,base]", "output=x"), 2, "listed twice"),
        (("trian",), 2, "train"),
        (("tasks", "show", "mini/rt"), 2, "did you mean 'mini/rte'"),
    ],
)
def test_what_is_wrong_ends_with_its_code(
    base: Path, ramekin: Run, words: tuple[str, ...], code: int, part: str
) -> None:
    found, out, err = ramekin(*words)
    assert found == code and part in err + out
    assert "Traceback" not in err


def test_tasks_are_listed_shown_and_rendered(ramekin: Run) -> None:
    code, out, _ = ramekin("tasks", "list")
    assert code == 0 and "glue/rte" in out and "mini/stsb" in out
    code, out, _ = ramekin("tasks", "show", "--json", "glue/rte")
    assert code == 0 and json.loads(out)["options"] == ["yes", "no"]
    code, out, _ = ramekin("tasks", "render", "mini/cola", "limit=2")
    assert code == 0 and out.count("Answere") == 2


def test_help_names_every_verb_with_an_example(ramekin: Run) -> None:
    for verb in ("demo", "train", "merge", "evaluate", "fuse", "run"):
        code, out, _ = ramekin(verb, "--help")
        assert code == 0 and f"ramekin {verb}" in out and "--dry-run" in out


def test_bad_rows_stop_a_run_or_are_counted_and_set_aside(base: Path, ramekin: Run) -> None:
    folder = Path("data/glue/rte")
    folder.mkdir(parents=True)
    rows = [f'"the dog slept {n}","the cat slept {n}",{n % 2},{n}' for n in range(8)]
    rows[3] = '"the dog slept","the cat slept",perhaps,3'
    for split in ("train", "validation"):
        (folder / f"{split}.csv").write_text("sentence1,sentence2,label,idx\n" + "\n".join(rows) + "\n")
    words = ("train", "model=base", "task=glue/rte", "data_root=data", "max_steps=1", "global_batch=4")
    code, _, err = ramekin(*words, "output=runs/a")
    assert code == 3 and "train.csv:5" in err and "perhaps" in err
    code, _, err = ramekin(*words, "output=runs/a", "bad_rows=quarantine")
    assert code == 2 and "quarantine=FILE.jsonl" in err
    code, _, err = ramekin(*words, "output=runs/a", "bad_rows=quarantine", "quarantine=bad.jsonl")
    assert code == 0, err
    report = json.loads(Path("runs/a/report.json").read_text())
    counters = {each["name"]: each["count"] for each in report["facts"]["counters"]}
    assert counters["training rows skipped"] == counters["rows skipped"] == 1
    set_aside = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert len(set_aside) == 2 and all("perhaps" in json.dumps(each) for each in set_aside)
    assert ramekin(*words, "output=runs/b", "bad_rows=skip")[0] == 0


@pytest.mark.parametrize("words", [(), ("overwrite=true",)])
def test_a_folder_that_another_process_trains_in_is_left_alone(
    base: Path, ramekin: Run, words: tuple[str, ...]
) -> None:
    working = Path("runs/rte.unfinished")
    with folder_lock(working):
        (working / "events.jsonl").write_text("of the other process")
        code, _, err = ramekin(*TRAIN, "model=base", "output=runs/rte", *words)
        assert code == 7 and "another process" in err
        assert (working / "events.jsonl").read_text() == "of the other process"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("adapter=lora", "adapter.targets=qq"), "adapter.targets"),
        (("best_metric='glue/rte acuracy'", "eval_every=1"), "did you mean 'glue/rte accuracy'"),
        (("packing=true",), "packing needs a model"),
    ],
    ids=["targets", "best_metric", "packing"],
)
def test_what_is_wrong_with_the_model_is_told_before_the_data_are_read(
    base: Path, ramekin: Run, words: tuple[str, ...], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramekin.train.objectives.packed._PACKABLE", {"mt5"})
    folder = Path("data/glue/rte")
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        (folder / f"{split}.csv").write_text("sentence1,sentence2,label,idx\na dog,a cat,perhaps,1\n")
    task = ("train", "model=base", "task=glue/rte", "data_root=data", "max_steps=1", "output=runs/a")
    assert ramekin(*task)[0] == 3
    code, _, err = ramekin(*task, *words)
    assert code == 2 and part in err and not Path("runs/a.unfinished").exists()


@pytest.mark.parametrize("output", ["output=.", "output="])
def test_an_output_without_a_name_of_its_own_is_refused(base: Path, ramekin: Run, output: str) -> None:
    code, _, err = ramekin(*TRAIN, "model=base", output)
    assert code == 2 and "fix: output=runs/NAME" in err and "Traceback" not in err
