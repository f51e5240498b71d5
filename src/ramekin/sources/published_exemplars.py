"""Files of published exemplars below a data root: `DIR/bbh/cot-prompts/NAME.txt`, `DIR/mmlu/cot-prompts/…`.

Which file is a task's, its `source.exemplars` says. The files are never part of this package. This module
knows where they are and how to open them; what stands in them, `text.prompting.published` reads.
"""

from collections.abc import Mapping
from pathlib import Path

from ramekin.errors import MISSING_DATA, DataError, UsageError
from ramekin.registry import unknown_name
from ramekin.sources.strict_json import NotJSON, parse_json
from ramekin.text.prompting.published import PublishedExemplars, read_exemplars
from ramekin.text.task import PublishedSource, Task

__all__ = ["exemplars_in_file", "published_exemplars"]


def published_exemplars(task: Task, data_root: Path | None) -> PublishedExemplars:
    """The exemplars that a task's benchmark was published with, from their file below a data root.

    Args:
        task: its `source.exemplars` names the file.
        data_root: the folder that the name is below.

    Raises:
        UsageError: the task has no file of exemplars.
        DataError: there is no data root, or the file is not there, cannot be read, or is in another form;
            the message has its line.
    """
    source = task.source.exemplars
    if source is None or not source.file:
        raise UsageError(
            "no file of exemplars was published with the task's data set",
            where=task.name,
            expected="a task with 'source.exemplars.file', such as those of bbh and mmlu",
        )
    if data_root is None:
        raise DataError(
            "published exemplars are read from a data root",
            where=task.name,
            expected=f"data_root=DIR with DIR/{source.file}",
            fix=_obtain(source),
            kind=MISSING_DATA,
        )
    path = Path(data_root, source.file)
    if not path.is_file():
        raise DataError(
            "there is no such file of exemplars", where=str(path), fix=_obtain(source), kind=MISSING_DATA
        )
    return exemplars_in_file(path, key=source.key)


def exemplars_in_file(path: Path, *, key: str = "") -> PublishedExemplars:
    """The exemplars in a text file, or under a key of a JSON file.

    Raises:
        DataError: the file cannot be read, has no such key, or is in another form; the message has the line,
            which in a JSON file is that of the key's text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError("the file is not UTF-8", where=f"{path}:{line}", got=error.reason) from error
    if key:
        return read_exemplars(_of_key(text, key, path), where=f"{path}#{key}")
    return read_exemplars(text.replace("\r\n", "\n"), where=str(path))


def _of_key(text: str, key: str, path: Path) -> str:
    try:
        texts = parse_json(text)
    except NotJSON as error:
        line = text.count("\n", 0, (error.at or 1) - 1) + 1
        raise DataError("the file is not JSON", where=f"{path}:{line}", got=str(error)) from error
    if not isinstance(texts, Mapping):
        raise DataError(
            "the file holds no texts by name", where=str(path), expected="an object", got=type(texts).__name__
        )
    if key not in texts:
        raise DataError(unknown_name("text", key, sorted(texts)), where=str(path))
    if not isinstance(texts[key], str):
        raise DataError("the exemplars are no text", where=f"{path}#{key}", got=type(texts[key]).__name__)
    found: str = texts[key]
    return found


def _obtain(source: PublishedSource) -> str:
    return f"copy it from {source.obtain}" if source.obtain else "add the file"
