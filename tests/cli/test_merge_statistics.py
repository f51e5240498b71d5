"""`ramekin merge statistics` and the methods that take what it collects, as a user types them."""

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

Run = Callable[..., tuple[int, str, str]]

BASE = "base=google/flan-t5-base"
RTE, COLA = (f"tanganke/flan-t5-base_glue-{task}" for task in ("rte", "cola"))
MODELS = f"models=[{RTE},{COLA}]"
COLLECT = ("merge", "statistics", "limit=6")


@pytest.fixture(autouse=True)
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path, glue_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))
    monkeypatch.setenv("RAMEKIN_DATA", str(glue_root))


@pytest.fixture
def collected(ramekin: Run) -> str:
    for task, model in (("rte", RTE), ("cola", COLA)):
        code, _, err = ramekin(*COLLECT, f"model={model}", f"task=glue/{task}", f"output=stats/{task}")
        assert code == 0, err
    return "statistics=[stats/cola,stats/rte]"


def test_collects_once_and_merges_by_both_methods(ramekin: Run, collected: str, hub_root: Path) -> None:
    told = json.loads(Path("stats/rte/statistics.json").read_text())
    assert told["model"]["name"] == RTE and told["model"]["base_sha256"] is None
    assert told["data"]["tasks"] == ["glue/rte"] and told["data"]["rows"] == 6
    assert told["data"]["split"] == "train" and told["data"]["origins"][0]["rows"] == 6
    assert told["kinds"]["fisher"]["targets"] == "sampled" and told["kinds"]["fisher"]["seed"] == 0
    assert told["files"].keys() == {"fisher.safetensors", "gram.safetensors"}
    fishers = load_file("stats/rte/fisher.safetensors")
    start = load_file(hub_root / RTE / "model.safetensors")
    assert {n: each.shape for n, each in fishers.items()} == {n: each.shape for n, each in start.items()}
    for method in ("fisher", "regmean"):
        planned = ramekin(
            "merge", f"method={method}", BASE, MODELS, collected, "output=x", "--dry-run", "--json"
        )
        assert planned[0] == 0 and not Path("x").exists(), planned[2]
        code, out, err = ramekin(
            "merge", f"method={method}", BASE, MODELS, collected, f"output={method}", "--json"
        )
        assert code == 0, err
        assert json.loads(out)["bytes_read"] == json.loads(planned[1])["bytes_read"]
        lineage = json.loads(Path(method, "ramekin.json").read_text())["lineage"]
        assert [each["role"] for each in lineage["parents"]] == [
            "base",
            "model",
            "model",
            "statistics",
            "statistics",
        ]
        assert [each["name"] for each in lineage["parents"]][3:] == ["rte", "cola"]
    merged = load_file("regmean/model.safetensors")
    mean = {n: (each + load_file(hub_root / COLA / "model.safetensors")[n]) / 2 for n, each in start.items()}
    query = "encoder.block.1.layer.0.SelfAttention.q.weight"
    np.testing.assert_allclose(merged["shared.weight"], mean["shared.weight"], atol=1e-6)
    assert np.abs(merged[query] - mean[query]).max() > 1e-4
    assert ramekin("evaluate", "model=regmean", "task=glue/rte", "limit=4", "output=scores")[0] == 0


def test_adapters_are_measured_on_their_base(ramekin: Run) -> None:
    adapter = f"{RTE}_lora-16"
    assert ramekin(*COLLECT, f"model={adapter}", "task=glue/rte", "kinds=gram", "output=stats")[0] == 0
    told = json.loads(Path("stats/statistics.json").read_text())
    assert told["model"]["base_sha256"] and told["files"].keys() == {"gram.safetensors"}
    words = ("merge", "method=regmean", BASE, f"models=[{adapter}]", "statistics=stats", "output=merged")
    code, _, err = ramekin(*words)
    assert code == 0, err


def test_several_tasks_and_gold_targets(ramekin: Run) -> None:
    words = (
        f"model={RTE}",
        "tasks=[glue/rte,glue/cola]",
        "fisher=empirical",
        "kinds=[fisher]",
        "output=stats",
    )
    code, out, err = ramekin(*COLLECT, *words)
    assert code == 0 and "from 12 rows of glue/rte, glue/cola train" in out, err
    told = json.loads(Path("stats/statistics.json").read_text())
    assert told["kinds"]["fisher"]["targets"] == "empirical" and "seed" not in told["kinds"]["fisher"]
    code, _, err = ramekin(*COLLECT, *words)
    assert code == 2 and "never overwritten" in err
    assert ramekin(*COLLECT, *words, "overwrite=true")[0] == 0


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_for_evaluation_is_refused(ramekin: Run, split: str) -> None:
    words = (f"model={RTE}", "task=glue/rte", f"split={split}", "output=stats", "kinds=gram")
    code, _, err = ramekin(*COLLECT, *words)
    assert (
        code == 2
        and f"'{split}' is a split that models are evaluated on" in err
        and not Path("stats").exists()
    )
    if split == "validation":
        assert ramekin(*COLLECT, *words, "allow_evaluation_split=true")[0] == 0
        assert json.loads(Path("stats/statistics.json").read_text())["data"]["split"] == "validation"


def test_statistics_of_another_model_are_refused(ramekin: Run, collected: str) -> None:
    other = "models=[tanganke/flan-t5-base_glue-sst2]"
    code, _, err = ramekin("merge", "method=fisher", BASE, other, "statistics=stats/rte", "output=out")
    assert code == 4 and f"of '{RTE}'" in err and "glue-sst2" in err and "ramekin merge statistics" in err
    code, _, err = ramekin("merge", "method=fisher", BASE, MODELS, "output=out")
    assert code == 2 and "fisher needs statistics of every model" in err
    assert "ramekin merge statistics model=MODEL task=… kinds=[fisher] output=…" in err
    assert not Path("out").exists()


def test_a_dry_run_loads_no_weights_and_writes_nothing(ramekin: Run) -> None:
    words = (f"model={RTE}", "task=glue/rte", "output=stats", "--dry-run")
    code, out, err = ramekin(*COLLECT, *words)
    assert code == 0 and "glue/rte#" in out and "6 rows" in out and not Path("stats").exists(), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("kinds=[]", "task=glue/rte"), "fisher, gram, or both"),
        (("kinds=[gram,gram]", "task=glue/rte"), "fisher, gram, or both"),
        (("fisher=exact", "task=glue/rte"), "'sampled' or 'empirical'"),
        ((), "needs a task"),
        (("task=glue/rte", "splt=train"), "did you mean 'split'"),
    ],
)
def test_what_cannot_be_asked_is_refused(ramekin: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = ramekin(*COLLECT, f"model={RTE}", "output=stats", *words)
    assert code == 2 and message in err and out == ""
    assert ramekin(*COLLECT, f"model={RTE}", "task=glue/rte")[0] == 2


def test_killed_it_leaves_nothing_under_the_name() -> None:
    code = textwrap.dedent(
        f"""
        import os, signal, sys
        import ramekin.train.statistics.collect as collect
        from ramekin.cli import main

        def killed(*given, **more):
            os.kill(os.getpid(), signal.SIGKILL)

        collect.collect_fisher = killed
        sys.argv = ["ramekin", "merge", "statistics", "model={RTE}", "task=glue/rte", "limit=2", "output=stats"]
        main()
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not Path("stats").exists()
    left = [path for path in Path().iterdir() if path.name.startswith(".tmp-stats")]
    assert left and (left[0] / "gram.safetensors").is_file() and not (left[0] / "statistics.json").exists()
