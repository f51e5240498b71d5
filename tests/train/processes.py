"""Processes that train together, started once and given one job after the other."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

MEMBER = Path(__file__).with_name("member.py")
SECONDS = 150


class Processes:
    """`size` processes of `member`, in a folder of their own; whatever happens, none outlives `close`."""

    def __init__(self, size: int, folder: Path) -> None:
        loopback = {"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}
        settings = {**os.environ, "OMP_NUM_THREADS": "1", **loopback}
        meeting = f"file://{folder / 'meeting'}"
        self.errors = [(folder / f"stderr-{rank}").open("w") for rank in range(size)]
        self.members = [
            subprocess.Popen(
                [sys.executable, "-W", "error", str(MEMBER), str(rank), str(size), meeting],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=settings,
            )
            for rank, errors in enumerate(self.errors)
        ]
        self.folder = folder
        self.answers: list[queue.Queue[str]] = [queue.Queue() for _ in range(size)]
        for member, answers in zip(self.members, self.answers, strict=True):
            threading.Thread(target=_listen, args=(member, answers), daemon=True).start()

    def start(self, job: str, environment: Mapping[str, str] = MappingProxyType({}), **keywords: Any) -> None:
        """Give every process the job, under variables of a launcher's environment."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write(json.dumps([job, dict(environment), keywords]) + "\n")
            member.stdin.flush()

    def answer(self, rank: int) -> dict[str, Any]:
        """What a process made of it."""
        try:
            line = self.answers[rank].get(timeout=SECONDS)
        except queue.Empty:
            line = ""
        if not line:
            self.close()
            errors = [
                (self.folder / f"stderr-{each}").read_text()[-3000:] for each in range(len(self.members))
            ]
            raise AssertionError("\n".join([f"process {rank} gave no answer", *errors]))
        result: dict[str, Any] = json.loads(line)
        return result

    def outcomes(self, job: str, *environment: Mapping[str, str], **keywords: Any) -> list[dict[str, Any]]:
        """The results or errors of all, by rank."""
        self.start(job, *environment, **keywords)
        return [self.answer(rank) for rank in range(len(self.members))]

    def run(self, job: str, *environment: Mapping[str, str], **keywords: Any) -> list[dict[str, Any]]:
        """The results of all, by rank; an error is one of the test."""
        outcomes = self.outcomes(job, *environment, **keywords)
        assert all("value" in outcome for outcome in outcomes), outcomes
        return [outcome["value"] for outcome in outcomes]

    def close(self) -> None:
        for member in self.members:
            member.kill()
            member.wait()
            for stream in (member.stdin, member.stdout):
                assert stream is not None
                stream.close()
        for errors in self.errors:
            errors.close()


def _listen(member: "subprocess.Popen[str]", answers: "queue.Queue[str]") -> None:
    assert member.stdout is not None
    for line in member.stdout:
        if line.startswith("result "):
            answers.put(line.removeprefix("result "))
    answers.put("")
