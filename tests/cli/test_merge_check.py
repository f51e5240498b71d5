"""`ramekin merge check` as a user types it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

BASE = "base=google/flan-t5-base"
MODELS = "models=[" + ",".join(f"tanganke/flan-t5-base_glue-{task}" for task in ("rte", "cola")) + "]"
ADAPTERS = (
    "models=[" + ",".join(f"tanganke/flan-t5-base_glue-{task}_lora-16" for task in ("rte", "cola")) + "]"
)
CHECK = ("merge", "check", BASE, MODELS)


@pytest.fixture(autouse=True)
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))


@pytest.fixture
def spoilt(hub_root: Path, tmp_path: Path) -> Path:
    """A copy of a model without its manifest, with three faults."""
    folder = tmp_path / "spoilt"
    shutil.copytree(hub_root / "tanganke/flan-t5-base_glue-sst2", folder)
    (folder / "ramekin.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_heads": 4, "d_kv": 4}))
    (folder / "tokenizer.json").write_text('{"model": {"vocab": [["other", 0.0]]}}')
    return folder


@pytest.mark.parametrize("models", [MODELS, ADAPTERS])
@pytest.mark.parametrize("method", [(), ("method=ties_merging",), ("method=slerp", "method.t=0.3")])
def test_nothing_is_found_in_sound_models(ramekin: Run, models: str, method: tuple[str, ...]) -> None:
    code, out, err = ramekin("merge", "check", BASE, models, *method)
    assert code == 0 and err == "", out
    assert out.startswith("nothing found: 2 models and their base") and "F32; headers read in 0." in out
    assert not method or f" for {method[0].partition('=')[2]}, " in out
    assert out.count("\n") == 1 and not list(Path().iterdir())


def test_all_findings_are_shown_and_the_exit_code_is_that_of_the_merge(ramekin: Run, spoilt: Path) -> None:
    models = f"models=[tanganke/flan-t5-base_glue-rte,{spoilt},nobody/nothing]"
    code, out, err = ramekin("merge", "check", BASE, models, "method=task_arithmetic")
    assert code == 4 and out.startswith("4 errors: 2 models and their base for task_arithmetic"), out + err
    blocks = out.rstrip().split("\n\n")[1:]
    assert [block.splitlines()[0].rpartition(" ")[2] for block in blocks] == [
        "[not-found]", "[key-width]", "[heads]", "[tokenizer]",
    ]  # fmt: skip
    for block in blocks[1:]:
        assert "the base (" in block and f"'{spoilt}'" in block
        assert [line.split()[0] for line in block.splitlines()[1:]] == [
            "models",
            "where",
            "expected",
            "got",
            "fix",
        ]
    assert "nobody/nothing" in blocks[0] and "hub_root=DIR" in blocks[0]
    models = f"models=[tanganke/flan-t5-base_glue-rte,{spoilt}]"
    words = ("base=google/flan-t5-base", models, "method=task_arithmetic")
    code, _, err = ramekin("merge", *words, "output=out")
    assert code == 4 and "config.json#d_kv" in err and "(2 more: ramekin merge check lists them)" in err
    assert not Path("out").exists()


def test_json_has_every_finding(ramekin: Run, spoilt: Path) -> None:
    code, out, _ = ramekin("merge", "check", BASE, f"models=[{spoilt},{spoilt}]", "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 2 and told["format"] == "ramekin.merge-check/1"
    assert (told["errors"], told["warnings"], told["notices"]) == (4, 0, 0)
    kinds = [finding["kind"] for finding in told["findings"]]
    assert kinds == ["duplicate-folder", "key-width", "heads", "tokenizer"]
    assert told["method"] is None and told["models"] == [str(spoilt)] * 2 and told["tensors"] > 20
    keys = {"severity", "kind", "what", "models", "where", "tensors", "expected", "got", "fix", "message"}
    assert all(finding.keys() == keys for finding in told["findings"])


def test_warnings_alone_are_no_failure(ramekin: Run, hub_root: Path, tmp_path: Path) -> None:
    shutil.copytree(hub_root / "tanganke/flan-t5-base_glue-rte", tmp_path / "again")
    models = f"models=[tanganke/flan-t5-base_glue-rte,{tmp_path / 'again'}]"
    code, out, _ = ramekin("merge", "check", BASE, models, "method=ties_merging")
    assert code == 0 and out.startswith("1 warning: ") and "[duplicate-weights]" in out
    code, out, err = ramekin("merge", BASE, models, "method=ties_merging", "output=out")
    assert code == 0 and "two models have the same weights" in out + err


def test_the_files_of_a_merge_are_taken(ramekin: Run, tmp_path: Path) -> None:
    Path("merge.yaml").write_text(
        "method: {name: task_arithmetic, scaling_factor: {encoder: 0.2}}\nbase: google/flan-t5-base\n"
        "models: [tanganke/flan-t5-base_glue-rte, tanganke/flan-t5-base_glue-cola]\n"
        "output: merged\ndtype: bfloat16\nmax_shard_size: 5GB\nverify: true\n"
    )
    code, out, _ = ramekin("merge", "check", "--config", "merge.yaml")
    assert code == 2 and "[pattern]" in out and "method.scaling_factor at decoder.block.0" in out
    assert ramekin("merge", "check", "--config", "merge.yaml", "method.scaling_factor=0.2")[0] == 0
    Path("merged").mkdir()
    Path("merged/model.safetensors").touch()
    code, out, _ = ramekin("merge", "check", "--config", "merge.yaml", "method.scaling_factor=0.2")
    assert code == 2 and "[output]" in out and "overwrite=true" in out
    Path("kit.yml").write_text(
        "merge_method: ties\nbase_model: google/flan-t5-base\nparameters: {density: 0.5}\n"
        "models:\n- {model: tanganke/flan-t5-base_glue-rte, parameters: {weight: 1}}\n"
    )
    code, out, _ = ramekin("merge", "check", "--mergekit", "kit.yml")
    assert code == 0 and "1 model and its base for ties_merging" in out
    code, _, err = ramekin("merge", "check", "--mergekit", "kit.yml", "--config", "merge.yaml")
    assert code == 2 and "two files that say what to merge" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("method=tie_merging",), "did you mean 'ties_merging'"),
        (("method=ties_merging", "method.density=20"), "fix: density=0.2"),
        (("modles=[a]",), "did you mean 'models'"),
        (("post=svd",), "post"),
    ],
)
def test_what_cannot_be_asked_is_refused(ramekin: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = ramekin(*CHECK, *words)
    assert code == 2 and message in err and out == ""


def test_an_adapter_of_another_base(ramekin: Run) -> None:
    code, out, _ = ramekin("merge", "check", "base=google/flan-t5-large", ADAPTERS, "method=ties_merging")
    assert code == 4 and out.count("[adapter-base]") == 2 and "too-few" not in out
    assert out.count("expected  'google/flan-t5-base'") == 2


def test_it_stands_beside_merge(ramekin: Run) -> None:
    code, out, _ = ramekin("merge", "check", "--help")
    assert code == 0 and "merge check [OPTIONS]" in out and "Exits with 0" in out
    assert "merge check" in ramekin("--help")[1]


@pytest.mark.parametrize("models", [MODELS, ADAPTERS])
def test_nothing_heavy_is_loaded(models: str) -> None:
    watch = (
        "import atexit, sys; heavy = ('torch', 'transformers', 'peft', 'datasets', 'scipy'); "
        "atexit.register(lambda: sys.stderr.write(repr([m for m in heavy if m in sys.modules]))); "
        "sys.argv[0] = 'ramekin'; from ramekin.cli import main; main()"
    )
    words = [sys.executable, "-c", watch, "merge", "check", BASE, models, "method=ties_merging", "post=svc"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0 and done.stderr.endswith("[]"), done.stderr + done.stdout


@pytest.mark.parametrize("method", ["adamerging", "regmean_plus_plus"])
def test_a_method_that_reads_rows_needs_a_task_of_each_model(ramekin: Run, method: str) -> None:
    words = ("base=google/flan-t5-base", "models=[tanganke/flan-t5-base_glue-cola]", f"method={method}")
    code, out, _ = ramekin("merge", "check", *words)
    assert code == 2 and f"{method} needs the task of each model" in out and "add tasks=[…]" in out
    assert ramekin("merge", "check", *words, "tasks=[mini/cola]")[0] == 0
