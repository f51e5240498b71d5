"""`ramekin merge method=regmean_plus_plus` as a user types it."""

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
MODELS, TASKS = f"models=[{RTE},{COLA}]", "tasks=[glue/rte,glue/cola]"
MERGE = ("merge", "method=regmean_plus_plus", BASE, MODELS)


@pytest.fixture(autouse=True)
def _hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_root: Path, glue_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("RAMEKIN_HUB", str(hub_root))
    monkeypatch.setenv("RAMEKIN_DATA", str(glue_root))


def test_collects_and_merges_in_one_go(ramekin: Run, hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ramekin.train.statistics import propagated

    in_memory: dict[str, np.ndarray] = {}
    own = propagated.propagate

    def watched(merged, *given, **more):  # type: ignore[no-untyped-def]
        own(merged, *given, **more)
        in_memory.update({name: each.detach().numpy().copy() for name, each in merged.named_parameters()})

    monkeypatch.setattr(propagated, "propagate", watched)
    words = ("limit=6", "method.head=true", "method.scaling_factor={encoder:0.8,.*:{depth:[0.9,1.1]}}")
    code, _, err = ramekin(*MERGE, TASKS, *words, "output=merged")
    assert code == 0, err
    assert [path.name for path in Path().iterdir()] == ["merged"]  # what was collected is gone
    written = load_file("merged/model.safetensors")
    # What the blocks above were merged by is what was written in the end.
    assert written.keys() == in_memory.keys()
    for name, each in written.items():
        np.testing.assert_allclose(each, in_memory[name], rtol=1e-6, atol=1e-7, err_msg=name)
    lineage = json.loads(Path("merged/ramekin.json").read_text())["lineage"]
    assert lineage["operation"] == "merge/regmean_plus_plus"
    assert [each["tasks"] for each in lineage["settings"]["statistics"]] == [["glue/rte"], ["glue/cola"]]
    assert lineage["settings"]["statistics"][0]["rows"] == 6
    assert ramekin("evaluate", "model=merged", "task=glue/rte", "limit=4", "output=scores")[0] == 0


def test_it_is_regmean_only_in_the_first_block(ramekin: Run) -> None:
    for task, model in (("rte", RTE), ("cola", COLA)):
        words = (f"model={model}", f"task=glue/{task}", "kinds=gram", "limit=6", f"output=stats/{task}")
        assert ramekin("merge", "statistics", *words)[0] == 0
    alpha = "method.off_diagonal=1.0"
    code, _, err = ramekin(
        "merge", "method=regmean", alpha, BASE, MODELS, "statistics=[stats/rte,stats/cola]", "output=regmean"
    )
    assert code == 0, err
    assert ramekin(*MERGE, alpha, TASKS, "limit=6", "output=plus")[0] == 0
    one, other = (load_file(f"{name}/model.safetensors") for name in ("regmean", "plus"))
    last = "decoder.block.1.layer.2.DenseReluDense.wo.weight"
    np.testing.assert_array_equal(one["shared.weight"], other["shared.weight"])
    assert np.abs(one[last] - other[last]).max() > 1e-4


def test_batches_and_bf16_and_shards(ramekin: Run) -> None:
    assert ramekin(*MERGE, TASKS, "limit=6", "output=one")[0] == 0
    assert ramekin(*MERGE, TASKS, "limit=6", "batch_tokens=1", "output=other")[0] == 0
    one, other = (load_file(f"{name}/model.safetensors") for name in ("one", "other"))
    for name, each in one.items():
        np.testing.assert_allclose(each, other[name], atol=2e-4, err_msg=name)
    words = ("limit=6", "dtype=bfloat16", "max_shard_size=20KB", "post=svc", "output=small")
    code, _, err = ramekin(*MERGE, TASKS, *words)
    assert code == 0 and Path("small/model.safetensors.index.json").is_file(), err


def test_adapters_take_part(ramekin: Run) -> None:
    models = f"models=[{RTE}_lora-16,{COLA}]"
    code, _, err = ramekin(
        "merge", "method=regmean_plus_plus", BASE, models, TASKS, "limit=4", "output=merged"
    )
    assert code == 0, err


def test_a_dry_run_shows_the_rows_and_writes_nothing(ramekin: Run) -> None:
    code, out, err = ramekin(*MERGE, TASKS, "limit=6", "output=merged", "--dry-run")
    assert code == 0 and "glue/rte#" in out and "glue/cola#" in out and not list(Path().iterdir()), err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "needs the task of each model"),
        (("tasks=[glue/rte]",), 2, "expected 2 tasks, in the order of the models, got glue/rte"),
        ((TASKS, "split=validation"), 2, "is a split that models are evaluated on"),
        (("tasks=[glue/rte,glue/cole]",), 2, "glue/cola"),
        ((TASKS, "statistics=[a,b]"), 2, "collects its statistics while it merges"),
        ((TASKS, "method=regmean"), 2, "regmean reads no rows while it merges"),
        ((TASKS, "base=null"), 2, "needs the base"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    ramekin: Run, words: tuple[str, ...], code: int, message: str
) -> None:
    found, _, err = ramekin(*MERGE, "limit=2", "output=merged", *words)
    assert found == code and message in err and not Path("merged").exists()


def test_killed_it_leaves_no_output_and_the_next_one_tidies(ramekin: Run) -> None:
    code = textwrap.dedent(
        f"""
        import os, signal, sys
        import ramekin.recipes.merge as merge
        from ramekin.cli import main

        def killed(*given, **more):
            os.kill(os.getpid(), signal.SIGKILL)

        merge.run_merge = killed
        sys.argv = ["ramekin", *{[*MERGE, TASKS, "limit=2", "output=merged"]!r}]
        main()
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = Path().iterdir()
    assert left.name.startswith(".tmp-merged-scratch-")
    assert ramekin(*MERGE, TASKS, "limit=2", "output=merged")[0] == 0
    assert [path.name for path in Path().iterdir()] == ["merged"]
