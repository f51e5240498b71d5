"""The recipes of published systems: their numbers are pinned, and each runs in small from end to end."""

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from ramekin.catalog import Catalog
from ramekin.catalog.clusters import clusters, published
from ramekin.catalog.mixtures import adjusted_mixture, load_mixture, mixture_file
from ramekin.recipes import train
from ramekin.recipes.compose import compose
from ramekin.recipes.groups import CONF, group_options
from ramekin.recipes.models import open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.tiny import STEPS
from ramekin.text.mixing.mixture import task_parts
from ramekin.weights.lineage import read_lineage

RECIPES = group_options("recipe", "train")
FLAN_2021 = {
    "model": "google/t5-xl-lm-adapt", "input_eos": True, "mixture": "flan_2021", "max_steps": 30000,
    "global_batch": 8, "learning_rate": 3e-5, "optimizer": "adafactor", "scale_parameter": True,
    "schedule": "constant", "warmup_steps": 0, "dropout": 0.1, "max_grad_norm": None, "eval_limit": 200,
    "max_input_tokens": 1024, "max_target_tokens": 256,
}  # fmt: skip
FLAN_2022 = {
    "input_eos": True, "global_batch": 64, "learning_rate": 5e-4, "optimizer": "adafactor",
    "scale_parameter": True, "schedule": "constant", "dropout": 0.05, "max_grad_norm": None,
    "max_input_tokens": 2048, "max_target_tokens": 512,
}  # fmt: skip
T0 = {
    "model": "google/t5-xxl-lm-adapt", "input_eos": False, "max_steps": 12200, "global_batch": 1024,
    "learning_rate": 1e-3, "optimizer": "adafactor", "scale_parameter": True, "schedule": "constant",
    "dropout": 0.1, "max_grad_norm": None, "max_input_tokens": 1024, "max_target_tokens": 256,
}  # fmt: skip
DIRECT = {
    "input_eos": True, "mixture": "direct", "max_steps": 5000, "global_batch": 240, "optimizer": "adafactor",
    "scale_parameter": False, "schedule": "constant", "dropout": 0.1, "max_input_tokens": 512,
    "max_target_tokens": 128,
}  # fmt: skip
GLUE = {
    "templates": "fusionbench", "mode": "fusionbench", "max_steps": 2000, "global_batch": 16,
    "learning_rate": 4e-5, "optimizer": "adamw", "schedule": "constant", "eval_limit": None,
}  # fmt: skip
NI = {
    "mixture": "natural_instructions", "epochs": 2, "learning_rate": 5e-5, "optimizer": "adamw",
    "schedule": "constant", "max_input_tokens": 1024, "max_target_tokens": 128,
}  # fmt: skip
MINI = {
    "model": "mini/text", "learning_rate": 1e-2, "optimizer": "adafactor", "scale_parameter": True,
    "schedule": "linear", "dropout": 0.0, "threads": 1,
}  # fmt: skip
PINNED: dict[str, dict[str, Any]] = {
    "mini/hold_out": MINI | {"mixture": "mini_all", "hold_out": "natural_language_inference", "mode": "rank"},
    "mini/flipped": MINI | {"mixture": "mini_words", "objective": "flipped", "mode": "flipped"},
    **{f"flan_2021/{name}": FLAN_2021 | {"hold_out": name} for name in published("flan_2021", Catalog())},
    "flan_2021/instructions": FLAN_2021 | {"ablation": "none", "hold_out": "natural_language_inference"},
    "flan_2021/no_template": FLAN_2021 | {"ablation": "no_template", "mode": "rank"},
    "flan_2021/dataset_name": FLAN_2021 | {"ablation": "dataset_name", "mode": "rank"},
    "flan_2021/cluster_count": FLAN_2021 | {"hold_out": None},
    "flan_2021/template_count": FLAN_2021 | {"templates_per_task": 1},
    "flan_2021/task_count": FLAN_2021 | {"num_tasks": 10},
    **{
        f"flan_2022/flan_t5_{size}": FLAN_2022
        | {"model": f"google/t5-{size}-lm-adapt", "mixture": "flan_2022_b", "max_steps": steps}
        for size, steps in (("small", 98000), ("base", 84000), ("large", 64000), ("xl", 38000), ("xxl", 14000))
    },
    "flan_2022/proportions_a": FLAN_2022 | {"mixture": "flan_2022_a", "max_steps": 84000},
    "flan_2022/open_code": FLAN_2022 | {"mixture": "flan_2022_open"},
    "flan_2022/without_chain_of_thought": FLAN_2022 | {"mixture": "flan_2022_a", "cot": "leave_out"},
    "flan_2022/chain_of_thought_only": FLAN_2022 | {"mixture": "flan_2022_a", "cot": "only"},
    "flan_2022/zero_shot_with_options": FLAN_2022 | {"exemplars": "leave_out", "options": "drawn"},
    "flan_2022/zero_shot_without_options": FLAN_2022 | {"exemplars": "leave_out", "options": "none"},
    "flan_2022/few_shot_with_options": FLAN_2022 | {"exemplars": "only", "options": "dashes"},
    "flan_2022/few_shot_without_options": FLAN_2022 | {"exemplars": "only", "options": "none"},
    "t0/t0_3b": T0 | {"model": "google/t5-xl-lm-adapt", "mixture": "t0"},
    "t0/t0": T0 | {"mixture": "t0"},
    "t0/t0_plus": T0 | {"mixture": "t0_plus"},
    "t0/t0_plus_plus": T0 | {"mixture": "t0_plus_plus"},
    "direct/direct_3b": DIRECT
    | {"model": "google/t5-xl-lm-adapt", "learning_rate": 1e-4, "objective": "direct", "precision": "fp32"},
    "direct/channel_3b": DIRECT
    | {"model": "google/t5-xl-lm-adapt", "learning_rate": 1e-4, "objective": "channel"},
    **{
        f"direct/flipped_{size}": DIRECT
        | {"model": f"google/t5-v1_1-{model}", "learning_rate": 5e-5, "objective": "flipped", "unlikelihood_weight": 3}
        for size, model in (("3b", "xl"), ("11b", "xxl"))
    },
    **{
        f"glue/{kind}_{size}": GLUE
        | {"model": f"google/flan-t5-{size}"}
        | ({"kind": "lora", "rank": 16, "alpha": 32} if kind == "lora" else {"kind": "none"})
        for kind in ("full", "lora")
        for size in ("base", "large")
    },
    "papers/question_answer": {
        "model": "google/flan-t5-large", "epochs": 10, "global_batch": 16, "learning_rate": 1e-4,
        "optimizer": "adamw", "schedule": "linear", "warmup_steps": 184, "seed": 42, "max_input_tokens": 1024,
        "weight_decay": 0.0, "max_grad_norm": 1.0, "eval_with": ("loss",), "eval_every_epochs": 1,
        "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "log_every": 92,
    },
    "relations/flan_t5_large": {"model": "google/flan-t5-large", "mode": "generate", "epochs": 10},
    "natural_instructions/tk_instruct": NI | {"model": "google/t5-xl-lm-adapt", "precision": "bf16"},
    "natural_instructions/nanot5": NI | {"model": "google/t5-v1_1-base", "global_batch": 8, "precision": "fp32"},
}  # fmt: skip
FURTHER = {"glue": ("task=glue/rte",), "relations": ("task=relations/conll04",)}
"""The words that a family's recipes leave open."""

# What runs with every test: one of each kind. The others differ from these in numbers or in which tasks they take.
QUICK = (
    "direct/channel_3b", "direct/direct_3b", "direct/flipped_3b", "flan_2021/dataset_name",
    "flan_2021/natural_language_inference", "flan_2021/no_template", "flan_2021/sentiment",
    "flan_2022/chain_of_thought_only", "flan_2022/few_shot_without_options", "flan_2022/zero_shot_with_options",
    "glue/full_base", "glue/lora_base", "natural_instructions/nanot5", "papers/question_answer",
    "relations/flan_t5_large", "t0/t0_3b",
)  # fmt: skip


def words_of(recipe: str) -> list[str]:
    return [f"recipe={recipe}", *FURTHER.get(recipe.partition("/")[0], ())]


def flat(config: TrainConfig) -> dict[str, Any]:
    """All numbers of a configuration by their own names; a mixture's and an objective's by theirs, too."""
    found = {**config.adapter.model_dump(), **config.model_dump(), **config.model_dump()["training"]}
    found["objective"] = config.objective.name
    found["unlikelihood_weight"] = config.objective.unlikelihood_weight
    if config.mixture is not None:
        found |= {key: value for key, value in config.mixture.model_dump().items() if key != "name"}
    return {**found, "mixture": config.mixture.name if config.mixture else None, "seed": config.seed}


def test_every_recipe_is_pinned() -> None:
    assert set(PINNED) == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_its_numbers_are_the_published_ones(recipe: str) -> None:
    config = compose("train", TrainConfig, words_of(recipe))
    found = flat(config)
    assert config.recipe == recipe
    assert {key: found[key] for key in PINNED[recipe]} == PINNED[recipe]


@pytest.mark.parametrize(
    ("mixture", "cap", "scope"),
    [("flan_2021", 3000, "dataset"), ("t0", 500000, "template"), ("direct", 500000, "dataset")],
)
def test_its_mixture_caps_what_a_task_counts(mixture: str, cap: int, scope: str) -> None:
    mixing = mixture_file(mixture).mixing
    assert (mixing.cap_examples, mixing.cap_scope) == (cap, scope)


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.startswith("flan_2021/")])
def test_flan_evaluates_what_it_has_not_been_trained_on(recipe: str) -> None:
    config = compose("train", TrainConfig, words_of(recipe))
    assert config.mixture is not None
    catalog = Catalog()
    trained = adjusted_mixture(load_mixture("flan_2021", catalog), config.mixture.adjustments, catalog)
    names = {part.task for _, part in task_parts(trained)}
    assert not names & set(config.eval_tasks)
    held_out = {catalog[name].cluster for name in config.eval_tasks}
    assert not held_out & {catalog[name].cluster for name in names}
    if config.mixture.hold_out is not None:
        assert held_out == {config.mixture.hold_out}
    for name in config.eval_tasks:
        assert "validation" in catalog[name].source.splits and catalog[name].source.hub is not None


def test_flan_has_a_recipe_for_each_of_its_clusters() -> None:
    twelve = set(published("flan_2021", Catalog()))
    assert len(twelve) == 12 and twelve <= set(clusters())
    assert {f"flan_2021/{name}" for name in twelve} <= set(RECIPES)


@pytest.mark.parametrize("path", sorted((CONF / "recipe").glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")  # fmt: skip
def test_a_file_opens_with_its_command_and_names_its_source(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first, command = text.splitlines()[:2]
    assert first == "# @package _global_"
    verb, *words = shlex.split(command.removeprefix("# ramekin "))
    assert verb == "train"
    config = compose("train", TrainConfig, [word.replace("CLONE", str(tmp_path)) for word in words])
    if not path.stem.startswith("_"):
        assert config.recipe == f"{path.parent.name}/{path.stem}"
        assert "Source:" in text or f"{path.parent.name}/_base.yaml" in text
    assert config.output is not None and config.output.parts[0] == "runs"


def test_the_page_of_recipes_has_them_all_and_no_other() -> None:
    page = Path(__file__).parents[2] / "docs" / "recipes.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    listed, family = [], ""
    for row in rows[1:]:
        first, what, *_ = row.strip("| ").split(" | ")
        if first.endswith("/`**"):
            family, names = first.strip("*`"), re.findall(r"`(\w+)`", what)
        else:
            names = re.findall(r"`(\w+)`", first)
        listed += [f"{family}{name}" for name in names]
    assert sorted(listed) == sorted(RECIPES)


def test_words_are_laid_over_a_recipe() -> None:
    words = ["recipe=t0/t0_3b", "max_steps=7", "mixture.cap_examples=9", "mixture=direct", "input_eos=true"]
    config = compose("train", TrainConfig, [*words, "objective=channel", "adapter=lora", "model=x"])
    assert config.training.max_steps == 7 and config.training.learning_rate == 1e-3
    assert config.mixture is not None
    assert (config.mixture.name, config.mixture.cap_examples, config.mixture.missing) == (
        "direct",
        9,
        "leave_out",
    )
    assert (config.objective.name, config.adapter.kind, config.model, config.input_eos) == (
        "channel", "lora", "x", True,
    )  # fmt: skip
    of_a_task = compose("train", TrainConfig, ["recipe=t0/t0_3b", "mixture=null", "task=glue/rte"])
    assert of_a_task.mixture is None and of_a_task.task_names == ("glue/rte",)


@pytest.mark.parametrize(
    ("recipe", "word", "key", "other"),
    [
        ("t0/t0_3b", "epochs=2", "epochs", "max_steps"),
        ("t0/t0_3b", "eval_every_epochs=2", "eval_every_epochs", "eval_every"),
        ("papers/question_answer", "max_steps=2", "max_steps", "epochs"),
        ("papers/question_answer", "training.eval_every=2", "eval_every", "eval_every_epochs"),
    ],
)
def test_a_word_takes_back_its_alternative(recipe: str, word: str, key: str, other: str) -> None:
    training = compose("train", TrainConfig, [f"recipe={recipe}", word]).training
    assert (getattr(training, key), getattr(training, other)) == (2, None)
    both = compose("train", TrainConfig, [f"recipe={recipe}", word, f"{other}=null"]).training
    assert both == training


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in RECIPES]
)
def test_it_runs_in_small_from_end_to_end(
    recipe: str, tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = compose("train", TrainConfig, [*words_of(recipe), "tiny=true", "threads=1", "output=run"])
    told = train.execute(config, SilentProgress()).to_json()
    assert told["steps"] == STEPS and math.isfinite(told["loss"]) and told["loss"] > 0
    lineage = read_lineage(Path("run"))
    assert (
        lineage is not None and lineage.settings["recipe_name"] == recipe and lineage.settings["tiny"] is True
    )
    assert lineage.settings["objective"]["name"] == config.objective.name
    assert lineage.base == "tiny/base" and lineage.kind == (
        "adapter" if config.adapter.kind == "lora" else "dense"
    )
    if config.mixture is not None:
        assert lineage.settings["mixture"]["name"] == config.mixture.name
    opened = open_named("run", Places(), SilentProgress())
    assert opened.model.config.model_type == "t5"
    report = json.loads(Path("run/report.json").read_text())
    scored = {row["label"] for table in report["tables"] for row in table["rows"]}
    assert bool(scored) == (bool(config.evaluated_tasks) and "scores" in config.eval_with)
    steps = [point["step"] for table in report["validations"] for point in table["points"]]
    assert steps == ([*range(1, 13)] if "papers" in recipe else [6, 12] if "t0/" in recipe else [])
    counted = {counter["name"] for counter in report["facts"]["counters"]}
    assert all(each["of"] is None or each["count"] <= each["of"] for each in report["facts"]["counters"])
    assert ("exemplars that there was no other row for" in counted) == (
        recipe.startswith("flan_2022/") and "zero_shot" not in recipe
    )


def test_a_run_in_small_is_the_same_every_time_and_found_done(
    tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for output in ("a", "b"):
        words = [*words_of("glue/lora_base"), "tiny=true", "max_steps=2", f"output={output}"]
        config = compose("train", TrainConfig, words)
        train.execute(config, SilentProgress())
    weights = [Path(each, "adapter_model.safetensors").read_bytes() for each in ("a", "b")]
    assert weights[0] == weights[1]
    assert "finished already" in train.execute(config, SilentProgress()).text()
