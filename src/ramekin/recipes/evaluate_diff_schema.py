"""The configuration of `ramekin evaluate diff`."""

from typing import Literal, final

from ramekin.recipes.settings import AbstractVerbConfig, Natural, UserPath

__all__ = ["DiffConfig"]


@final
class DiffConfig(AbstractVerbConfig):
    """`ramekin evaluate diff A B`. Without an output it is printed and nothing is written."""

    first: UserPath
    """A: the output folder of an evaluation of one model."""
    second: UserPath
    """B: another, of the same rows."""
    task: str | None = None
    """One task of them, such as `glue/rte`, or under one template, `glue/rte#NAME`; None: all."""
    only: Literal["a_right", "b_right", "both_wrong", "all"] = "all"
    """Which of the rows that the two part over are listed."""
    show: Natural = 20
    """How many of them are shown; the file has them all."""
    prompts: Literal["same", "any"] = "same"
    """What is done where the two were asked a row in other words: `same` refuses, `any` compares all the
    same, such as models that were shown different numbers of exemplars."""
