"""What a check found: one value a fault, which is shown by `merge check` and raised by a merge.

Every rule yields findings, so that it stands in one place whoever asks. `KINDS` names them all. This module
knows no rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, final

from ramekin.errors import RamekinError, WeightsError

__all__ = ["KINDS", "Finding", "Severity", "errors_of", "finding_of", "raise_errors", "warnings_of"]

Severity: TypeAlias = Literal["error", "warning", "notice"]
"""An error stands in the way of a merge; a merge says its warnings; of a notice `merge check` alone tells."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        # the list
        "duplicate-name": "two models of one name",
        "duplicate-folder": "one folder listed twice",
        "duplicate-weights": "two folders with the same weights: one file, or one hash in both manifests",
        "base-among-models": "the base listed as a model",
        "model-equals-base": "a model whose weights are the base's, so that its delta is zero",
        # the method
        "base-needed": "no base for a method of deltas",
        "too-few-models": "fewer models than the method takes",
        "too-many-models": "more models than the method takes",
        "values-per-model": "a list of weights or densities that is not one for each model",
        "weights-sum-to-zero": "weights that are to be divided by their sum, which is zero",
        "pattern": "a setting by pattern that says nothing of some tensor",
        "post": "a step after a method that adds no direction to a base",
        "statistics": "statistics that are not there, not of these models, or that the method does not take",
        "setting": "settings that cannot be with these models",
        "output": "an output that exists, or is one of the inputs",
        # folders and files
        "not-found": "a name for which there is no folder, and nothing on the hub",
        "no-folder": "a folder that is not there",
        "no-weights": "a folder without weights",
        "pickled-weights": "pickled weights only",
        "damaged-file": "a safetensors file that is cut, overlong, or has a header that cannot be",
        "damaged-json": "a JSON file that cannot be read",
        "missing-shard": "a file that the shard index names and that is not there",
        "shard-index": "an index and shards that do not agree",
        "unlike-manifest": "files that are not those of the manifest, by name, number or size",
        "no-config": "no config.json",
        "foreign-code": "a checkpoint that asks for code or a format of its own",
        "configuration-value": "a value of config.json that cannot be",
        "adapter-as-base": "an adapter where a whole model is wanted",
        # tensors
        "own-head": "an output head of its own in one model, none in the other",
        "vocabulary-size": "embeddings of other numbers of rows",
        "missing-tensors": "tensors that a model lacks",
        "extra-tensors": "tensors that a model has and the others lack",
        "shape": "a tensor of another shape",
        "dtype": "a tensor that is no F32, BF16 or F16",
        "dtypes-between": "models stored in different dtypes",
        "dtypes-within": "several dtypes in one model",
        # configurations
        "not-encoder-decoder": "a model that is no encoder-decoder",
        "model-type": "another model type",
        "width": "another d_model",
        "key-width": "another d_kv",
        "feed-forward-width": "another d_ff",
        "heads": "another number of heads",
        "layers": "another number of layers",
        "feed-forward-kind": "another kind of feed-forward layer",
        "relative-attention": "other buckets of relative positions",
        "start-token": "another token that decoding starts with",
        "special-tokens": "another token for padding, or for the end of a text",
        "epsilon": "another layer_norm_epsilon",
        "decoder-scaling": "decoder outputs scaled before the head in one model and not in the other",
        "configuration": "another value of a key that changes what a model computes",
        "head-missing": "a configuration that promises a head of its own, and no head stored",
        "head-tied": "a configuration that ties the head of T5 to the embedding, and a head stored",
        "vocabulary-config": "a vocab_size that is not the rows of the embedding",
        # tokenizers
        "tokenizer": "tokenizers that give one id to different pieces of text",
        "tokenizer-size": "a tokenizer with more pieces than the embedding has rows",
        "no-tokenizer": "no tokenizer in any folder",
        # adapters
        "adapter-without-base": "an adapter and no base",
        "adapter-other-base": "an adapter opened on another base than the merge's",
        "adapter-base": "an adapter trained on another base, by its recorded hash or name",
        "adapter-base-unknown": "an adapter of which nothing tells whether this is its base",
        "adapter-base-unhashed": "an adapter with a recorded hash, and a base that has no manifest",
        "adapter-target": "an adapter of tensors that the base does not have",
        "adapter-shape": "an adapter whose A and B, or vectors, do not fit the base's tensors",
        "adapter-parts": "an adapter whose tensors and configuration do not fit each other",
        "adapter-kind": "a kind of adapter that is not known",
        "adapter-variant": "a variant of LoRA or IA3 that cannot be merged exactly",
        "adapter-ranks": "adapters of different ranks",
        "soft-prompt": "a soft prompt, which has no weights to merge",
    }
)
"""Every kind of finding, with what it is."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault, or something to know, of some models."""

    kind: str
    """A stable name, one of `KINDS`."""
    what: str
    """The fault in a few words."""
    severity: Severity = "error"
    models: tuple[str, ...] = ()
    """The labels of the models it is about; the one that others are compared with first."""
    where: str | None = None
    """A tensor, a key of a configuration, a file or a setting."""
    expected: str | None = None
    got: str | None = None
    fix: str | None = None
    tensors: tuple[str, ...] = ()
    """All the tensors that it is about."""
    error: type[RamekinError] = WeightsError
    """What a merge raises of it."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a kind of finding that is not listed: {self.kind!r}")

    @property
    def message(self) -> str:
        """The line that a merge says."""
        return str(self.to_error())

    def to_error(self, *, more: int = 0) -> RamekinError:
        """The error that a merge raises.

        Args:
            more: how many other errors there are.
        """
        others = f"{more} more: ramekin merge check lists them" if more else ""
        fix = f"{self.fix} ({others})" if self.fix and others else self.fix or others or None
        return self.error(
            self.what, where=self.where, expected=self.expected, got=self.got, fix=fix, kind=self.kind
        )

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "what": self.what,
            "models": list(self.models),
            "where": self.where,
            "tensors": list(self.tensors),
            "expected": self.expected,
            "got": self.got,
            "fix": self.fix,
            "message": self.message,
        }


def finding_of(error: RamekinError, *, models: Sequence[str], otherwise: str) -> Finding:
    """The finding that an error is.

    Args:
        error: what was raised.
        models: the labels of the models it is about.
        otherwise: the kind of an error that has none.
    """
    known = error.kind is not None and error.kind in KINDS
    return Finding(
        kind=error.kind if known and error.kind else otherwise,
        what=error.what,
        models=tuple(models),
        where=error.where,
        expected=error.expected,
        got=error.got,
        fix=error.fix,
        error=type(error),
    )


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stand in the way of a merge."""
    return tuple(finding for finding in findings if finding.severity == "error")


def warnings_of(findings: Iterable[Finding]) -> tuple[str, ...]:
    """What a merge says of those that do not."""
    return tuple(finding.message for finding in findings if finding.severity == "warning")


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise the first error, which says how many others there are.

    Raises:
        RamekinError: of the class of the first finding that is an error.
    """
    errors = errors_of(findings)
    if errors:
        raise errors[0].to_error(more=len(errors) - 1)
