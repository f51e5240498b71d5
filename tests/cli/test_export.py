"""`ramekin export`, as a user types it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ctranslate2")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    make_checkpoint(tmp_path / "org/m", seed=0)


def test_int8_with_its_self_test(ramekin: Run) -> None:
    code, out, err = ramekin(
        "export", "model=org/m", "output=out", "quantization=int8", "threads=1", "--json"
    )
    assert code == 0, err
    told = json.loads(out)
    assert told["quantization"] == "int8" and told["bytes_after"] == Path("out/model.bin").stat().st_size
    assert told["bytes_before"] == Path("org/m/model.safetensors").stat().st_size
    assert told["self_test"]["positions"] >= 50 and told["self_test_in_float32"]["equal_greedy"] == 1.0
    lineage = json.loads(Path("out/ramekin.json").read_text())["lineage"]
    assert lineage["parents"][0]["name"] == "org/m" and len(lineage["parents"][0]["sha256"]) == 64


def test_what_it_says_and_that_nothing_is_overwritten(ramekin: Run) -> None:
    code, out, err = ramekin("export", "model=org/m", "output=out")
    assert code == 0, err
    first, sizes, test, numbers, last = out.splitlines()
    assert first == "out: org/m for CTranslate2, float32" and "MB, now" in sizes
    assert "against torch: 96 positions" in test and "greedy tokens equal at 100.0 %" in numbers
    assert "sha256" in last
    code, _, err = ramekin("export", "model=org/m", "output=out")
    assert code == 2 and "never overwritten unasked" in err
    assert ramekin("export", "model=org/m", "output=out", "overwrite=true")[0] == 0


def test_a_dry_run_writes_nothing_and_is_near(ramekin: Run) -> None:
    for quantization in ("float32", "int8", "bfloat16"):
        words = ("export", "model=org/m", f"output={quantization}", f"quantization={quantization}")
        code, out, err = ramekin(*words, "--dry-run", "--json")
        assert code == 0 and not Path(quantization).exists(), err
        planned = json.loads(out)["bytes_after"]
        code, out, err = ramekin(*words, "--json")
        assert code == 0, err
        assert abs(json.loads(out)["bytes_after"] - planned) < 8000  # names of tensors, two layers' flags


def test_an_adapter_is_exported_with_its_base(ramekin: Run, hub_root: Path) -> None:
    name = "tanganke/flan-t5-base_glue-rte_lora-16"
    words = ("export", f"model={name}", "output=out", f"hub_root={hub_root}")
    code, out, err = ramekin(*words, "--dry-run")
    assert code == 0 and "an adapter of" in out, err
    code, _, err = ramekin(*words)
    assert code == 0, err
    lineage = json.loads(Path("out/ramekin.json").read_text())["lineage"]
    assert lineage["base"] == "google/flan-t5-base"
    assert [(each["name"], each["role"]) for each in lineage["parents"]] == [
        (name, "model"), ("google/flan-t5-base", "base"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("model=org/m",), 2, "an export needs a place: add output=DIR"),
        (("output=out",), 2, "'model' is needed"),
        (("model=org/m", "output=out", "quantization=int4"), 2, "quantization"),
        (("model=org/m", "output=out", "quantisation=int8"), 2, "quantization"),
        (("model=org/m", "output=out", "max_loss=1"), 2, "loses nothing"),
        (("model=org/m", "output=out", "max_loss=1e-9", "quantization=int8"), 4, "too far off"),
        (("model=org/m", "output=out", "device=cuda"), 2, "on the processor"),
        (("model=org/none", "output=out"), 4, "org/none"),
        (("model=org/m", "output=org/m"), 2, "never overwritten"),
        (("model=org/m", "output=org/m", "overwrite=true"), 2, "one of the inputs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(ramekin: Run, words: tuple[str, ...], code: int, said: str) -> None:
    found, _, err = ramekin("export", *words)
    assert (found, said in err) == (code, True), err
    assert not Path("out").exists()


def test_without_the_library_the_extra_is_named(ramekin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    for more in ((), ("--dry-run",)):
        code, _, err = ramekin("export", "model=org/m", "output=out", *more)
        assert code == 2 and "pip install 'ramekin[fast]'" in err


def test_an_export_is_no_checkpoint_to_other_verbs(ramekin: Run) -> None:
    assert ramekin("export", "model=org/m", "output=out")[0] == 0
    code, _, err = ramekin("evaluate", "model=out", "task=mini/rte", "limit=2", "output=eval")
    assert code == 4 and "backend=ctranslate2" in err


def test_one_that_differs_exits_with_4() -> None:
    """In a process of its own: the library must not abort it on the way out."""
    program = (
        "import sys, ramekin.infer.export as export\n"
        "right = export.translator_spec\n"
        "def wrong(*args):\n"
        "    spec = right(*args)\n"
        "    spec.decoder.layer.reverse()\n"
        "    return spec\n"
        "export.translator_spec = wrong\n"
        "from ramekin.cli import main\n"
        "sys.argv = ['ramekin', 'export', 'model=org/m', 'output=out', 'threads=1']\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ.copy(), capture_output=True, timeout=200, text=True
    )
    assert ended.returncode == 4, ended.stderr
    assert "computes other log-probabilities" in ended.stderr and "Traceback" not in ended.stderr
    assert not Path("out").exists()
