"""An evaluation that is killed loses nothing and computes nothing twice: the benchmark in small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/kill_evaluation.py"


@pytest.mark.slow
def test_no_kill_loses_an_answer_or_changes_a_bit() -> None:
    words = ("--kills", "5", "--beside", "1", "--limit", "24", "--seed", "1")
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 5 and found["answers"] > 300
    assert (found["lost"], found["computed_twice"]) == (0, 0)
    assert found["equal_runs"] == found["runs"] > 0
    assert found["kills_before_anything_new_was_kept"] < 5
    assert set(found["beside"]) == {"batch_tokens=300", "batch_tokens=20000", "tasks reversed", "workers=2"}
    for each in found["beside"].values():
        assert each["predictions_equal"] and each["largest_difference"] <= 1e-5
        assert each["samples_that_differ"] <= each["samples"] / 500
