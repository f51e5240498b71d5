"""The bases of the built-in world: what they are made of, and where they are kept."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ramekin.catalog import load_task
from ramekin.errors import UsageError
from ramekin.recipes.bases.made import make_base
from ramekin.recipes.bases.names import WORLD_BASES
from ramekin.recipes.bases.tiny import ensure_tiny_base
from ramekin.recipes.bases.world import refuse_another, world_base_folder, world_base_settings
from ramekin.recipes.data import TaskExamples, training_examples
from ramekin.recipes.models import locate
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.recipes.schema import BaseConfig

TEXT = world_base_settings("mini/text")


def test_mini_text_has_been_tuned_on_no_task() -> None:
    assert TEXT.base.task_rows == 0 and TEXT.base.text_rows > 0
    assert {name.partition("/")[0] for name in TEXT.tasks} == {"mini"} and len(TEXT.tasks) == 11


def test_mini_paper_text_differs_from_mini_text_in_size_and_vocabulary_alone() -> None:
    papers = world_base_settings("mini/paper_text")
    assert "mini/papers" in papers.tasks and papers.base.vocabulary_templates == "all"
    differ = {key for key, value in papers.base.model_dump().items() if value != TEXT.base.model_dump()[key]}
    assert differ == {"name", "vocab_size", "d_model", "d_ff", "num_heads"} and papers.base.task_rows == 0


def test_each_is_kept_by_name_and_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path))
    folders = {world_base_folder(name, seed) for name in WORLD_BASES for seed in (0, 1)}
    assert len(folders) == 2 * len(WORLD_BASES) and {folder.parent for folder in folders} == {tmp_path}
    kept = world_base_folder("mini/text", 0)
    kept.mkdir()
    (kept / "ramekin.json").write_text("{}")
    assert locate("mini/text", Places(), SilentProgress()) == kept


def test_one_is_made_again_where_a_prompt_of_its_tasks_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = world_base_folder("mini/base", 0)
    assert world_base_folder("mini/base", 0) == before

    def reworded(*names: Any, **options: Any) -> tuple[TaskExamples, ...]:
        first, *others = training_examples(*names, **options)
        example = first.examples[0]._replace(inputs=f"{first.examples[0].inputs} Now tell:")
        return (replace(first, examples=(example, *first.examples[1:])), *others)

    monkeypatch.setattr("ramekin.recipes.bases.world.training_examples", reworded)
    assert world_base_folder("mini/base", 0) != before


def test_the_bases_of_the_study_differ_in_size_alone() -> None:
    small, base, large = (world_base_settings(f"mini/study_{size}") for size in ("small", "base", "large"))
    assert small.tasks == base.tasks == large.tasks and len(large.tasks) == 14
    assert small.base.d_model < base.base.d_model < large.base.d_model
    for each in (small, base):
        given, largest = each.base.model_dump(), large.base.model_dump()
        differ = {key for key in given if given[key] != largest[key]}
        assert differ <= {"name", "d_model", "d_kv", "d_ff", "num_heads"} and given["task_rows"] == 0


def test_settings_of_another_base_under_its_name_are_refused() -> None:
    refuse_another(TEXT.base, TEXT.tasks)
    with pytest.raises(UsageError, match="the settings of mini/text are fixed"):
        refuse_another(TEXT.base, TEXT.tasks[:3])


def test_the_vocabulary_has_the_words_of_all_templates(tmp_path: Path) -> None:
    """Small, and of one task: its words are whole pieces, those of its second template among them."""
    from ramekin.tensors.tokenizer import load_tokenizer

    words = {"fact", "checker", "trainee", "evidence"}
    source = "".join(each.source.lower() for each in load_task("mini/rte").templates.values())
    assert all(word in source for word in words)
    lengths = {}
    for which in ("first", "all"):
        config = BaseConfig(
            name="own/base", vocab_size=600, vocabulary_templates=which, d_model=16, d_ff=16, num_layers=1,
            num_heads=1, text_rows=16, training=replace(TEXT.base.training, max_steps=1, warmup_steps=0),
        )  # fmt: skip
        output = tmp_path / which
        make_base(config, ["mini/rte"], Places(), output, 0, SilentProgress())
        tokenizer = load_tokenizer(output)
        lengths[which] = sum(len(tokenizer.tokenize(word)) for word in words)
    assert lengths["all"] < lengths["first"]


@pytest.mark.parametrize("ask", ["world_base_folder('mini/base', 0)", "ensure_tiny_base(SilentProgress())"])
def test_one_that_is_kept_is_found_without_torch(ask: str, tiny_cache: Path) -> None:
    ensure_tiny_base(SilentProgress())
    found = (
        "import sys\n"
        "from ramekin.recipes.bases.tiny import ensure_tiny_base\n"
        "from ramekin.recipes.bases.world import world_base_folder\n"
        "from ramekin.recipes.progress import SilentProgress\n"
        f"print({ask}, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tiny_cache)) and done.stdout.endswith(" []\n"), done.stdout
