import os

from ramekin.machine import num_cores


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert 1 <= num_cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert num_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == (os.cpu_count() or 1)
