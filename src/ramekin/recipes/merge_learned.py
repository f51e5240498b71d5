"""Weights that are learned on the way to one merge, for methods that lack them: AdaMerging.

`train.adamerging` learns; here are the models, their rows without labels, and the words in which the learned
weights become the method's settings. In memory are the merged model, the base and a delta for each model.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ramekin.errors import ResourceError
from ramekin.files import refuse_existing
from ramekin.recipes.adaptation import Granularity
from ramekin.recipes.adaptation_rows import examples_of_models
from ramekin.recipes.in_place import fits_in_memory
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.merge_statistics import data_facts, encoded_examples
from ramekin.recipes.places import pick_device, set_threads
from ramekin.recipes.progress import AbstractProgress

if TYPE_CHECKING:
    from torch import Tensor

    from ramekin.merge.inputs import ModelInput

__all__ = ["LearnedWeights", "learned_weights"]

_LAYER = re.compile(r"(?:^|\.)((?:encoder|decoder)\.block\.\d+)\.")


@final
@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """What was learned."""

    method: Mapping[str, Any]
    """The method with its weights."""
    about: Mapping[str, Any]
    """How they were learned and on what, as JSON values."""


def learned_weights(
    config: MergeConfig,
    base: Path | None,
    models: Sequence["ModelInput"],
    output: Path,
    progress: AbstractProgress,
) -> LearnedWeights:
    """Learn the weights of a merge's method on the inputs of each model's task.

    Raises:
        UsageError: there is no base, or not one task for each model.
        WeightsError: a model is damaged or does not belong with the others.
        ResourceError: the models do not fit in memory side by side.
    """
    from ramekin.merge.methods import find_method
    from ramekin.merge.plan import open_models
    from ramekin.tensors.tokenizer import load_tokenizer
    from ramekin.train.adamerging import AdaMergingRecipe, learn_coefficients
    from ramekin.weights.seq2seq import load_model, tensors_of

    find_method(config.method["name"]).check_inputs(len(models), has_base=base is not None)
    assert base is not None  # which was checked
    refuse_existing(output, overwrite=config.overwrite)
    set_threads(config.threads)
    sets = examples_of_models(config)
    _refuse_what_does_not_fit(base, models)
    tokenizer = load_tokenizer(base)
    encoded = [encoded_examples([each], tokenizer, config.data) for each in sets]
    with open_models(base, models, needs_base=True):
        pass  # the models belong together
    with progress.stage("load the base"):
        model = load_model(base, device=pick_device(config.device))
    deltas = _deltas(base, models, tensors_of(model), progress)
    names = list(deltas[0])
    patterns = list(dict.fromkeys(_pattern(name, config.learn.per) for name in names))
    groups = {name: patterns.index(_pattern(name, config.learn.per)) for name in names}
    learn = config.learn.model_dump(exclude={"per"})
    with progress.stage(f"learn {len(patterns)} weights of each model", config.learn.steps) as stage:
        found = learn_coefficients(
            model,
            deltas,
            groups,
            [[item.input_ids for item in each.items] for each in encoded],
            AdaMergingRecipe(**learn, seed=config.seed),
            on_step=lambda entropy: stage.advance(1, f"entropy {entropy:.4f}"),
        )
    columns = list(zip(*found.coefficients, strict=True))
    weights = [
        column[0] if patterns == [_ALL] else dict(zip(patterns, column, strict=True)) for column in columns
    ]
    data = [
        data_facts([one], rows, split=config.data.split, templates=config.data.templates)
        for one, rows in zip(sets, encoded, strict=True)
    ]
    about = {
        "learn": {**config.learn.model_dump(), "seed": config.seed},
        "data": data,
        "entropy": {"first": list(found.entropies[0]), "last": list(found.entropies[-1])},
    }
    return LearnedWeights({**config.method, "weights": weights}, about)


_ALL = ".*"


def _pattern(name: str, per: Granularity) -> str:
    """A regular expression that finds the tensors which share a weight with this one."""
    if per == "task":
        return _ALL
    layer = _LAYER.search(name) if per == "layer" else None
    return f"^{re.escape(name)}$" if layer is None else "^" + re.escape(f"{layer[1]}.")


def _refuse_what_does_not_fit(base: Path, models: Sequence["ModelInput"]) -> None:
    # A delta for each model takes as much as the base, whatever the model's own files hold.
    if not fits_in_memory([base] * (len(models) + 1)):
        raise ResourceError(
            "the models do not fit in memory side by side, where their weights are learned",
            expected=f"room for {len(models) + 4} models of the base's size",
            fix="merge fewer at a time, or search the weights with ramekin merge search",
        )


def _deltas(
    base: Path, models: Sequence["ModelInput"], like: "Mapping[str, Tensor]", progress: AbstractProgress
) -> "list[dict[str, Tensor]]":
    """Tuned minus base of each model, by the names of the loaded base and where it is."""
    import torch

    from ramekin.merge.inputs import opened

    found: list[dict[str, Tensor]] = []
    with opened(base, models) as (_, tuned), progress.stage("read the models", len(tuned)) as stage:
        for each in tuned:
            own = {}
            for name, start in like.items():
                values = each.reader.read(name, 0, start.numel())
                own[name] = torch.from_numpy(values).reshape(start.shape).to(start.device) - start
            found.append(own)
            stage.advance(1)
    return found
