"""`tiny/base` is made once, has T5 1.1's form, and reads every built-in task's sample without unknown characters."""

from pathlib import Path

import pytest

from ramekin.recipes.bases.names import TINY_BASE
from ramekin.recipes.bases.tiny import ensure_tiny_base
from ramekin.recipes.models import open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.tensors.tokenizer import has_unknown, load_tokenizer, token_ids


@pytest.fixture
def folder(tiny_cache: Path) -> Path:
    return ensure_tiny_base(SilentProgress())


def test_it_is_made_once_and_found_by_name(folder: Path, tiny_cache: Path) -> None:
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert ensure_tiny_base(SilentProgress()) == folder and folder.parent == tiny_cache
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    opened = open_named(TINY_BASE, Places(), SilentProgress())
    assert opened.folder == folder
    config = opened.model.config
    assert config.feed_forward_proj == "gated-gelu" and not config.scale_decoder_outputs
    assert opened.model.lm_head.weight.data_ptr() != opened.model.shared.weight.data_ptr()


def test_its_vocabulary_knows_the_prompts_of_the_samples(folder: Path) -> None:
    from ramekin.catalog import load_task
    from ramekin.text.render import render

    tokenizer = load_tokenizer(folder)
    for name in ("glue/rte", "translation/wmt16_ru_en", "math/gsm8k"):
        task = load_task(name)
        assert task.sample is not None
        example = render(task, task.sample, split="sample", row=0)
        assert not any(map(has_unknown, token_ids(tokenizer, [example.inputs, example.targets])))
