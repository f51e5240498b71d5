"""`ramekin mix plan`, `preview` and `build`, and training on what was built, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes.mixtures.index import read_index

Run = Callable[..., tuple[int, str, str]]

TOKENS = ("workers=1", "cache=cache")
OwnTask = Callable[..., tuple[Path, Path]]


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer_folder: Path) -> None:
    """A working folder with a mixture of two of the world's tasks, forty rows each, and a vocabulary."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(
        "description: two tasks\ntasks: [mini/rte, mini/cola]\nlimit_examples: 40\n"
        "mixing: {kind: proportional, cap_examples: 30}\n"
    )
    Path("words").symlink_to(tokenizer_folder)


def mix(ramekin: Run, *words: str) -> dict:  # type: ignore[type-arg]
    code, out, err = ramekin("mix", *words, *TOKENS, "mixture=small.yaml", "--json")
    assert code == 0, err
    told: dict = json.loads(out)  # type: ignore[type-arg]
    return told


def test_a_plan_has_rates_draws_epochs_caps_and_tokens(ramekin: Run) -> None:
    told = mix(ramekin, "plan", "tokenizer=words", "max_steps=30", "global_batch=4")
    assert (told["draws"], told["epoch_examples"]) == (120, 60)
    rte, cola = told["leaves"]
    assert (rte["leaf"], rte["rows"], rte["weight"], rte["rate"]) == (
        "mini/rte limit_examples=40",
        40,
        30,
        0.5,
    )
    assert rte["draws"] + cola["draws"] == 120
    assert rte["epochs"] == rte["draws"] / 40
    assert rte["binds"] == "cap"
    assert told["input_tokens"] == rte["input_tokens"] + cola["input_tokens"] > 0
    code, out, _ = ramekin("mix", "plan", "mixture=small.yaml", "tokenizer=words", "max_steps=30", *TOKENS)
    assert code == 0 and "mini/rte" in out and "50.00 %" in out


FLIPPED = ("objective=flipped", "max_input_tokens=40")


@pytest.mark.parametrize("is_alike", [False, True])
@pytest.mark.parametrize("how", [(), FLIPPED])
def test_a_preview_is_what_training_draws_first(
    ramekin: Run, own_task: OwnTask, how: tuple[str, ...], is_alike: bool
) -> None:
    from ramekin.recipes.mixtures.prepare import shards_folder
    from ramekin.train.mixture_feed import LeafShards, MixtureFeed

    if is_alike:  # two labels that the vocabulary does not know, drawn in the place of each other
        own_task([(f"snow {n}", n % 3) for n in range(40)], options=("no", "山", "水"))
        Path("small.yaml").write_text("tasks: [mini/rte, own/wet]\nlimit_examples: 40\n")
        how = (*how, "tasks_root=tasks", "data_root=.")
    shown = mix(ramekin, "preview", "tokenizer=words", "rows=6", "seed=5", *how)["examples"]
    assert len({each["id"].partition("#")[0] for each in shown}) == 2
    plan = mix(ramekin, "plan", "tokenizer=words", "max_steps=2", "global_batch=3", *how)
    built = mix(ramekin, "build", "tokenizer=words", "max_steps=2", "global_batch=3", *how)
    assert ("indistinct_labels" in built["lost"]) == (is_alike and FLIPPED[0] in how), "a cut keeps the label"
    assert ("truncated_inputs" in built["lost"]) == (FLIPPED[0] in how)
    (path,) = Path("cache/indexes").iterdir()
    index = read_index(path)
    assert index is not None
    assert [(each["rows"], each["rate"]) for each in plan["leaves"]] == [
        (leaf.examples, leaf.rate) for leaf in index.leaves
    ]
    leaves = [LeafShards(x.name, x.rate, x.shards, x.sizes, x.num_variants) for x in index.leaves]
    feed = MixtureFeed(leaves, folder=shards_folder(Path("cache")), epoch_examples=index.epoch_examples)
    drawn = [item for step in (0, 1) for item in feed.examples(step, seed=5, global_batch=3)]
    assert [item.provenance.id for item in drawn] == [each["id"] for each in shown]


def test_a_preview_goes_on_where_epochs_are_of_different_lengths(ramekin: Run, own_task: OwnTask) -> None:
    own_task([(f"snow {n}", 0) for n in range(3)])
    Path("small.yaml").write_text("tasks: [own/wet]")
    words = ("tokenizer=words", "objective=flipped", "rows=8", "tasks_root=tasks", "data_root=.")
    shown = [each["id"] for each in mix(ramekin, "preview", *words)["examples"]]
    epochs = [shown[:2], shown[2:3], shown[3:5], shown[5:6], shown[6:8]]
    rows = [sorted(int(name[-1]) for name in epoch) for epoch in epochs]
    assert rows == [[0, 2], [1], [0, 2], [1], [0, 2]], "the template that can be flipped takes turns"


def test_a_build_says_what_it_made_and_does_it_once(ramekin: Run) -> None:
    told = mix(ramekin, "build", "tokenizer=words", "max_steps=3", "global_batch=4")
    assert told["examples"] >= 80 and told["shards"] >= 2 and told["draws"] == 12
    before = {path: path.stat().st_mtime_ns for path in Path("cache").rglob("*") if path.is_file()}
    assert mix(ramekin, "build", "tokenizer=words", "max_steps=3", "global_batch=4") == told
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_adjustments_and_objectives_are_words(ramekin: Run) -> None:
    told = mix(
        ramekin, "preview", "tokenizer=words", "objective=flipped", "mixture.exclude=[mini/cola]", "rows=2"
    )
    assert all(each["id"].startswith("mini/rte") for each in told["examples"])
    assert all(each["wrong_inputs"] != each["inputs"] for each in told["examples"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "mixture=smal.yaml", "tokenizer=words"), "smal.yaml"),
        (("plan", "mixture=flan_2012", "tokenizer=words"), "did you mean 'flan_2021'"),
        (("plan", "mixture=small.yaml"), "needs a vocabulary: model=NAME, or tokenizer=DIR"),
        (("plan", "mixture=small.yaml", "tokenizer=words", "mixture.cap_exmples=3"), "mixture.cap_examples"),
        (("plan", "mixture=small.yaml", "tokenizer=words", "mixture.hold_out=sentimet"), "'sentiment'"),
        (("build", "tokenizer=words"), "mixture"),
    ],
)
def test_what_is_wrong_is_said(ramekin: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = ramekin("mix", *words)
    assert code in (2, 3) and out == ""
    assert message in err


def test_training_on_a_mixture_leaves_its_lineage(ramekin: Run, make_checkpoint: Callable[..., Path]) -> None:
    make_checkpoint(Path("base").absolute(), seed=0)
    words = (
        *("train", "model=base", "mixture=small.yaml", "max_steps=4", "global_batch=8", *TOKENS),
        *("eval_tasks=[mini/rte]", "eval_limit=8", "eval_with=[scores,loss]", "mode=rank", "samples=1"),
    )
    code, _, err = ramekin(*words, "output=tuned")
    assert code == 0, err
    assert "step 4 mini/rte: " in err and "loss" in err, "an answer is shown"
    told = json.loads(Path("tuned/ramekin.json").read_text())["lineage"]
    assert told["settings"]["mixture"]["name"] == "small.yaml"
    assert len(told["settings"]["mixture_sha256"]) == 64
    steps = [json.loads(line) for line in Path("tuned/events.jsonl").read_text().splitlines()]
    assert set(steps[0]["tasks"]) <= {"mini/rte", "mini/cola"}
    (evaluation,) = [event for event in steps if event["event"] == "eval"]
    assert set(evaluation["metrics"]) == {"mini/rte accuracy", "loss"}
    code, _, err = ramekin(*words, "output=again")
    assert code == 0, err
    assert Path("again/model.safetensors").read_bytes() == Path("tuned/model.safetensors").read_bytes()


def test_a_split_is_told_by_its_own_name(ramekin: Run, make_checkpoint: Callable[..., Path]) -> None:
    make_checkpoint(Path("base").absolute(), seed=0)
    Path("small.yaml").write_text(
        "tasks: [mini/rte, {task: mini/cola, split: validation}]\nlimit_examples: 9"
    )
    code, _, err = ramekin(
        "train", "model=base", "mixture=small.yaml", "max_steps=1", "output=tuned", *TOKENS
    )
    assert code == 0, err
    data = json.loads(Path("tuned/report.json").read_text())["facts"]["data"]
    assert {each["name"] for each in data} == {"mini/rte train", "mini/cola validation"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("mixture=small.yaml",), 0, "mixture small.yaml, 2 tasks"),
        (("mixture=small.yaml", "mixture.exclude=[mini/ret]"), 2, "did you mean 'mini/rte'"),
        (("mixture=flan_2022_b",), 2, "tasks_root=FOLDER with a clone of natural-instructions"),
    ],
)
def test_a_dry_run_finds_the_mixtures_tasks(
    ramekin: Run, words: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = ramekin("train", "model=base", "max_steps=1", *words, "--dry-run")
    assert found == code and message in out + err


def test_a_task_and_a_mixture_are_not_both_trained(ramekin: Run) -> None:
    code, _, err = ramekin("train", "model=base", "task=mini/rte", "mixture=small.yaml")
    assert code == 2 and "expected one of them, got both" in err and "mixture=null" in err
