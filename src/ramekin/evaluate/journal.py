"""Finished answers on disk, so that nothing is asked of a model twice: not after a kill, nor by another run.

A folder with a folder for each model's weights, in which every process that answers appends to a file of its
own: one JSON line an answer, under a key that hashes the weights, the versions and the whole request (the ids
of the prompt, and those of what is scored or how text is written). An answer is the tokens that were written
or the log-probabilities of what was scored. Another model, prompt or rule has other keys, so that an answer
never serves the wrong one, and any number of processes may write at once. What a kill tore off a file's last
line is not read. These are the only files here that are appended to instead of replaced.
"""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from ramekin.errors import DataError, ResourceError, UsageError
from ramekin.infer.decoding import Decoding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Found", "Journal", "Request", "fingerprint"]

_ENGINE: Final = 2
"""Counted up whenever `infer` computes something else for the same request."""
_KEY: Final = re.compile(rb'\{"key": "([0-9a-f]{32})", ')

Found: TypeAlias = tuple[tuple[float, ...], ...] | tuple[tuple[int, ...], ...]
"""The tokens of each output, or the log-probabilities as the only one."""

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


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model: how probable some texts are given an input, or to write."""

    input_ids: tuple[int, ...]
    scored: tuple[tuple[int, ...], ...] = ()
    """The texts whose log-probabilities are asked for; empty where the model writes."""
    max_new_tokens: int = 0
    decoding: Decoding | None = None
    """How it writes; None where texts are scored."""

    @property
    def key(self) -> bytes:
        """Everything that the answer depends on beside the model."""
        rows = "\n".join(",".join(map(str, ids)) for ids in (self.input_ids, *self.scored))
        return f"{self.max_new_tokens} {self.decoding}\n{rows}".encode()


@final
class Journal:
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

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def found(self, request: Request) -> Found | None:
        """The answer that is there already, or None.

        Raises:
            DataError: its line is damaged.
        """
        place = self._places.get(self._key(request))
        return None if place is None else _read(*place, is_scored=bool(request.scored))

    def add(self, answers: Iterable[tuple[Request, Found]]) -> None:
        """Append answers, in one write: a kill tears one line at most.

        Raises:
            ResourceError: the file cannot be written.
        """
        lines = [
            json.dumps({"key": self._key(request), **_told(request, found)}, allow_nan=False) + "\n"
            for request, found in answers
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

    def _key(self, request: Request) -> str:
        return hashlib.sha256(self._subject + request.key).hexdigest()[:32]


def _told(request: Request, found: Found) -> dict[str, object]:
    return {"log_probs": found[0]} if request.scored else {"written": found}


def _index(path: Path) -> Iterable[tuple[str, int]]:
    """The key of each whole line, and where the line begins; a torn last one is left out."""
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            match = _KEY.match(line)
            if match is None or not line.endswith(b"}\n"):
                raise _damaged(f"{path}:{number}", line)
            yield match[1].decode(), start
            start += len(line)


def _read(path: Path, start: int, *, is_scored: bool) -> Found:
    with path.open("rb") as file:
        file.seek(start)
        line = file.readline()
    try:
        entry: Mapping[str, Any] = json.loads(line)
        if not is_scored:
            return tuple(tuple(map(int, ids)) for ids in entry["written"])
        # JSON gives floats back to the bit.
        values = tuple(map(float, entry["log_probs"]))
        if not all(map(math.isfinite, values)):
            raise ValueError("a log-probability is not finite")
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(f"{path}, byte {start}", line) from error
    return (values,)


def _damaged(where: str, line: bytes) -> DataError:
    return DataError(
        "a kept answer cannot be read",
        where=where,
        expected='{"key": …, "written": [[…]]}, or "log_probs" in place of "written"',
        got=repr(line[:60].decode("utf-8", "replace")),
        fix="remove the line, or the file: what it holds is answered again",
    )
