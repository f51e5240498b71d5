"""Which tensors a change may be made to: the sides that it has, the shapes that it fits.

Knows nothing of what a change does, nor of files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from ramekin.errors import WeightsError
from ramekin.registry import nearest

__all__ = ["Misfit", "Sides", "fits", "misfit", "misfit_error", "scaled_sides"]

Sides: TypeAlias = tuple[int | None, int | None]
"""`(out, in)` of a tensor that is changed; None where any length will do."""

Misfit: TypeAlias = Literal["adapter-target", "adapter-shape"]
"""Why a tensor cannot be changed: the base has none of its name, or it has another shape."""


def scaled_sides(vector: Sequence[int]) -> Sides:
    """The sides of a matrix that IA3's vector scales: `(out, 1)` its rows, `(1, in)` its columns.

    >>> scaled_sides((16, 1)), scaled_sides((1, 24))
    ((16, None), (None, 24))
    """
    out, width = vector
    return (out, None) if width == 1 else (None, width)


def fits(sides: Sides, shape: Sequence[int]) -> bool:
    """Whether what has these sides can change a tensor of this shape.

    >>> fits((16, None), (16, 24)), fits((16, 8), (16, 24)), fits((16, None), (16,))
    (True, False, False)
    """
    return len(shape) == 2 and all(o is None or o == s for o, s in zip(sides, shape, strict=True))


def misfit(name: str, sides: Sides, shapes: Mapping[str, Sequence[int]]) -> Misfit | None:
    """Why an adapter cannot change a tensor of its base; None where it can.

    Args:
        name: the tensor.
        sides: of the adapter's change.
        shapes: of the base's tensors.
    """
    if name not in shapes:
        return "adapter-target"
    return None if fits(sides, shapes[name]) else "adapter-shape"


def misfit_error(
    name: str, sides: Sides, shapes: Mapping[str, Sequence[int]], *, folder: Path, base: str
) -> WeightsError:
    """The error for a tensor that an adapter cannot change; see `misfit`.

    Args:
        name: the tensor.
        sides: of the adapter's change.
        shapes: of the base's tensors.
        folder: the adapter's.
        base: where the base is.
    """
    fix = "name the base this adapter was trained on"
    if name not in shapes:
        near = nearest(name, shapes)
        return WeightsError(
            "the adapter changes a tensor its base does not have",
            where=f"{folder}#{name}",
            got=f"base {base}",
            fix=f"{fix}; this one has '{near}'" if near else fix,
            kind="adapter-target",
        )
    return WeightsError(
        "the adapter does not fit its base",
        where=f"{folder}#{name}",
        expected=f"{list(shapes[name])} as in {base}",
        got=str([side or "any" for side in sides]).replace("'", ""),
        fix=fix,
        kind="adapter-shape",
    )
