"""Finished answers on disk, so that an evaluation that was killed goes on where it stopped.

A JSONL file that only grows: one line an answer, under a key that hashes the weights, the mode, the
versions, the example, its prompt's ids and those of what is scored. An answer is the tokens that were written
or the log-probabilities of the options. Another model, prompt or rule has other keys, so one file never
answers for the wrong model. A last line that a kill tore is dropped. It is the one file here that is
appended to instead of replaced; one process at a time writes to it (the run folder's lock sees to that).
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

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
        found = self._answers.get(self._key(example_id, input_ids))
        return None if found is None else tuple(map(int, found))

    def log_probs(
        self, example_id: str, input_ids: Sequence[int], scored: Sequence[Sequence[int]]
    ) -> tuple[float, ...] | None:
        """The log-probabilities found for these options before, or None."""
        return self._answers.get(self._key(example_id, input_ids, *scored))

    def add(self, answers: Iterable[tuple[str, Sequence[int], Sequence[int]]]) -> None:
        """Append (example id, input ids, written ids), in one write: a kill tears one line at most."""
        self._append(
            {"key": self._key(name, asked), "id": name, "written": list(written)}
            for name, asked, written in answers
        )

    def add_log_probs(
        self, answers: Iterable[tuple[str, Sequence[int], Sequence[Sequence[int]], Sequence[float]]]
    ) -> None:
        """Append (example id, input ids, ids of each option, their log-probabilities), in one write."""
        self._append(
            {"key": self._key(name, asked, *scored), "id": name, "log_probs": list(values)}
            for name, asked, scored, values in answers
        )

    def _append(self, entries: Iterable[Mapping[str, object]]) -> None:
        data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def _key(self, example_id: str, *asked: Sequence[int]) -> str:
        """Of an example, its prompt and what is scored, if anything is."""
        text = "\n".join([example_id, *(",".join(map(str, ids)) for ids in asked)])
        return hashlib.sha256(self._subject + text.encode()).hexdigest()[:32]


def _read_whole_lines(path: Path) -> dict[str, tuple[float, ...]]:
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
            answers[str(entry["key"])] = _numbers(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                "a line of the journal cannot be read",
                where=f"{path}:{number}",
                expected='{"key": …, "id": …, "written": […]}, or "log_probs" in place of "written"',
                got=repr(line[:60].decode("utf-8", "replace")),
                fix="remove the line, or the file to begin again",
            ) from error
    return answers


def _numbers(entry: Mapping[str, Any]) -> tuple[float, ...]:
    """The tokens or the log-probabilities of a line; written JSON gives floats back to the bit."""
    if "log_probs" not in entry:
        return tuple(map(int, entry["written"]))
    values = tuple(map(float, entry["log_probs"]))
    if not all(map(math.isfinite, values)):
        raise ValueError("a log-probability is not finite")
    return values


def _cannot_write(path: Path, error: OSError) -> ResourceError:
    return ResourceError(
        "cannot write the journal",
        where=str(path),
        got=error.strerror or str(error),
        fix="free some space, or choose a folder that can be written",
    )
