"""Finished answers on disk, so that an evaluation that was killed goes on where it stopped.

A JSONL file that only grows: one line an answer, under a key that hashes the weights, the mode, the
versions, the example and its prompt's ids. Another model, prompt or rule has other keys, so one file never
answers for the wrong model. A last line that a kill tore is dropped. It is the one file here that is
appended to instead of replaced; one process at a time writes to it (the run folder's lock sees to that).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError, ResourceError, UsageError
from ramekin.evaluate.mode import Mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Journal", "fingerprint"]

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
class Journal:
    """The answers of one model under one mode, within a file that may hold others' too.

    Use as a context manager; it opens the file for appending and closes it.

    Args:
        path: the JSONL file; made if it is missing.
        weights: the model's `fingerprint`.
        mode: the scoring rules.
        versions: of the libraries that compute the answers.

    Raises:
        DataError: a line before the last cannot be read.
        ResourceError: the file cannot be written.
    """

    def __init__(self, path: Path, *, weights: str, mode: Mode, versions: Mapping[str, str]) -> None:
        self._path = Path(path)
        # of the mode only what decides the written tokens: how they are scored afterwards does not
        rules = [mode.direction, mode.input_eos, mode.max_new_tokens]
        subject = json.dumps([weights, rules, dict(versions)], sort_keys=True)
        self._subject = hashlib.sha256(subject.encode()).digest()
        self._answers = _read_whole_lines(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def answer(self, example_id: str, input_ids: Sequence[int]) -> tuple[int, ...] | None:
        """The tokens written for this example before, or None."""
        return self._answers.get(self._key(example_id, input_ids))

    def add(self, answers: Iterable[tuple[str, Sequence[int], Sequence[int]]]) -> None:
        """Append (example id, input ids, written ids), in one write: a kill tears one line at most."""
        lines = [
            json.dumps({"key": self._key(name, asked), "id": name, "written": list(written)}) + "\n"
            for name, asked, written in answers
        ]
        data = "".join(lines).encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def _key(self, example_id: str, input_ids: Sequence[int]) -> str:
        asked = f"{example_id}\n{','.join(map(str, input_ids))}"
        return hashlib.sha256(self._subject + asked.encode()).hexdigest()[:32]


def _read_whole_lines(path: Path) -> dict[str, tuple[int, ...]]:
    """Every answer in the file; a torn last line is cut off the file."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    answers = {}
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            entry = json.loads(line)
            answers[str(entry["key"])] = tuple(map(int, entry["written"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                "a line of the journal cannot be read",
                where=f"{path}:{number}",
                expected='{"key": …, "id": …, "written": […]}',
                got=repr(line[:60].decode("utf-8", "replace")),
                fix="remove the line, or the file to begin again",
            ) from error
    return answers


def _cannot_write(path: Path, error: OSError) -> ResourceError:
    return ResourceError(
        "cannot write the journal",
        where=str(path),
        got=error.strerror or str(error),
        fix="free some space, or choose a folder that can be written",
    )
