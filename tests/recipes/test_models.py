"""Names of models become folders, `mini/base` among them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.recipes.models import check_named, locate_base, locate_config, locate_tokenizer, open_named
from ramekin.recipes.places import Places
from ramekin.recipes.progress import SilentProgress
from ramekin.weights.adapter import save_adapter
from ramekin.weights.attach import IA3Recipe, attach_adapter
from ramekin.weights.lineage import Lineage
from ramekin.weights.seq2seq import load_model

PLACES, SILENT = Places(), SilentProgress()


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny stand-in for `mini/base`; the working folder is empty."""
    folder = make_checkpoint(tmp_path / "cache" / "mini-base", seed=0)
    monkeypatch.setattr("ramekin.recipes.bases.world.ensure_world_base", lambda name, seed, progress: folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def adapter(base: Path, name: str, recorded: str) -> Path:
    wrapped = attach_adapter(load_model(base), IA3Recipe(), seed=0)
    lineage = Lineage(kind="adapter", operation="finetune", base=recorded)
    save_adapter(wrapped, Path(name), base=recorded, lineage=lineage)
    return Path(name)


def test_an_adapter_of_mini_base_finds_it_by_itself(mini: Path) -> None:
    folder = adapter(mini, "a", "mini/base")
    assert locate_base(folder, None, PLACES, SILENT) == mini
    assert open_named("a", PLACES, SILENT).base_folder == mini


def test_a_base_that_is_named_comes_first_and_others_are_left_to_the_adapter(
    mini: Path, make_checkpoint: Callable[..., Path]
) -> None:
    other = make_checkpoint(Path("other"), seed=0)
    assert locate_base(adapter(mini, "a", "mini/base"), "other", PLACES, SILENT) == other
    assert locate_base(adapter(mini, "b", "org/base"), None, PLACES, SILENT) is None
    assert locate_base(mini, None, PLACES, SILENT) is None
    assert open_named("mini/base", PLACES, SILENT).folder == mini


def test_configuration_and_tokenizer_of_an_adapter_are_its_bases(
    mini: Path, make_checkpoint: Callable[..., Path]
) -> None:
    folder = adapter(mini, "a", "mini/base")
    for locate in (locate_tokenizer, locate_config):
        assert locate("a", PLACES, SILENT) == mini
        assert locate("mini/base", PLACES, SILENT) == mini
    (folder / "ramekin.json").unlink()  # as of an adapter that PEFT wrote
    assert locate_config("a", PLACES, SILENT) == locate_tokenizer("a", PLACES, SILENT) == mini
    shutil.copy(mini / "tokenizer.json", folder)
    assert locate_tokenizer("a", PLACES, SILENT) == Path("a"), "its own comes first"
    assert locate_config("a", PLACES, SILENT) == mini
    other = make_checkpoint(Path("other"), seed=0)
    assert locate_config("a", PLACES, SILENT, base="other") == other
    assert locate_config("other", PLACES, SILENT, base="mini/base") == other, "which is no adapter"


@pytest.mark.parametrize("name", ["mini/base", "mini/text", "tiny/base"])
def test_a_check_makes_nothing(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAMEKIN_CACHE", str(tmp_path / "cache"))
    check_named(name, PLACES)
    assert not (tmp_path / "cache").exists()
