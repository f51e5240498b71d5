"""The pages of a PDF as text, read by pypdf in a process of its own.

pypdf is plain Python: a file made for it can neither run code nor write, but it can ask for all time and all
memory. The process has limits of both, and is killed at the deadline. Knows no sections.
"""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

from ramekin.errors import DataError, UsageError
from ramekin.machine import launch_of
from ramekin.sources.papers.paper import Limits

__all__ = ["OpenedPDF", "PDFPage", "open_pdf"]

_OTHER_WAYS = "save it anew from a PDF viewer, or give the text in a .txt or .json file"
_INSTALL = "pip install 'ramekin[papers]'"


@final
class PDFPage(NamedTuple):
    """One page."""

    text: str
    has_image: bool
    """Whether the page has no text and shows an image."""


@final
class OpenedPDF:
    """A PDF that is being read: what its head says, and its pages as they come."""

    def __init__(
        self, path: Path, process: "subprocess.Popen[bytes]", said: Iterator[dict[str, Any]], limits: Limits
    ) -> None:
        self._path, self._process, self._said, self._limits = path, process, said, limits
        head = self._next()
        self.num_pages: int = head["pages"]
        self.is_encrypted: bool = head["encrypted"]
        """Whether it is, and opens without a password."""
        self.title: str = head["title"]
        """Of its metadata; empty where it has none."""

    def pages(self) -> Iterator[PDFPage]:
        """The pages in order, at most as many as the limits allow.

        Raises:
            DataError: the file is damaged, or takes more time or memory than is allowed.
        """
        while "end" not in (said := self._next()):
            yield PDFPage(said["text"], said["images"])

    def _next(self) -> dict[str, Any]:
        said = next(self._said, None)
        if said is None:
            code = self._process.wait()
            if code < 0:  # killed by the system, as a rule for memory
                raise self._too_much("memory")
            raise self._failure("damaged", f"the reader's end, exit code {code}")
        if "error" in said:
            raise self._failure(said["error"], said.get("got"))
        return said

    def _failure(self, kind: str, got: str | None) -> DataError:
        where = str(self._path)
        if kind == "password":
            return DataError(
                "the PDF is encrypted and needs a password",
                where=where,
                expected="a PDF that opens without one",
                got="one that does not open with the empty password",
                fix="save a copy without a password, for example with qpdf --decrypt --password=… IN OUT",
            )
        if kind == "cipher":
            return DataError(
                "the PDF is encrypted with a cipher that is not installed", where=where, got=got, fix=_INSTALL
            )
        if kind == "memory":
            return self._too_much("memory")
        if kind == "limit":
            return DataError(
                "the PDF takes too much to read",
                where=where,
                expected="a PDF within the limits of pypdf",
                got=got,
                fix=_OTHER_WAYS,
            )
        return DataError(
            "the PDF cannot be read",
            where=where,
            expected="a whole PDF",
            got=got or "a damaged file",
            fix="download it again, or repair it, for example with qpdf IN OUT",
        )

    def _too_much(self, what: str) -> DataError:
        return _too_much(self._path, what, self._limits)


@contextmanager
def open_pdf(path: Path, limits: Limits) -> Iterator[OpenedPDF]:
    """A PDF whose process is gone when the block ends.

    Raises:
        DataError: the file is damaged, needs a password, or takes more time or memory than the limits allow.
        UsageError: pypdf is not installed.
    """
    if find_spec("pypdf") is None:
        raise UsageError("PDF files are read by pypdf, which is not installed", where=str(path), fix=_INSTALL)
    with path.open("rb") as file, _started(file, limits) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + limits.timeout_seconds
        yield OpenedPDF(path, process, _said(process.stdout, deadline, path, limits), limits)


@contextmanager
def _started(file: BinaryIO, limits: Limits) -> Iterator["subprocess.Popen[bytes]"]:
    numbers = (
        limits.max_memory_bytes,
        int(limits.timeout_seconds) + 1,
        limits.max_pages,
        limits.max_text_chars,
    )
    launch = launch_of(Path(__file__).with_name("pdf_process.py"), *numbers)
    process = subprocess.Popen(
        launch.command,
        stdin=file,  # the file itself, opened here: no name is looked up a second time
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=launch.environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(stdout: Any, deadline: float, path: Path, limits: Limits) -> Iterator[dict[str, Any]]:
    """What the process says, a value a line, until it ends or its time is over."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise _too_much(path, "time", limits)
            data = os.read(stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from map(json.loads, lines)


def _too_much(path: Path, what: str, limits: Limits) -> DataError:
    allowed = {
        "time": f"at most {limits.timeout_seconds:g} seconds",
        "memory": f"at most {limits.max_memory_bytes >> 20} MiB of memory",
    }
    return DataError(
        "the PDF takes too much to read",
        where=str(path),
        expected=allowed[what],
        got="a file that needs more, as damaged or hostile ones do",
        fix=_OTHER_WAYS,
    )
