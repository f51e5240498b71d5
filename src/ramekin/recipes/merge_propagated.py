"""Statistics that are collected on the way to one merge, for methods that need models and rows at once.

RegMean++ collects a block's Gram matrices on the merged blocks below it: `train.statistics.propagated` walks,
`merge` solves, and the matrices stand in folders beside the output until the merge is made, which is then
streamed as any other. In memory are the merged model, one block of one model, and a state for every token.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from ramekin.files import refuse_existing, scratch_directory
from ramekin.merge.combine import summed
from ramekin.merge.inputs import ModelInput, opened
from ramekin.merge.methods import find_method
from ramekin.merge.methods.regmean import regmean, regmean_unit
from ramekin.merge.parameters import Depth, places
from ramekin.merge.plan import DTYPES, open_models
from ramekin.merge.post import Svc, parse_post
from ramekin.merge.stream import Lazy, NamedReader
from ramekin.recipes.adaptation_rows import examples_of_models
from ramekin.recipes.merge_schema import MergeConfig
from ramekin.recipes.merge_statistics import data_facts, encoded_examples
from ramekin.recipes.places import pick_device, set_threads
from ramekin.recipes.progress import AbstractProgress
from ramekin.weights.dtypes import Floats, rounded
from ramekin.weights.lineage import weights_sha256
from ramekin.weights.statistics import KindFacts, StatisticsFacts, write_arrays, write_statistics

if TYPE_CHECKING:
    from torch import Tensor

    from ramekin.tensors.encode import EncodedSet
    from ramekin.train.statistics.gram import Grams

__all__ = ["propagated_statistics"]

_KIND: Literal["propagated_gram"] = "propagated_gram"


@contextlib.contextmanager
def propagated_statistics(
    config: MergeConfig,
    base: Path | None,
    models: Sequence[ModelInput],
    output: Path,
    progress: AbstractProgress,
) -> Iterator[tuple[Path, ...]]:
    """Folders of statistics of each model, which are there while the block is open.

    Raises:
        UsageError: there is no base, or not one task for each model.
        WeightsError: a model is damaged or does not belong with the others.
    """
    from ramekin.tensors.tokenizer import load_tokenizer

    method = find_method(config.method["name"])
    method.check_inputs(len(models), has_base=base is not None)
    assert base is not None  # which was checked
    refuse_existing(output, overwrite=config.overwrite)
    set_threads(config.threads)
    sets = examples_of_models(config)
    settings = method.parse({key: value for key, value in config.method.items() if key != "name"})
    tokenizer = load_tokenizer(base)
    encoded = [encoded_examples([each], tokenizer, config.data) for each in sets]
    with scratch_directory(output) as scratch:
        with open_models(base, models, needs_base=True) as found:
            depths = places(found.names)
        # Opened anew: while models are open for a streamed merge, products of matrices have one thread.
        with opened(base, models) as (root, tuned):
            assert root is not None  # which was named
            merging = _Merging(root, tuned, depths, settings, parse_post(config.post), DTYPES[config.dtype])
            folders = [scratch / f"model-{place}" for place in range(len(models))]
            stored = _collect(config, base, merging, encoded, folders, progress)
        for place, (model, folder) in enumerate(zip(models, folders, strict=True)):
            on = (model.base_folder or base) if model.is_adapter else None
            facts = StatisticsFacts(
                model=model.name,
                model_sha256=weights_sha256(model.folder),
                base=None if on is None else str(on),
                base_sha256=None if on is None else weights_sha256(on),
                data=data_facts(
                    [sets[place]], encoded[place], split=config.data.split, templates=config.data.templates
                ),
                kinds={_KIND: KindFacts(tuple(sorted(p.name for p in folder.iterdir())), stored=stored)},
            )
            write_statistics(folder, facts)
        yield tuple(folders)


def _collect(
    config: MergeConfig,
    base: Path,
    merging: "_Merging",
    encoded: "Sequence[EncodedSet]",
    folders: Sequence[Path],
    progress: AbstractProgress,
) -> dict[str, str]:
    """Write the Gram matrices of each model into its folder; which of them is for which weight."""
    import torch

    from ramekin.train.statistics.propagated import propagate
    from ramekin.weights.seq2seq import load_model, tensors_of

    merged = load_model(base, device=pick_device(config.device))
    own = tensors_of(merged)
    for name, tensor in own.items():
        if ".block." not in name:
            tensor.copy_(torch.from_numpy(merging.tensor(name, ())))
    stored: dict[str, str] = {}
    for folder in folders:
        folder.mkdir()
    blocks = len({name.split(".layer.")[0] for name in own if ".block." in name})
    written = 0

    def read(place: int, names: Sequence[str]) -> "Mapping[str, Tensor]":
        return {name: torch.from_numpy(merging.own(place, name)) for name in names}

    def solve(names: Sequence[str], grams: "Sequence[Grams]") -> "Mapping[str, Tensor]":
        nonlocal written
        written += 1
        arrays = [{key: each.cpu().numpy() for key, each in found.matrices.items()} for found in grams]
        for folder, each in zip(folders, arrays, strict=True):
            write_arrays(folder / f"{_KIND}-{written:05}.safetensors", each)
        own_stored = dict(grams[0].stored)
        stored.update(own_stored)
        of_names = {name: [each[key] for each in arrays] for name, key in own_stored.items()}
        return {name: torch.from_numpy(merging.tensor(name, of_names.get(name, ()))) for name in names}

    with progress.stage(f"{config.method['name']}: collect block by block", blocks) as stage:
        propagate(
            merged,
            [each.items for each in encoded],
            read,
            solve,
            max_tokens=config.data.batch_tokens,
            on_block=stage.advance,
        )
    return stored


@final
@dataclass(frozen=True, slots=True)
class _Merging:
    """Merges tensor by tensor, as the streamed merge does afterwards."""

    base: NamedReader
    tuned: Sequence[NamedReader]
    depths: Mapping[str, Depth]
    settings: Any
    post: Svc | None
    dtype: str | None
    """What the output is written in; None: what the base is."""

    def own(self, place: int, name: str) -> Floats:
        """A model's tensor."""
        return _whole(self.tuned[place], name)

    def tensor(self, name: str, grams: Sequence[Any]) -> Floats:
        """The merged tensor; without Gram matrices, by the mean of the deltas."""
        base: Any = _whole(self.base, name)
        deltas: Any = Lazy(len(self.tuned), lambda place: self.own(place, name) - base)
        if len(grams) and regmean_unit(self.settings, name, base.shape) == "matrix":
            direction: Any = regmean(
                deltas,
                # As they are read from their files.
                [each.astype("float32") for each in grams],
                off_diagonal=self.settings.off_diagonal,
                ridge=self.settings.ridge,
            )
        else:
            direction = summed(deltas, [1 / len(deltas)] * len(deltas))
        direction = direction * self.settings.scaling_factor.at(name, self.depths[name])
        if self.post is not None and self.post.takes(name, base.shape):
            direction = self.post.apply(direction, deltas)
        kind = self.dtype or self.base.reader.info(name).dtype
        return rounded(base + direction, kind)


def _whole(model: NamedReader, name: str) -> Floats:
    info = model.reader.info(name)
    return model.reader.read(name, 0, info.numel).reshape(info.shape)
