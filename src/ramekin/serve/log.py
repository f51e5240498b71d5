"""The server's log: one line a failure, with the place in the code instead of a traceback."""

import logging
import traceback
from pathlib import Path
from typing import Final

__all__ = ["LOG", "one_line"]

LOG: Final = logging.getLogger("ramekin.serve")


def one_line(error: BaseException) -> str:
    """What an exception is, what it says and where it was raised.

    >>> one_line(ValueError("no such thing"))
    'ValueError: no such thing'
    """
    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text
