"""Answers that are kept as they come, in one folder for all runs: what was asked before costs nothing.

A model's answers lie in a folder named by its fingerprint, a file a process; a line is an answer under a
hash of the model, the library versions and what was asked. Another model, prompt or rule has other keys, so
that an answer never serves the wrong one, and any number of processes may write at once. What a kill tore off
a file's last line is not read. These are the only files here that are appended to instead of replaced. Knows
nothing of what is asked and answered: a question is bytes, an answer a JSON object.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from ramekin.errors import DataError, ResourceError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Kept", "KeptAnswers", "damaged_answer", "fingerprint", "versions"]

_ENGINE: Final = 2
"""Counted up whenever `infer` computes something else for the same request."""
_KEY: Final = re.compile(rb'\{"key": "([0-9a-f]{32})", ')

_NOT_THE_MODEL = {"_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype"}


def fingerprint(model: "PreTrainedModel") -> str:
    """The sha256 of everything that decides a model's answers: its tensors and its configuration.

    Raises:
        UsageError: the model is wrapped by an adapter, whose scale is not among the tensors.
    """
    import torch

    if any("lora_" in name for name, _ in model.named_parameters()):
        raise UsageError(
            "the answers of a model with a loose adapter cannot be kept in a journal",
            expected="an adapter that was merged into its base",
            fix="load it with load_adapter, which merges it, or evaluate without a journal",
        )
    settings = {k: v for k, v in model.config.to_dict().items() if k not in _NOT_THE_MODEL}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(values.numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The versions that an answer depends on."""
    import platform
    from importlib.metadata import version

    names = ("ramekin", "torch", "transformers", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@final
class Kept(NamedTuple):
    """An answer that is there."""

    values: Mapping[str, Any]
    where: str
    """Its file and place, for errors."""


@final
class KeptAnswers:
    """The answers of one model.

    Use as a context manager.

    Args:
        folder: of the answers of all models; made if it is missing.
        weights: the model's `fingerprint`.
        versions: of the libraries that compute the answers.

    Raises:
        DataError: a line before the last of a file cannot be read.
        ResourceError: a file cannot be written.
    """

    def __init__(self, folder: Path, *, weights: str, versions: Mapping[str, str]) -> None:
        self._folder = Path(folder) / weights[:32]
        subject = json.dumps([_ENGINE, weights, dict(versions)], sort_keys=True)
        self._subject = hashlib.sha256(subject.encode()).digest()
        self._places: dict[str, tuple[Path, int]] = {}
        for path in sorted(self._folder.glob("*.jsonl")):
            self._places.update((key, (path, start)) for key, start in _index(path))
        self._file: int | None = None

    def __enter__(self) -> "KeptAnswers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def found(self, question: bytes) -> Kept | None:
        """The answer that is there already, or None.

        Raises:
            DataError: its line is damaged.
        """
        place = self._places.get(self._key(question))
        return None if place is None else _read(*place)

    def add(self, answers: Iterable[tuple[bytes, Mapping[str, object]]]) -> None:
        """Append answers, in one write: a kill tears one line at most.

        Raises:
            ResourceError: the file cannot be written.
        """
        lines = [
            json.dumps({"key": self._key(question), **answer}, allow_nan=False) + "\n"
            for question, answer in answers
        ]
        data = "".join(lines).encode()
        try:
            if self._file is None and data:
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{os.getpid()}-{secrets.token_hex(6)}.jsonl"
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            while data:
                assert self._file is not None
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise ResourceError(
                "cannot write the answers",
                where=str(self._folder),
                got=error.strerror or str(error),
                fix="free some space, or choose a folder that can be written: answers=DIR",
            ) from error

    def _key(self, question: bytes) -> str:
        return hashlib.sha256(self._subject + question).hexdigest()[:32]


def damaged_answer(where: str, line: str, *, expected: str = '{"key": …, …}') -> DataError:
    """What is said of a line that is no answer.

    Args:
        where: the file and its line or byte.
        line: its text, or the beginning of it.
        expected: what it should have been.
    """
    return DataError(
        "a kept answer cannot be read",
        where=where,
        expected=expected,
        got=repr(line[:60]),
        fix="remove the line, or the file: what it holds is answered again",
    )


def _index(path: Path) -> Iterable[tuple[str, int]]:
    """The key of each whole line, and where the line begins; a torn last one is left out."""
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            match = _KEY.match(line)
            if match is None or not line.endswith(b"}\n"):
                raise damaged_answer(f"{path}:{number}", line.decode("utf-8", "replace"))
            yield match[1].decode(), start
            start += len(line)


def _read(path: Path, start: int) -> Kept:
    with path.open("rb") as file:
        file.seek(start)
        line = file.readline().decode("utf-8", "replace")
    where = f"{path}, byte {start}"
    try:
        return Kept(json.loads(line), where)
    except ValueError as error:
        raise damaged_answer(where, line) from error
