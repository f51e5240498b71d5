import errno
import os

import pytest

from ramekin.errors import ResourceError
from ramekin.train.journal import Journal, read_events


def written(path, steps, *, after_step=0):
    journal = Journal(path, after_step=after_step)
    for step in steps:
        journal.write({"event": "step", "step": step})
    journal.close()


def steps_of(path):
    return [event["step"] for event in read_events(path)]


def test_events_are_there_at_once(tmp_path):
    journal = Journal(tmp_path / "events.jsonl", after_step=0)
    journal.write({"event": "step", "step": 1, "loss": 0.5})
    assert (tmp_path / "events.jsonl").read_text() == '{"event": "step", "step": 1, "loss": 0.5}\n'
    journal.close()


def test_a_resumed_log_goes_on_after_its_step(tmp_path):
    path = tmp_path / "events.jsonl"
    written(path, [1, 2, 3, 4, 5])
    written(path, [4, 5, 6], after_step=3)
    assert steps_of(path) == [1, 2, 3, 4, 5, 6]


def test_a_fresh_log_is_empty(tmp_path):
    path = tmp_path / "events.jsonl"
    written(path, [0, 1, 2])
    written(path, [])
    assert path.read_text() == ""


@pytest.mark.parametrize("torn", ['{"event": "step", "st', "\x00\x00", '{"event": "step", "step": 3}'])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "events.jsonl"
    written(path, [1, 2])
    path.write_text(path.read_text() + torn)
    assert steps_of(path) == [1, 2]
    written(path, [3], after_step=2)
    assert steps_of(path) == [1, 2, 3]


def test_lines_that_are_no_events_are_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('3\n{"event": "x"}\nnot json\n{"event": "step", "step": 1}\n')
    assert steps_of(path) == [1]


def test_a_full_disk_is_a_resource_error(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "events.jsonl", after_step=0)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResourceError, match=r"cannot write: .*events.jsonl: got No space left"):
        journal.write({"event": "step", "step": 1})
    monkeypatch.setattr(os, "write", lambda *_: 3)
    with pytest.raises(ResourceError, match="got disk full"):
        journal.write({"event": "step", "step": 1})
    monkeypatch.undo()
    journal.close()
