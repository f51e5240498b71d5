"""How a mixture is named and adjusted on the command line: `mixture=flan_2021 mixture.hold_out=sentiment`."""

from dataclasses import fields
from typing import Literal, final

from pydantic import Field, field_validator

from ramekin.catalog.clusters import clusters
from ramekin.catalog.mixtures import mixture_file
from ramekin.errors import RamekinError
from ramekin.recipes.settings import AbstractSettings, Natural, PositiveInt
from ramekin.registry import unknown_name
from ramekin.text.mixing.adjustments import Adjustments, Inclusion
from ramekin.text.mixing.mixture import CapScope
from ramekin.text.options import OptionsAs
from ramekin.text.prompting.ablation import Ablation

__all__ = ["MixtureConfig"]


@final
class MixtureConfig(AbstractSettings):
    """A mixture, and what is changed of it; what each key means stands at `Adjustments`."""

    name: str
    """Of a built-in mixture, or the path of a file that ends in `.yaml`."""
    kind: Literal["proportional", "equal"] | None = None
    scale: float | None = Field(None, gt=0)
    cap_examples: Natural | None = None
    cap_scope: CapScope | None = None
    mixing_temperature: float | None = Field(None, gt=0)
    hold_out: str | None = None
    clusters: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    num_tasks: PositiveInt | None = None
    num_tasks_of: Literal["all", "without_cot"] = "all"
    limit_examples: PositiveInt | None = None
    templates_per_task: PositiveInt | None = None
    ablation: Ablation | None = None
    options: OptionsAs | None = None
    cot: Inclusion = "include"
    exemplars: Inclusion = "include"
    seed: Natural = 0
    """Of which tasks and templates are drawn, where fewer are asked for."""
    without: tuple[str, ...] = ()
    """Mixtures within it that are left out."""
    missing: Literal["error", "leave_out"] = "error"
    """What a task does whose data cannot be read."""
    prompt_seed: Natural = 0
    """Of what is drawn for each row: exemplars, option forms, wrong labels. Runs of other seeds share the
    tokens."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            mixture_file(value)
        except RamekinError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("hold_out", "clusters")
    @classmethod
    def _are_clusters(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for name in (value,) if isinstance(value, str) else value or ():
            if name not in clusters():
                raise ValueError(unknown_name("cluster", name, clusters()))
        return value

    @property
    def adjustments(self) -> Adjustments:
        """The changes as the text layer takes them."""
        return Adjustments(**{field.name: getattr(self, field.name) for field in fields(Adjustments)})
