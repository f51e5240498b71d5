"""Whether a form can be read in the time that a server has for it; knows nothing of HTTP or engines.

An engine reads a form between two tokens of everybody's outputs, so nobody's may take long: what is new is
read in a process apart first, which ends when it has taken too much.
"""

import asyncio
import json
from collections import OrderedDict
from pathlib import Path
from typing import Final, final

from ramekin.errors import RamekinError
from ramekin.infer.request import Form
from ramekin.machine import launch_of
from ramekin.serve.refusals import refusal_of, refuse

__all__ = ["FormCheck"]

_MEMORY: Final = 1 << 30
_KEPT: Final = 1024
"""Verdicts that are remembered."""
_PATIENCE: Final = 10.0
"""Seconds that pass for each of a core's, at most: the machine has other things to do."""


@final
class FormCheck:
    """Forms that were found to be read in time.

    Args:
        seconds: of a core, for one form.
        at_once: processes at one time; more forms wait.
    """

    def __init__(self, *, seconds: int, at_once: int = 2) -> None:
        self._seconds = seconds
        self._turns = asyncio.Semaphore(at_once)
        self._known: OrderedDict[tuple[str | None, str], bool] = OrderedDict()

    async def check(self, form: Form) -> None:
        """Refuse a form that takes too long to read, or too much memory.

        Raises:
            RefusalError: it does, or the library that reads it is not installed.
        """
        if form.options:
            return
        from ramekin.infer.grammar import grammar_of

        key = form.regex, json.dumps(form.json_schema)
        is_read = self._known.get(key)
        if is_read is None:
            try:
                grammar = grammar_of(form)
            except RamekinError as error:
                raise refusal_of(error) from error
            async with self._turns:
                is_read = self._known.get(key)  # those who asked the same before may have found out
                if is_read is None:
                    is_read = await self._is_read(grammar)
            if is_read is not None:
                self._known[key] = is_read
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        if key in self._known:
            self._known.move_to_end(key)
        if not is_read:
            raise refuse(
                400,
                "the form takes too long to read, or too much memory",
                param="regex" if form.regex is not None else "json_schema",
                expected=f"at most {self._seconds} s of a processor and {_MEMORY >> 20} MiB",
                got="one that takes more, as many patterns under one allOf do",
                fix="a simpler one",
            )

    async def _is_read(self, grammar: str) -> bool | None:
        """Whether it is read within the limits; None where a busy machine left it no time."""
        launch = launch_of(Path(__file__).with_name("form_process.py"), _MEMORY, self._seconds)
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=launch.environment,
        )
        try:
            async with asyncio.timeout(self._seconds * _PATIENCE):
                await process.communicate(grammar.encode())
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:  # its time is over, or the client has left
                process.kill()
                await process.wait()
        return process.returncode == 0
