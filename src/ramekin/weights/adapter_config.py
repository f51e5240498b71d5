"""PEFT's `adapter_config.json`: read, and refused where it says what is not known to merge exactly.

peft 0.21.2 combines several settings wrongly without a word, so that a key which is not known to leave the
computation alone must be off. This module knows no tensors.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from ramekin.errors import WeightsError
from ramekin.weights.layout import ADAPTER_CONFIG, read_json

__all__ = ["PREFIX", "read_adapter_config", "refuse_switched_on", "variant_error"]

PREFIX = "base_model.model."
"""What PEFT puts before the name of every layer."""

_FREE_KEYS = frozenset(  # of every kind; they change nothing of what the adapter computes
    {
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "peft_type",
        "peft_version",
        "revision",
        "runtime_config",
        "task_type",
    }
)


def read_adapter_config(folder: Path) -> dict[str, object]:
    """The content of a folder's adapter_config.json.

    Raises:
        WeightsError: there is none, it is damaged, or the name of the base is not text.
    """
    path = Path(folder) / ADAPTER_CONFIG
    if not path.is_file():
        raise WeightsError(
            "the folder holds no adapter",
            where=str(folder),
            expected=ADAPTER_CONFIG,
            kind="no-weights",
            fix="name a folder with adapter_config.json",
        )
    config = read_json(path)
    if not isinstance(config.get("base_model_name_or_path"), str | None):
        raise WeightsError(
            "the name of the adapter's base is not text",
            where=f"{path}#base_model_name_or_path",
            kind="adapter-parts",
            fix="save the adapter again with the tool that made it",
        )
    return config


def refuse_switched_on(
    path: Path, config: Mapping[str, object], *, free: AbstractSet[str], expected: str
) -> None:
    """Refuse a key that is on and is not known to change nothing.

    Args:
        path: of adapter_config.json.
        config: its content.
        free: keys of this kind of adapter that are looked at elsewhere, or change nothing.
        expected: what can be merged, for the message.

    Raises:
        WeightsError: names the key.
    """
    for key, value in sorted(config.items()):
        if value and key not in free and key not in _FREE_KEYS:
            raise variant_error(path, key, value, expected)


def variant_error(path: Path, key: str, value: object, expected: str) -> WeightsError:
    """The error for a setting that stands in the way of an exact merge."""
    return WeightsError(
        "this variant of an adapter cannot be merged exactly",
        where=f"{path}#{key}",
        expected=expected,
        got=repr(value)[:80],
        fix="merge it into its base with the tool it was trained with, and use the whole model",
        kind="adapter-variant",
    )
