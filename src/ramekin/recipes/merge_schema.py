"""The configuration of merges: what is merged, how, and what is written.

What verbs share is in `settings`; what else merges are configured for has schemas of its own.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias, final

from pydantic import AfterValidator, model_validator

from ramekin.errors import UsageError
from ramekin.recipes.adaptation import AdaptationConfig, LearningConfig
from ramekin.recipes.settings import AbstractVerbConfig, PositiveInt, UserPath, refuse_unknown_tasks

__all__ = ["AbstractMergeConfig", "AbstractModelsConfig", "MergeConfig", "MethodConfig", "method_settings"]


def _known_method(method: dict[str, Any]) -> dict[str, Any]:
    """Refuse an unknown method or setting, in the words of the merge unit."""
    from ramekin.merge.methods import parse_method

    try:
        parse_method(method)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return method


MethodConfig: TypeAlias = Annotated[dict[str, Any], AfterValidator(_known_method)]
"""A method's name and its settings, `{name: task_arithmetic, scaling_factor: 0.3}`."""


def method_settings(method: Mapping[str, Any]) -> dict[str, Any]:
    """A configured method without its name."""
    return {key: value for key, value in method.items() if key != "name"}


def _is_a_size(text: str | None) -> str | None:
    """Refuse what is no number of bytes with its unit."""
    if text is not None and (_SIZE.fullmatch(text) is None or _bytes_of(text) == 0):
        raise ValueError("expected a size such as 5GB or 500MB")
    return text


def _bytes_of(text: str) -> int:
    match = _SIZE.fullmatch(text)
    assert match is not None  # which was checked
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _known_post(post: dict[str, Any] | None) -> dict[str, Any] | None:
    """Refuse an unknown step after a merge, in the words of the merge unit."""
    from ramekin.merge.post import parse_post

    try:
        parse_post(post)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return post


def _known_alignment(align: dict[str, Any] | None) -> dict[str, Any] | None:
    """Refuse an unknown space to merge in, in the words of the merge unit."""
    from ramekin.merge.alignment import parse_alignment

    try:
        parse_alignment(align)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return align


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]B)", re.IGNORECASE)
_UNITS: Final[Mapping[str, int]] = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


class AbstractModelsConfig(AbstractVerbConfig):
    """What is merged, and how, but for the method."""

    base: str | None = None
    models: tuple[str, ...]
    statistics: tuple[UserPath, ...] = ()
    """For methods with data: folders that `ramekin merge statistics` made of the models, in any order."""
    post: Annotated[dict[str, Any] | None, AfterValidator(_known_post)] = None
    """A step after the method: `post=svc post.alpha=0.1`."""
    align: Annotated[dict[str, Any] | None, AfterValidator(_known_alignment)] = None
    """The space in which the method merges matrices: `align=knots` turns them to what the models share."""
    dtype: Literal["same", "float32", "bfloat16", "float16"] = "same"

    @property
    def steps(self) -> dict[str, Any]:
        """What is done beside the method, as the arguments of a merge."""
        return {
            "statistics": self.statistics,
            "post": self.post,
            "align": self.align,
            "dtype": self.dtype,
        }


class AbstractMergeConfig(AbstractModelsConfig):
    """What is merged, and how it is written, but for the method.

    The keys of `data` may be written without it: `tasks=[glue/rte,glue/cola]`.
    """

    LIFTED: ClassVar[tuple[str, ...]] = ("data",)

    data: AdaptationConfig = AdaptationConfig()
    """For methods that collect what they need while they merge."""
    learn: LearningConfig = LearningConfig()
    """How `adamerging` learns its weights."""

    max_shard_size: Annotated[str | None, AfterValidator(_is_a_size)] = None
    """The most that a file of the output holds, such as `5GB`; None writes one file."""
    verify: bool = False
    """Hash every input while it is merged, and compare it with its manifest."""
    adapter_rank: PositiveInt | None = None
    """Write a LoRA adapter with at most that many directions of each matrix, instead of a checkpoint."""
    adapter_rest: Literal["refuse", "drop"] = "refuse"
    """What is done where something changed that no LoRA holds, such as embeddings."""

    @model_validator(mode="after")
    def _is_one_output(self) -> Self:
        if self.adapter_rank is not None and self.max_shard_size is not None:
            raise ValueError("max_shard_size: an adapter is one file; leave it out")
        if self.adapter_rank is None and self.adapter_rest != "refuse":
            raise ValueError("adapter_rest: is for an output that is an adapter; add adapter_rank=16")
        return self

    @model_validator(mode="after")
    def _tasks_are_known(self) -> Self:
        refuse_unknown_tasks(self.data.tasks, self.tasks_root)
        return self

    @property
    def shard_bytes(self) -> int | None:
        """`max_shard_size` in bytes."""
        return None if self.max_shard_size is None else _bytes_of(self.max_shard_size)


@final
class MergeConfig(AbstractMergeConfig):
    """`ramekin merge`."""

    method: MethodConfig
