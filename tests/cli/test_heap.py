import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import numpy as np
from ramekin.cli.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
one = np.ones(1 << 18, dtype=np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    two = [one + 1 for _ in range(4)]
    del two
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep what is freed")
def test_memory_that_was_freed_is_not_asked_for_page_by_page_again() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("kept", "not")
    }
    assert faults["kept"] * 10 < faults["not"]  # four arrays of 256 pages, once instead of a hundred times


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from ramekin.cli.heap import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
