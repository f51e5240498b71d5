"""The CTranslate2 library, which is an extra, and the one place that opens its models.

Knows nothing of what a folder should hold: `ctranslate2_folder` checks that before.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ramekin.errors import ResourceError, UsageError, WeightsError

__all__ = ["load_library", "open_translator"]


def load_library() -> Any:
    """The library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ctranslate2
    except ImportError as error:
        raise UsageError(
            "CTranslate2 is not installed",
            got=" ".join(str(error).split())[:120],
            fix="pip install 'ramekin[fast]'",
        ) from error
    return ctranslate2


def open_translator(
    folder: Path, *, device: str = "cpu", compute_type: str = "default", threads: int = 0, workers: int = 1
) -> Any:
    """A `Translator`; it takes ids by their names, and is used from any thread.

    Args:
        folder: of a model that was checked.
        device: `cpu`, `cuda` or `auto`.
        compute_type: `default` computes as the model is held, or as near to that as the device can.
        threads: of each worker; 0: the library's choice, or `OMP_NUM_THREADS`.
        workers: how many calls are answered at one time; on a CPU they have the weights in common.

    Raises:
        UsageError: the library is not installed, or has no such device or type.
        WeightsError: the library does not take the model.
        ResourceError: there is not enough memory.
    """
    library = load_library()
    try:
        with _quiet(library):
            return library.Translator(
                str(folder),
                device=device,
                compute_type=compute_type,
                inter_threads=workers,
                intra_threads=threads,
            )
    except ValueError as error:
        raise UsageError(
            "CTranslate2 cannot compute like this",
            where=f"device={device}, compute_type={compute_type}",
            got=" ".join(str(error).split())[:200],
        ) from error
    except MemoryError as error:
        raise ResourceError("the model does not fit into memory", where=str(folder)) from error
    except RuntimeError as error:
        raise WeightsError(
            "CTranslate2 does not open the model",
            where=str(folder),
            got=" ".join(str(error).split())[:200],
            fix="export the checkpoint again: ramekin export",
        ) from error


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the warning that another type is computed in: `compute_type` of the translator says it."""
    before = library.get_log_level()
    library.set_log_level(logging.ERROR)
    try:
        yield
    finally:
        library.set_log_level(before)
