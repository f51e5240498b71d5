"""The configuration of `ramekin export`."""

from typing import Self, final

from pydantic import Field, model_validator

from ramekin.recipes.settings import AbstractVerbConfig
from ramekin.weights.ctranslate2_folder import Quantization

__all__ = ["ExportConfig"]


@final
class ExportConfig(AbstractVerbConfig):
    """`ramekin export`."""

    model: str
    """A checkpoint or an adapter."""
    base: str | None = None
    """Of an adapter, instead of the one that it records."""
    quantization: Quantization = "float32"
    max_loss: float | None = Field(None, gt=0, allow_inf_nan=False)
    """How far a quantised model's log-probabilities may be off on average, in nats; None: 0.25."""

    @model_validator(mode="after")
    def _is_to_be_had(self) -> Self:
        if self.output is None:
            raise ValueError("an export needs a place: add output=DIR")
        if self.device not in ("auto", "cpu"):
            raise ValueError(f"device: a model is exported on the processor, got {self.device!r}")
        if self.max_loss is not None and self.quantization == "float32":
            raise ValueError("max_loss: quantization=float32 loses nothing; name another, or leave it out")
        return self
