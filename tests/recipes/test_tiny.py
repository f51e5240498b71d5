"""A training in small keeps what the recipe is, and only makes its numbers smaller."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.catalog import Catalog
from ramekin.catalog.mixtures import load_mixture
from ramekin.recipes.compose import compose
from ramekin.recipes.mixture_config import MixtureConfig
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.tiny import STEPS, in_small
from ramekin.text.mixing.mixture import task_parts
from ramekin.train.recipe import Recipe

NUMBERS = (
    "max_steps", "global_batch", "micro_batch_tokens", "warmup_steps", "max_input_tokens",
    "max_target_tokens", "eval_every", "checkpoint_every",
)  # fmt: skip


def of(*words: str) -> TrainConfig:
    return compose("train", TrainConfig, words)


def test_what_is_not_tiny_stays_as_it_is() -> None:
    config = of("recipe=t0/t0_3b")
    assert in_small(config) is config


def test_the_recipe_stays_what_it_is() -> None:
    config = of("recipe=direct/flipped_3b", "tiny=true", "mixture.cap_examples=7", "seed=5")
    small = in_small(config)
    assert small.mixture is not None and config.mixture is not None
    for name in ("recipe", "objective", "adapter", "input_eos", "mode", "seed", "templates", "eval_tasks"):
        assert getattr(small, name) == getattr(config, name), name
    kept = {field.name for field in dataclasses.fields(Recipe)} - {*NUMBERS, "epochs", "precision", "compile"}
    for name in kept:
        assert getattr(small.training, name) == getattr(config.training, name), name
    changed = {"limit_examples", "templates_per_task"}
    assert small.mixture.model_dump(exclude=changed) == config.mixture.model_dump(exclude=changed)
    assert small.model == "tiny/base" and small.training.max_steps == STEPS


@given(
    max_steps=st.integers(1, 10**6) | st.none(),
    warmup=st.integers(0, 10**5),
    batch=st.integers(1, 10**4),
    length=st.integers(2, 10**4),
    eval_every=st.integers(1, 10**4) | st.none(),
)
def test_numbers_are_only_made_smaller_and_once(
    max_steps: int | None, warmup: int, batch: int, length: int, eval_every: int | None
) -> None:
    training = Recipe(
        max_steps=max_steps,
        epochs=None if max_steps is not None else 3,
        warmup_steps=warmup,
        global_batch=batch,
        max_input_tokens=length,
        eval_every=eval_every,
    )
    config = TrainConfig(model="x", tiny=True, mixture=MixtureConfig(name="mini"), training=training)
    small = in_small(config)
    for name in NUMBERS:
        before, after = getattr(training, name), getattr(small.training, name)
        assert (
            (before is None and after is None) or (before is None and name == "max_steps") or after <= before
        )
    assert small.training.max_steps is not None and 1 <= small.training.max_steps <= STEPS
    assert small.training.warmup_steps <= small.training.max_steps
    assert in_small(small) == small


def test_the_warm_up_keeps_its_part_of_the_run() -> None:
    small = in_small(of("model=x", "mixture=mini", "tiny=true", "max_steps=1200", "warmup_steps=300"))
    assert (small.training.max_steps, small.training.warmup_steps) == (12, 3)


def test_a_clone_in_small_stands_in_where_none_is_given(tmp_path: Path) -> None:
    small = in_small(of("recipe=natural_instructions/nanot5", "tiny=true"))
    mixture = load_mixture("natural_instructions", Catalog(small.tasks_root))
    assert len(list(task_parts(mixture))) == 2
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "task009_own.json").write_text("{}")
    own = of("recipe=natural_instructions/nanot5", "tiny=true", f"tasks_root={tmp_path}")
    assert in_small(own).tasks_root == (tmp_path,)


def test_what_takes_tasks_and_no_mixture_needs_no_clone() -> None:
    small = in_small(of("recipe=papers/question_answer", "tiny=true"))
    assert small.tasks_root == () and small.training.epochs is None and small.limit == 16


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_shorter_run_stays_shorter(steps: int) -> None:
    small = in_small(of("recipe=t0/t0_3b", "tiny=true", f"max_steps={steps}"))
    assert small.training.max_steps == steps


@pytest.mark.parametrize("data", ["task=mini/rte", "mixture=mini"])
def test_epochs_become_the_most_steps(data: str) -> None:
    small = in_small(of("model=x", data, "tiny=true", "epochs=1"))
    assert (small.training.max_steps, small.training.epochs) == (STEPS, None)
