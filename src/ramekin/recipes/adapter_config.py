"""What is trained instead of the whole model, as a user may write it: `adapter=lora adapter.rank=16`."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, final

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ramekin.recipes.settings import AbstractSettings, PositiveInt

__all__ = ["AdapterConfig", "mergeable"]


@final
class AdapterConfig(AbstractSettings):
    """What is trained instead of the whole model; a key of another kind than the chosen one is refused.

    LoRA: Hu et al. 2021, arXiv 2106.09685. DoRA: Liu et al. 2024, arXiv 2402.09353. IA3: Liu et al. 2022,
    arXiv 2205.05638. Prompt tuning: Lester et al. 2021, arXiv 2104.08691.
    """

    KEYS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "none": (),
        "lora": ("rank", "alpha", "dropout", "targets", "rslora", "dora"),
        "ia3": ("targets", "feed_forward"),
        "prompt": ("num_virtual_tokens", "text"),
    }
    """The keys of each kind."""
    TARGETS: ClassVar[Mapping[str, tuple[str, ...]]] = {"lora": ("q", "v"), "ia3": ("k", "v", "wo")}

    kind: Literal["none", "lora", "ia3", "prompt"] = "none"
    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = ()
    """Last names of layers, regular expressions for whole names, or `all-linear`; each kind has its own."""
    rslora: bool = False
    dora: bool = False
    feed_forward: tuple[str, ...] = ("wo",)
    """Of an IA3's targets, those whose input is scaled instead of their output."""
    num_virtual_tokens: PositiveInt = 20
    text: str | None = None
    """What a prompt starts from; without it, tokens drawn by the seed."""

    @model_validator(mode="before")
    @classmethod
    def _with_its_targets(cls, value: Any) -> Any:
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(kind, str) or kind not in cls.TARGETS or "targets" in value:
            return value
        return {**value, "targets": cls.TARGETS[kind]}

    @model_validator(mode="after")
    def _keys_are_of_the_kind(self) -> Self:
        foreign = sorted(self.model_fields_set - {"kind", *self.KEYS[self.kind]})
        if foreign:
            kinds = [kind for kind, keys in self.KEYS.items() if foreign[0] in keys]
            raise ValueError(f"'{foreign[0]}' is a key of adapter={' and '.join(kinds)}, not of {self.kind}")
        return self

    @model_serializer(mode="wrap")
    def _only_its_keys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if key in ("kind", *self.KEYS[self.kind])}

    @property
    def summary(self) -> str:
        """A few words for a plan."""
        match self.kind:
            case "none":
                return "whole"
            case "lora":
                return f"with {'dora' if self.dora else 'lora'} r={self.rank}"
            case "ia3":
                return f"with ia3 on {', '.join(self.targets)}"
            case "prompt":
                return f"with a prompt of {self.num_virtual_tokens}"


def mergeable(adapter: AdapterConfig) -> AdapterConfig:
    """Refuse an adapter that a road cannot merge.

    Raises:
        ValueError: it is no plain LoRA.
    """
    if adapter.kind != "lora" or adapter.dora:
        raise ValueError("a road merges its adapters: it needs kind=lora, without dora")
    return adapter
