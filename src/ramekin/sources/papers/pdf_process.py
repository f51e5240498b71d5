"""The process that reads a PDF, apart from the one that asked: a hostile file can take only this one down.

It reads the file on its standard input and writes a line of JSON a page. It is run by its path, under
limits that it sets first, and is killed by who started it when its time is over.
"""

import io
import json
import sys
from typing import Any

from ramekin.machine import limit_resources

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Write what is in the PDF on standard input; arguments: bytes of memory, seconds, pages, characters.

    Each line is an object: first `pages`, `encrypted` and `title`, then `text` and `images` of each page,
    then `end`; or, wherever reading stops, `error` and what was met.
    """
    import pypdf

    memory, seconds, pages, characters = map(int, arguments)
    limit_resources(memory=memory, seconds=seconds)
    try:
        _read(pypdf, pages, characters)
    except (MemoryError, ImportError):  # a module that no room is left to load
        _say(error="memory")
    except RecursionError:
        _say(error="damaged", got="its objects are nested too deeply")
    except Exception as error:  # whatever pypdf meets in a damaged file
        # Also pypdf's own limit on what a stream may grow to.
        name = type(error).__name__
        kind = {"DependencyError": "cipher", "LimitReachedError": "limit"}.get(name, "damaged")
        _say(error=kind, got=f"{name}: {str(error)[:200]}")
    return 0


def _read(pypdf: Any, pages: int, characters: int) -> None:
    data = sys.stdin.buffer.read()
    reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
    encrypted = bool(reader.is_encrypted)
    if encrypted and not reader.decrypt(""):
        _say(error="password")
        return
    count = len(reader.pages)
    _say(pages=count, encrypted=encrypted, title=_title(reader))
    left = characters
    for number in range(min(count, pages)):
        page = reader.pages[number]
        text = page.extract_text()[:left]
        left -= len(text)
        _say(text=text, images=not text.strip() and _has_image(page))
        if left <= 0:
            break
    _say(end=True)


def _title(reader: Any) -> str:
    try:
        return str(reader.metadata.title or "")[:1000] if reader.metadata else ""
    except Exception:  # a title is not worth a paper
        return ""


def _has_image(page: Any) -> bool:
    """Whether an image is drawn on the page; the images themselves are not decoded."""
    try:
        objects = page["/Resources"]["/XObject"]
        return any(objects[name].get("/Subtype") in ("/Image", "/Form") for name in objects)
    except Exception:
        return False


def _say(**values: object) -> None:
    sys.stdout.write(f"{json.dumps(values)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
