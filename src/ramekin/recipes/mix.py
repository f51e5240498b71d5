"""`ramekin mix plan`, `preview` and `build`: what a mixture will show a model, before it is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from ramekin.catalog import Catalog
from ramekin.recipes.mix_schema import MixConfig
from ramekin.recipes.mixtures.build import How, Survey, survey_mixture
from ramekin.recipes.mixtures.index import MixtureIndex
from ramekin.recipes.mixtures.leaf import Counts, Teaching
from ramekin.recipes.mixtures.plan import MixturePlan, planned, table
from ramekin.recipes.mixtures.prepare import prepare_mixture, resolved_mixture, shards_folder
from ramekin.recipes.mixtures.shards import TaskJob, encoded_sets, reader_of
from ramekin.recipes.mixtures.sizes import SAMPLE
from ramekin.recipes.mixtures.tokens import tokens_of
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import places_of
from ramekin.recipes.progress import AbstractProgress
from ramekin.text.example import Example
from ramekin.text.mixing.draws import MixtureDraws
from ramekin.text.mixing.mixture import Leaf, leaf_templates
from ramekin.text.mixing.walk import walked

__all__ = ["building", "plan", "preview"]


def plan(config: MixConfig, progress: AbstractProgress) -> Outcome:
    """Rates, draws, passes over each task, caps that bind and tokens, for the steps asked for."""
    found = _planned(config, progress)
    return Outcome(found.to_json(), table(found))


def preview(config: MixConfig, progress: AbstractProgress) -> Outcome:
    """The first examples that would be drawn, as a model would read them."""
    how = _how(config, progress)
    survey = _survey(config, how, progress)
    shown = list(_first_examples(config, how, survey))
    lines: list[str] = []
    for t, (leaf, example) in enumerate(shown):
        lines += [f"[{t}] {example.provenance.id}  {leaf}".rstrip(), f"  inputs  {example.inputs}"]
        if example.wrong_inputs:
            lines.append(f"  wrong   {example.wrong_inputs}")
        lines += [f"  target  {example.targets}", ""]
    values = [
        {"draw": t, "leaf": str(leaf), "id": example.provenance.id, **_texts(example)}
        for t, (leaf, example) in enumerate(shown)
    ]
    return Outcome({"mixture": config.mixture.name, "examples": values}, "\n".join(lines).rstrip())


def building(config: MixConfig, progress: AbstractProgress) -> Outcome:
    """Tokenise what the steps asked for will draw."""
    recipe = config.training
    index = prepare_mixture(
        config.mixture,
        _how(config, progress),
        draws=lambda examples: recipe.total_steps(examples) * recipe.global_batch,
        cache=config.cache,
        num_workers=config.workers,
        progress=progress,
        look_again=True,
    )
    return Outcome(_built(index), "\n".join(_built_lines(index, config)))


def _planned(config: MixConfig, progress: AbstractProgress) -> MixturePlan:
    survey = _survey(config, _how(config, progress), progress)
    recipe = config.training
    steps = recipe.total_steps(survey.mixed.epoch_examples)
    return planned(survey, steps=steps, global_batch=recipe.global_batch, seed=config.seed)


def _how(config: MixConfig, progress: AbstractProgress) -> How:
    places = places_of(config)
    tokens = tokens_of(
        config.model,
        config.tokenizer,
        places,
        progress,
        max_input_tokens=config.training.max_input_tokens,
        max_target_tokens=config.training.max_target_tokens,
        input_eos=config.input_eos,
    )
    return How(
        tokens,
        places,
        config.mixture.prompt_seed,
        Teaching.of(config.objective),
        leave_out_missing=config.mixture.missing == "leave_out",
    )


def _survey(config: MixConfig, how: How, progress: AbstractProgress) -> Survey:
    return survey_mixture(
        resolved_mixture(config.mixture, how.places),
        how,
        folder=shards_folder(config.cache),
        num_workers=config.workers,
        progress=progress,
    )


def _first_examples(config: MixConfig, how: How, survey: Survey) -> Iterator[tuple[Leaf, Example]]:
    """The first draws, each task's rows read when it is first drawn."""
    rated = survey.mixed.leaves
    draws = MixtureDraws([each.rate for each in rated], seed=config.seed)
    catalog = Catalog(how.places.tasks_root)
    made: dict[Leaf, list[list[Example]]] = {}
    for leaf_place, nth in draws.draws(0, config.rows):
        leaf = rated[leaf_place].leaf
        epochs = made.setdefault(leaf, [])
        variants = len(leaf_templates(leaf, catalog[leaf.task]))
        while len(epochs) < variants and sum(map(len, epochs)) <= nth:
            job = how.job(leaf.task, leaf.split, leaf.limit_examples, (), shards_folder(config.cache))
            epochs.append(_examples(job, leaf, len(epochs)))
        visit = walked(nth, list(map(len, epochs)), config.seed, str(leaf))
        yield leaf, epochs[visit.epoch % len(epochs)][visit.place]


def _examples(job: TaskJob, leaf: Leaf, epoch: int) -> list[Example]:
    """A leaf's examples of an epoch, those that training leaves out left out."""
    found = list(reader_of(job).examples(leaf, epoch, Counts()))
    if not any(each.indistinct_labels for each in encoded_sets(iter(found[:SAMPLE]), job.tokens)):
        return found
    kept = {item.provenance for each in encoded_sets(iter(found), job.tokens) for item in each.items}
    return [example for example in found if example.provenance in kept]


def _texts(example: Example) -> Mapping[str, Any]:
    wrong = {"wrong_inputs": example.wrong_inputs} if example.wrong_inputs else {}
    return {"inputs": example.inputs, **wrong, "targets": example.targets, "options": list(example.options)}


def _built(index: MixtureIndex) -> dict[str, Any]:
    return {
        "mixture": index.mixture,
        "leaves": len(index.leaves),
        "shards": sum(len(leaf.shards) for leaf in index.leaves),
        "examples": sum(sum(leaf.sizes) for leaf in index.leaves),
        "input_tokens": sum(leaf.input_tokens for leaf in index.leaves),
        "target_tokens": sum(leaf.target_tokens for leaf in index.leaves),
        "draws": index.draws,
        "epoch_examples": index.epoch_examples,
        "lost": _lost_of(index),
        "missing": dict(index.missing),
    }


def _lost_of(index: MixtureIndex) -> dict[str, int]:
    """What was truncated, unknown or left out, over all leaves."""
    found: dict[str, int] = {}
    for leaf in index.leaves:
        for name, count in leaf.lost.items():
            found[name] = found.get(name, 0) + count
    return found


def _built_lines(index: MixtureIndex, config: MixConfig) -> Iterator[str]:
    built = _built(index)
    tasks = len({leaf.task for leaf in index.leaves})
    for name, reason in index.missing.items():
        yield f"left out {name}: {reason}"
    yield (
        f"{index.mixture}: {built['examples']:,} examples of {tasks} tasks "
        f"in {built['shards']} shards, enough for {index.draws:,} draws"
    )
    yield f"  tokens  {built['input_tokens']:,} input, {built['target_tokens']:,} target"
    for name, count in built["lost"].items():
        yield f"  {name.replace('_', ' ')}: {count:,}"
    yield f"  kept in {shards_folder(config.cache)}"
