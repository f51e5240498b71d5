"""The configuration of `ramekin merge inspect`."""

from typing import Annotated, Any, final

from pydantic import AfterValidator

from ramekin.recipes.settings import AbstractVerbConfig, PositiveInt

__all__ = ["InspectConfig"]


def _is_a_density(value: Any) -> Any:
    from ramekin.merge.parameters import check_share

    problems = check_share("density", value) or (
        [] if value > 0 else ["density: expected more than 0, got 0"]
    )
    if problems:
        raise ValueError("; ".join(problems))
    return value


@final
class InspectConfig(AbstractVerbConfig):
    """`ramekin merge inspect`. Without an output the tables are printed and nothing is written."""

    base: str
    models: tuple[str, ...]
    density: Annotated[float, AfterValidator(_is_a_density)] = 0.2
    """The fraction of each delta that TIES would keep."""
    spectra: bool = True
    """Whether the singular values of matrices are taken, which is most of the work."""
    rank: PositiveInt = 64
    """At most so many leading singular vectors of a matrix are compared."""
