"""The folders of a training: `OUTPUT`, which appears when it ends, and `OUTPUT.unfinished` until then.

They are a run's whose configuration is the same but for the keys that change neither its weights nor its
report. Trackers that write files write them beside both, in `OUTPUT.tracking`. Knows nothing of what a
training does.
"""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from ramekin.errors import LockedError, UsageError
from ramekin.files import folder_lock, refuse_existing, write_text
from ramekin.recipes.schema import TrainConfig
from ramekin.recipes.training.inputs import refuse_changed
from ramekin.registry import dotted
from ramekin.train.recipe import best_value_of

__all__ = ["FREE_OF_TRAINING", "claim", "is_done", "leave_unless_begun", "tracked", "unfinished"]

_CONFIG = "config.yaml"
FREE_OF_TRAINING = frozenset(
    {
        "cache",
        "project",
        "resume",
        "samples",
        "track",
        "training.checkpoint_every",
        "training.gradient_checkpointing",
        "training.log_every",
        "workers",
    }
)
"""Keys that a run may be continued with another value of."""
_BEST_IS = "training.best_is"
_SHOWN = 6
_ABSENT = "nothing"


def unfinished(output: Path) -> Path:
    """Where the run of an output lies until it ends."""
    return output.with_name(f"{output.name}.unfinished")


def is_done(output: Path, text: str, config: TrainConfig) -> bool:
    """Whether `output` is this very run, finished; anything else there is refused.

    Args:
        output: the folder.
        text: the configuration, as it is written to a run's folder.
        config: the same.

    Raises:
        UsageError: it is something else, or read what has changed since, and may not be overwritten.
    """
    saved = output / _CONFIG
    may_continue = config.resume == "auto" and not config.overwrite
    if may_continue and saved.is_file() and not _differences(saved, text):
        refuse_changed(output)
        return True
    refuse_existing(output, overwrite=config.overwrite)
    return False


def tracked(output: Path) -> Path:
    """Where trackers that write files follow the run of an output."""
    return output.with_name(f"{output.name}.tracking")


def claim(output: Path, text: str, config: TrainConfig) -> None:
    """Make the working folder, or see that it is this run's and that nobody trains in it.

    This very run is continued even if it may overwrite: from its beginning it would come to the same. The
    curves of one that is begun anew go with it.

    Raises:
        UsageError: another unfinished run is there, or one that may not be continued.
        LockedError: another process trains in it.
    """
    working = unfinished(output)
    saved = working / _CONFIG
    with folder_lock(working):
        differences = _differences(saved, text) if saved.is_file() else {}
        if saved.is_file() and not differences and config.resume == "auto":
            return
        if saved.is_file() and not config.overwrite:
            raise _in_the_way(saved, differences)
        if config.overwrite:
            shutil.rmtree(tracked(output), ignore_errors=True)
            shutil.rmtree(working)
    with folder_lock(working):
        write_text(saved, text)


def leave_unless_begun(working: Path) -> None:
    """Remove the folder of a run that ended before its first state: there is nothing to continue."""
    with contextlib.suppress(LockedError), folder_lock(working):
        if not (working / "state").exists():
            shutil.rmtree(working)


def _in_the_way(saved: Path, differences: Mapping[str, tuple[str, str]]) -> UsageError:
    what = "an unfinished run of another configuration" if differences else "an unfinished run"
    shown = list(differences.items())[:_SHOWN]
    more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return UsageError(
        f"{what} is in the way",
        where=str(saved),
        expected=", ".join(f"{key}={before}" for key, (before, _) in shown) + more or None,
        got=", ".join(f"{key}={now}" for key, (_, now) in shown) + more or None,
        fix="repeat that run's command to continue it, choose another output, or add overwrite=true",
    )


def _differences(saved: Path, text: str) -> dict[str, tuple[str, str]]:
    """The keys in which a configuration file differs from a configuration: (there, here)."""
    there, here = _values(saved.read_text(encoding="utf-8")), _values(text)
    keys = [key for key in {**there, **here} if key not in FREE_OF_TRAINING]
    found = {key: (there.get(key, _ABSENT), here.get(key, _ABSENT)) for key in keys}
    return {key: (before, now) for key, (before, now) in found.items() if before != now}


def _values(text: str) -> dict[str, str]:
    """A configuration's values by dotted keys, as text."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = None
    found = {key: str(value) for key, value in dotted(values if isinstance(values, Mapping) else {}).items()}
    if found.get(_BEST_IS) == "None":  # older versions wrote what it stands for
        found[_BEST_IS] = best_value_of(found.get("training.best_metric"))
    return found
