"""The configuration of `ramekin merge check`."""

from typing import final

from ramekin.recipes.merge_schema import AbstractMergeConfig, MethodConfig

__all__ = ["CheckConfig"]


@final
class CheckConfig(AbstractMergeConfig):
    """`ramekin merge check`: what `ramekin merge` takes; a method and an output may be left out."""

    method: MethodConfig | None = None
