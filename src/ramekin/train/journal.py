"""`events.jsonl`: one line an event, appended as it happens, cut back when a run resumes.

A line is written with one system call, so that a killed process leaves at most one torn line, which the
next opening drops together with every line after the step it resumes from: no step is there twice and none
is missing.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from ramekin import files
from ramekin.errors import ResourceError

__all__ = ["Journal", "read_events"]


@final
class Journal:
    """The event log of a run folder, open for appending.

    Args:
        path: of the file.
        after_step: events of later steps are removed first; 0 keeps none.
        evaluated: the steps after which evaluations were made that are known of; lines of others are removed
            too. None keeps all up to the step.
    """

    def __init__(self, path: Path, *, after_step: int, evaluated: Collection[int] | None = None) -> None:
        found = read_events(path) if after_step else ()
        kept = [
            event
            for event in found
            if event["step"] <= after_step
            and (evaluated is None or event.get("event") != "eval" or event["step"] in evaluated)
        ]
        files.write_text(path, "".join(map(_line, kept)))
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append an event; it has a `step`.

        Raises:
            ResourceError: the disk is full.
        """
        data = _line(event).encode()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise ResourceError("cannot write", where=str(self._path), got=error.strerror) from error
        if written != len(data):
            raise ResourceError("cannot write", where=str(self._path), got="disk full", fix="free some space")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a log; a torn one at the end is left out."""
    if not path.exists():
        return
    for line in _whole_lines(path.read_bytes()):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("step"), int):
            yield event


def _whole_lines(data: bytes) -> Iterable[bytes]:
    return data.split(b"\n")[:-1]


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False) + "\n"
