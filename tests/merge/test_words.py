import subprocess
import sys

import pytest

from ramekin.errors import UsageError
from ramekin.merge.methods import METHODS
from ramekin.merge.settings import TaskArithmeticSettings
from ramekin.merge.words import WORDS, parse_method


def test_every_method_has_words() -> None:
    assert set(WORDS) == set(METHODS)


def test_a_method_by_its_words() -> None:
    assert parse_method({"name": "task_arithmetic", "scaling_factor": 1}) == TaskArithmeticSettings(
        scaling_factor=1
    )
    with pytest.raises(UsageError, match="unknown setting of task_arithmetic 'scale'"):
        parse_method({"name": "task_arithmetic", "scale": 1})
    with pytest.raises(UsageError, match="unknown merge method 'task_arithmatic': did you mean"):
        parse_method({"name": "task_arithmatic"})
    with pytest.raises(UsageError, match="a method needs its name: expected name: task_arithmetic"):
        parse_method({"scaling_factor": 1})


def test_words_are_read_without_torch() -> None:
    code = "import sys, ramekin.merge.words; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
