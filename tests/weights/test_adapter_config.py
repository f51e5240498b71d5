"""A key that is not known to change nothing must be off."""

import json
from pathlib import Path

import pytest

from ramekin.errors import WeightsError
from ramekin.weights.adapter_config import read_adapter_config, refuse_switched_on


def test_the_file_is_read(tmp_path: Path) -> None:
    content = {"peft_type": "LORA", "base_model_name_or_path": None}
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    assert read_adapter_config(tmp_path) == content


def test_a_folder_without_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no adapter: .*expected adapter_config\.json"):
        read_adapter_config(tmp_path)


def test_a_base_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": ["x"]}')
    with pytest.raises(WeightsError, match="is not text: .*#base_model_name_or_path"):
        read_adapter_config(tmp_path)


def test_what_is_on_and_unknown_is_refused() -> None:
    config = {"peft_type": "X", "revision": "main", "mine": 3, "off": False, "empty": [], "later": {"on": 1}}
    with pytest.raises(
        WeightsError, match=r"exactly: c\.json#later: expected vectors, got {'on': 1}; fix: merge"
    ):
        refuse_switched_on(Path("c.json"), config, free={"mine"}, expected="vectors")
    refuse_switched_on(Path("c.json"), config, free={"mine", "later"}, expected="vectors")
