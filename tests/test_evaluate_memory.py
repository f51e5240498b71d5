"""The peak memory of evaluating, as benchmarks/evaluate_memory.py measures it, in small."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/evaluate_memory.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc"),
]


def measured(**case: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--case", json.dumps(case)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["rank", "sample"])
def test_the_budget_bounds_it_and_the_number_of_rows_does_not_matter(way: str) -> None:
    least, few, many, more = (
        measured(way=way, batch_tokens=budget, rows=rows, longest=1000)["above_model_mb"]
        for budget, rows in ((2048, 12), (2048, 48), (2048, 192), (200_000, 192))
    )
    assert few < least + 50
    assert many < few + 50
    assert many < 0.7 * more


@pytest.mark.parametrize("way", ["rank", "sample"])
def test_a_row_beyond_the_budget_takes_what_it_takes_alone(way: str) -> None:
    alone, among = (measured(way=way, batch_tokens=budget, rows=12, longest=2000) for budget in (1000, 2400))
    assert (alone["rows_over_budget"], among["rows_over_budget"]) == (3, 0)
    attention = 3 * 4 * 2000**2 * 4 / 2**20  # three times heads x length² numbers of 4 bytes
    assert alone["above_model_mb"] < 1.3 * attention
    assert among["above_model_mb"] < 1.3 * attention


def test_a_token_of_a_whole_set_takes_few_bytes() -> None:
    found = measured(prompts=4000)
    assert found["tokens"] > 3.9e6
    assert found["bytes_a_token"] < 60  # 93 and more while every token was an object of its own
