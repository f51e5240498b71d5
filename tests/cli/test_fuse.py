"""Every command of the FusionBench page runs as `ramekin fuse …` on tiny stand-ins named by hub id."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

SHARED = Path(__file__).parents[2].parent / "shared"
TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
FACTORS = [f"{i / 10:.1f}" for i in range(11)]
GLUE = "taskpool=flan-t5_glue_text_generation"
BASE = "google/flan-t5-base"

# The page's commands, its shell loops written out.
COMMANDS = [
    "modelpool=Seq2SeqLMPool/flan-t5-base_glue method=dummy taskpool=dummy",
    "modelpool=Seq2SeqLMPool/flan-t5-large_glue_lora16 method=dummy taskpool=dummy",
    "method=dummy modelpool=Seq2SeqLMPool/flan-t5-base_individual "
    "modelpool.models._pretrained_.pretrained_model_name_or_path=google/flan-t5-base "
    f"{GLUE} report_save_path=outputs/flan-t5-base/pretrained.json",
    *(
        "method=dummy modelpool=Seq2SeqLMPool/flan-t5-base_individual "
        f"modelpool.models._pretrained_.pretrained_model_name_or_path=tanganke/flan-t5-base_glue-{task} "
        f"{GLUE} report_save_path=outputs/flan-t5-base/glue-{task}.json"
        for task in TASKS
    ),
    f"method=simple_average modelpool=Seq2SeqLMPool/flan-t5-base_glue {GLUE}",
    f"method=simple_average modelpool=Seq2SeqLMPool/flan-t5-base_glue_lora16 {GLUE}",
    f"method=task_arithmetic method.scaling_factor=0.3 modelpool=Seq2SeqLMPool/flan-t5-base_glue {GLUE}",
    *(
        f"method=task_arithmetic method.scaling_factor={factor} modelpool=Seq2SeqLMPool/flan-t5-base_glue_lora16 {GLUE}"
        for factor in FACTORS
    ),
    f"method=ties_merging method.scaling_factor=0.3 modelpool=Seq2SeqLMPool/flan-t5-base_glue {GLUE}",
    *(
        f"method=ties_merging method.scaling_factor={factor} modelpool=Seq2SeqLMPool/flan-t5-base_glue_lora16 {GLUE}"
        for factor in FACTORS
    ),
]


@pytest.fixture
def page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub_root: Path, glue_root: Path, ramekin: Run
) -> Callable[[str], tuple[int, str, str]]:
    """Runs a command of the page in an empty folder, the stand-ins found through the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))
    monkeypatch.setenv("RAMEKIN_DATA", str(glue_root))
    return lambda command: ramekin("fuse", *shlex.split(command))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/seeds")
def test_the_commands_are_the_pages_own() -> None:
    text = (SHARED / "seeds" / "000_879895fa6e4f0356.txt").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", text)
    found = [
        " ".join(line.split()[1:]) for line in joined.splitlines() if line.strip().startswith("fusion_bench ")
    ]
    expanded: list[str] = []
    for command in found:
        if "${task}" in command:
            expanded += [command.replace("${task}", task).replace("$task", task) for task in TASKS]
        elif "$scaling_factor" in command:
            expanded += [command.replace("$scaling_factor", factor) for factor in FACTORS]
        else:
            expanded.append(command)
    assert expanded == COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_of_the_page_runs(page: Callable[[str], tuple[int, str, str]], command: str) -> None:
    code, out, err = page(command)
    assert code == 0, err
    report = re.search(r"report_save_path=(\S+)", command)
    if "taskpool=dummy" in command:
        assert out.startswith("{'model_info': {'trainable_params': ")
        return
    if report:
        path, folder = Path(report[1]), Path(report[1]).with_suffix("")
    else:
        (folder,) = Path("outputs/fuse").iterdir()
        path = folder / "program_report.json"
    result = json.loads(path.read_text())
    assert list(result) == ["model_info", *TASKS]
    assert [list(result[task]) for task in TASKS] == [["accuracy"]] * 7 + [["spearman_rho"]]
    scores = json.loads((folder / "evaluation.json").read_text())
    assert [part["n"] for part in scores["tasks"]] == [12] * 8
    for name in ("report.md", "report.html", "report.json", "config.yaml"):
        assert (folder / name).stat().st_size > 0
    assert len(list((folder / "predictions").glob("*.jsonl"))) == 8


def test_a_scaling_factor_of_zero_is_the_base(page: Callable[[str], tuple[int, str, str]]) -> None:
    assert page(COMMANDS[2])[0] == 0
    zero = "method=task_arithmetic method.scaling_factor=0.0 modelpool=Seq2SeqLMPool/flan-t5-base_glue_lora16"
    assert page(f"{zero} {GLUE} report_save_path=zero.json")[0] == 0
    assert json.loads(Path("zero.json").read_text()) == json.loads(
        Path("outputs/flan-t5-base/pretrained.json").read_text()
    )


def test_an_output_that_exists_is_kept(page: Callable[[str], tuple[int, str, str]]) -> None:
    command = f"{COMMANDS[2]} limit=2"
    assert page(command)[0] == 0
    before = Path("outputs/flan-t5-base/pretrained.json").read_bytes()
    code, _, err = page(command)
    assert code == 2 and "never overwritten unasked" in err and "overwrite=true" in err
    assert Path("outputs/flan-t5-base/pretrained.json").read_bytes() == before
    assert page(f"{command} overwrite=true")[0] == 0


def test_the_merged_model_is_kept_where_asked(page: Callable[[str], tuple[int, str, str]]) -> None:
    command = f"method=ties_merging modelpool=Seq2SeqLMPool/flan-t5-base_glue {GLUE} limit=2"
    assert page(f"{command} merged_model_save_path=merged report_save_path=a/x.json")[0] == 0
    assert {p.name for p in Path("merged").iterdir()} >= {"model.safetensors", "config.json", "ramekin.json"}
    lineage = json.loads(Path("merged/ramekin.json").read_text())["lineage"]
    assert lineage["operation"] == "merge/ties_merging" and len(lineage["parents"]) == 9


def test_a_dry_run_writes_nothing(page: Callable[[str], tuple[int, str, str]]) -> None:
    command = f"--dry-run method=ties_merging modelpool=Seq2SeqLMPool/flan-t5-base_glue_lora16 {GLUE}"
    code, out, _ = page(command)
    assert code == 0 and "glue-cola" in out and "Answere" in out and "reads" in out
    assert list(Path().iterdir()) == []


def test_json_is_the_peers_report(page: Callable[[str], tuple[int, str, str]]) -> None:
    code, out, _ = page(f"--json method=dummy modelpool=Seq2SeqLMPool/flan-t5-base_glue {GLUE} limit=2")
    assert code == 0 and list(json.loads(out)) == ["model_info", *TASKS]


def test_without_network_or_folder_the_repository_and_both_remedies_are_named(
    page: Callable[[str], tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAMEKIN_HUB")
    code, _, err = page(COMMANDS[0])
    assert code == 4 and BASE in err and "hub_root=DIR" in err and "network" in err


def test_missing_rows_are_named_before_a_model_is_opened(
    page: Callable[[str], tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAMEKIN_DATA", str(tmp_path))
    code, _, err = page(COMMANDS[2])
    assert code == 3 and "nyu-mll/glue" in err and "data_root" in err


def test_a_pool_without_a_base(page: Callable[[str], tuple[int, str, str]]) -> None:
    code, _, err = page("method=dummy modelpool=Seq2SeqLMPool/_template taskpool=dummy")
    assert code == 2 and "_pretrained_" in err


@pytest.mark.parametrize("what", ["truncated", "foreign", "half"])
def test_a_damaged_checkpoint_is_refused_by_name(
    page: Callable[[str], tuple[int, str, str]],
    make_checkpoint: Callable[..., Path],
    tmp_path: Path,
    what: str,
) -> None:
    folder = make_checkpoint(tmp_path / "model", seed=1)
    weights = folder / "model.safetensors"
    if what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif what == "foreign":
        other = make_checkpoint(tmp_path / "other", seed=2)
        weights.write_bytes((other / "model.safetensors").read_bytes())
    else:
        weights.unlink()
    code, _, err = page(
        "method=dummy modelpool=Seq2SeqLMPool/flan-t5-base_individual taskpool=dummy "
        f"modelpool.models._pretrained_.pretrained_model_name_or_path={folder}"
    )
    assert code == 4 and "model.safetensors" in err
