"""The folder of a run: who may have it, and what a run that is refused leaves."""

from pathlib import Path

import pytest

from ramekin.errors import DataError, ResourceError, UsageError
from ramekin.recipes.evaluate_schema import EvaluateConfig
from ramekin.recipes.runs import config_text, run_folder


def config(**values: object) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"model": "m", "task": "mini/rte", **values})


def test_an_unfinished_run_goes_on_and_another_may_not_have_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with run_folder(folder, config()):
        (folder / "half").touch()
    with run_folder(folder, config(threads=2)) as again:
        assert (again / "half").exists()
    with (
        pytest.raises(UsageError, match="unfinished run of another configuration"),
        run_folder(folder, config(limit=3)),
    ):
        pass
    with run_folder(folder, config(limit=3, overwrite=True)):
        assert not (folder / "half").exists()
    assert (folder / "config.yaml").read_text() == config_text(config(limit=3))


@pytest.mark.parametrize("error", [DataError("no rows"), UsageError("no such thing")])
def test_what_was_refused_before_it_made_anything_leaves_the_folder_free(
    tmp_path: Path, error: Exception
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(type(error)), run_folder(folder, config()):
        raise error
    with run_folder(folder, config(limit=3)):
        pass
    assert (folder / "config.yaml").read_text() == config_text(config(limit=3))


def test_what_has_made_something_or_was_stopped_keeps_it(tmp_path: Path) -> None:
    for name, error in (("made", DataError("a bad row")), ("stopped", ResourceError("the disk is full"))):
        folder = tmp_path / name
        with pytest.raises(type(error)), run_folder(folder, config()):
            if name == "made":
                (folder / "half").touch()
            raise error
        assert (folder / "config.yaml").exists()
