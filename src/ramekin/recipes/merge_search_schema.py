"""The configuration of `ramekin merge search`."""

from collections.abc import Mapping
from typing import Any, Literal, Self, final

from pydantic import field_validator, model_validator

from ramekin.recipes.settings import PositiveInt
from ramekin.recipes.trial_schema import AbstractTrialConfig
from ramekin.registry import unknown_name

__all__ = ["SearchConfig"]


@final
class SearchConfig(AbstractTrialConfig):
    """A method's settings are searched for the best scores."""

    over: dict[str, tuple[float, float]]
    """The keys of the method that are searched, each with its bounds: `over={scaling_factor:[0,1.5]}`."""
    by_model: tuple[str, ...] = ("weights",)
    """Those of them that have a number for each model."""
    strategy: Literal["grid", "nelder_mead", "cma_es"] = "nelder_mead"
    points: PositiveInt = 30
    """At most so many merges are tried."""
    held_out: str | None = None
    """A split that has no say in the search, on which the best is scored."""
    keep: bool = True
    """Whether the best merge is written, as `OUTPUT/model`."""

    @field_validator("over")
    @classmethod
    def _are_bounds(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        if not value:
            raise ValueError("needs a key of the method with its bounds: over={scaling_factor:[0,1.5]}")
        wrong = [f"{key}: [{low:g},{high:g}]" for key, (low, high) in value.items() if not low < high]
        if wrong:
            raise ValueError(f"expected a lower bound and a higher one, got {', '.join(wrong)}")
        return value

    @model_validator(mode="after")
    def _are_keys_of_the_method(self) -> Self:
        import dataclasses

        from ramekin.merge.methods import find_method

        method = find_method(self.method["name"])
        known = [each.name for each in dataclasses.fields(method.settings)]
        for key in self.over:
            if key not in known:
                raise ValueError(f"over: {unknown_name(f'key of {method.name}', key, known)}")
        if "by_model" in self.model_fields_set and (idle := [k for k in self.by_model if k not in self.over]):
            raise ValueError(f"by_model: {unknown_name('key that is searched', idle[0], self.over)}")
        return self

    @model_validator(mode="after")
    def _is_held_out(self) -> Self:
        if self.held_out == self.split:
            raise ValueError(f"held_out: the search sees {self.split} itself; name another split")
        return self

    def method_at(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The method with searched values in place of its own."""
        return {**self.method, **values}
