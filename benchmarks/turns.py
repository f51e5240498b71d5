"""Sides of a benchmark as processes of their own, which take turns. Knows nothing of what they do.

The threads of arithmetic libraries wait for work by spinning, and how long depends on all threads of their
process: two libraries, or two teams of one, slow each other there, and for a moment the next process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

REST_SECONDS = 0.3
"""Between two turns, so that the threads of the side before have given up waiting for work."""


class Side:
    """A process that answers a case at a time.

    Args:
        words: what follows `python`; the process calls `answer_cases`.
    """

    def __init__(self, words: Sequence[str]) -> None:
        command = [sys.executable, *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **case: Any) -> dict[str, Any]:
        """What the side makes of a case: `wall` and `cpu` seconds, and `found`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(case), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()


def answer_cases(answer: Callable[..., object]) -> None:
    """Be a side: a case a line on standard input, what it took and what was found on standard output."""
    for case in sys.stdin:
        asked = json.loads(case)
        wall, cpu = time.perf_counter(), time.process_time()
        found = answer(**asked)
        taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps({**taken, "found": found}), flush=True)


def in_turns(
    sides: Mapping[str, Callable[..., dict[str, Any]]], rounds: int, **case: Any
) -> dict[str, list[dict[str, Any]]]:
    """The answers of each side, which is asked as by `Side.ask`, by round, after one that does not count."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(list(sides)):
            time.sleep(REST_SECONDS)
            answer = sides[name](**case)
            if number:
                answers[name].append(answer)
    return answers
