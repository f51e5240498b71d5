"""Random bits for an element of a tensor, a pure function of seed, model, tensor and place.

The counter of a Philox generator (Salmon et al. 2011) is set to the element's place, so that a chunk has the
same bits wherever it begins, in whatever order and in whatever thread it is worked on. Raw output is used,
which numpy promises to keep. This module knows nothing of methods.
"""

import hashlib

import numpy as np
import numpy.typing as npt

__all__ = ["random_bits"]

_PER_STEP = 8  # 32-bit numbers of one step of the counter


def random_bits(seed: int, model: int, name: str, start: int, count: int) -> npt.NDArray[np.uint32]:
    """Evenly distributed 32-bit numbers, one an element.

    Args:
        seed: the seed of the merge.
        model: the place of the model among the models.
        name: the tensor.
        start: the first element in the flattened tensor.
        count: the number of elements.

    >>> bool((random_bits(0, 1, "w", 0, 100)[37:50] == random_bits(0, 1, "w", 37, 13)).all())
    True
    """
    digest = hashlib.sha256(f"{seed}\0{model}\0{name}".encode()).digest()
    generator = np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64))
    generator.advance(start // _PER_STEP)
    skipped = start % _PER_STEP
    numbers = generator.random_raw(-(-(skipped + count) // 2))
    return np.ascontiguousarray(numbers, dtype="<u8").view("<u4")[skipped : skipped + count]
