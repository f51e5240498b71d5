"""`ramekin merge method=adamerging` on tiny models, as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ramekin.recipes import merge_learned

Run = Callable[..., tuple[int, str, str]]
TASKS = "tasks=[mini/rte,mini/cola]"
MERGE = (
    "merge", "method=adamerging", "base=base", "models=[m1,m2]", "limit=12", "learn.steps=4",
    "learn.batch_size=4", "learn.learning_rate=0.05", "threads=1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> None:
    """A tiny base and two models of it; the working folder is empty but for them."""
    monkeypatch.chdir(tmp_path)
    make_checkpoint(tmp_path / "base", seed=0)
    for seed in (1, 2):
        make_checkpoint(Path(f"m{seed}"), seed=seed, like=tmp_path / "base")


def _settings(folder: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(Path(folder, "ramekin.json").read_text())["lineage"]["settings"]
    return told


@pytest.mark.parametrize(("per", "count"), [("task", 1), ("layer", 8), ("tensor", 52)])
def test_weights_are_learned_and_make_the_same_merge_again(ramekin: Run, per: str, count: int) -> None:
    code, out, err = ramekin(*MERGE, TASKS, f"learn.per={per}", "output=out", "--json")
    assert code == 0, err
    weights = json.loads(out)["settings"]["weights"]
    assert weights == _settings("out")["weights"] and len(weights) == 2
    values = weights if per == "task" else [value for each in weights for value in each.values()]
    assert len(values) == 2 * count
    assert all(0 <= value <= 1 for value in values) and len(set(values)) > 1
    Path("again.yaml").write_text(json.dumps({"method": {"name": "adamerging", "weights": weights}}))
    words = ("merge", "--config", "again.yaml", *MERGE[2:4], "threads=1", "output=again")
    code, _, err = ramekin(*words)
    assert code == 0, err
    one, other = (Path(folder, "model.safetensors").read_bytes() for folder in ("out", "again"))
    assert one == other
    base, merged = load_file("base/model.safetensors"), load_file("out/model.safetensors")
    tuned = [load_file(f"m{place}/model.safetensors") for place in (1, 2)]
    if per == "task":
        for name, tensor in merged.items():
            expected = base[name] + sum(
                w * (t[name] - base[name]) for w, t in zip(weights, tuned, strict=True)
            )
            torch.testing.assert_close(tensor, expected)


def test_the_lineage_says_what_was_learned_from(ramekin: Run) -> None:
    assert ramekin(*MERGE, TASKS, "seed=3", "output=out")[0] == 0
    learned = _settings("out")["learned"]
    assert learned["learn"]["steps"] == 4 and learned["learn"]["seed"] == 3  # type: ignore[index, call-overload]
    assert [each["tasks"] for each in learned["data"]] == [["mini/rte"], ["mini/cola"]]  # type: ignore[index, call-overload]
    assert {each["split"] for each in learned["data"]} == {"train"}  # type: ignore[index, call-overload]
    assert len(learned["entropy"]["first"]) == 2  # type: ignore[index, call-overload]


def test_labels_are_not_looked_at(
    ramekin: Run, own_task: Callable[..., tuple[Path, Path]], monkeypatch
) -> None:
    seen = []
    learn = merge_learned.encoded_examples

    def without_targets(sets, tokenizer, config):
        found = learn(sets, tokenizer, config)
        for item in found.items:
            object.__setattr__(item, "target_ids", (5, 1))
        seen.append(len(found.items))
        return found

    assert ramekin(*MERGE, TASKS, "output=out")[0] == 0
    monkeypatch.setattr(merge_learned, "encoded_examples", without_targets)
    assert ramekin(*MERGE, TASKS, "output=other")[0] == 0
    assert seen == [12, 12] and _settings("out")["weights"] == _settings("other")["weights"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "needs the task of each model"),
        (("tasks=[mini/rte]",), 2, "expected 2 tasks, in the order of the models"),
        ((TASKS, "split=validation"), 2, "allow_evaluation_split=true"),
        ((TASKS, "method.weights=[0.3,0.3]"), 2, "given weights are not learned"),
        ((TASKS, "learn.per=block"), 2, "learn.per"),
        ((TASKS, "statistics=[m1]"), 2, "leave out statistics"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    ramekin: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    found, _, err = ramekin(*MERGE, *words, "output=out")
    assert found == code and said in err, err
    assert not Path("out").exists()


def test_models_that_do_not_fit_in_memory_are_refused_before_they_are_read(
    ramekin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_learned, "fits_in_memory", lambda folders: False)
    code, _, err = ramekin(*MERGE, TASKS, "output=out")
    assert code == 5 and "do not fit in memory side by side" in err and not Path("out").exists()


def test_a_dry_run_shows_the_rows(ramekin: Run) -> None:
    code, out, err = ramekin(*MERGE, TASKS, "output=out", "--dry-run")
    assert code == 0 and "mini/rte" in out and "mini/cola" in out, err
    assert not Path("out").exists()


def test_adapters_learn_too_and_become_one(ramekin: Run) -> None:
    code, _, err = ramekin(*MERGE, TASKS, "output=out", "adapter_rank=16", "adapter_rest=drop")
    assert code == 0, err
    assert Path("out/adapter_model.safetensors").is_file() and "learned" in _settings("out")
