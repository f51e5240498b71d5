"""`ramekin tasks render`: records as a model would read them, with all that may stand around them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, final

from ramekin.catalog import Catalog
from ramekin.errors import UsageError
from ramekin.recipes.data import template_names
from ramekin.recipes.exemplars import ExemplarPool
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import Places, places_of
from ramekin.recipes.rows import TaskRows, read_rows, sample_of
from ramekin.recipes.tasks_schema import AbstractRowsConfig, RenderTaskConfig
from ramekin.sources.published_exemplars import exemplars_in_file
from ramekin.text.example import Example
from ramekin.text.flip import channel, flipped
from ramekin.text.prompting.ablation import bare_inputs
from ramekin.text.prompting.few_shot import FLAN_2022, SHOT_FORMS, FewShot
from ramekin.text.prompting.prompt import Exemplar, Prompting, Thought, prompt_spans
from ramekin.text.prompting.published import PublishedExemplars, published_few_shot
from ramekin.text.prompting.thought import inverted
from ramekin.text.render import Style, render_or_skip, render_spans
from ramekin.text.substitution import check_words
from ramekin.text.task import Task
from ramekin.text.task_yaml import check_template
from ramekin.text.template import Rendered, Span

__all__ = ["chosen_rows", "prompt_style", "rendering"]


def _split_name(task: Task, asked: str | None) -> str:
    """The split asked for, or `validation`, or else the first that the task has.

    A task of promptsource's says nothing of its data set's splits.
    """
    if asked is not None:
        return asked
    splits = task.source.splits or ("validation",)
    return "validation" if "validation" in splits else next(iter(splits))


def prompt_style(config: AbstractRowsConfig) -> Style:
    """How options are shown."""
    return Style(
        options=config.options,
        option_order=config.option_order,
        words=config.words,
        truncate_chars=config.truncate_chars,
        seed=config.seed,
        epoch=config.epoch,
    )


def chosen_rows(
    task: Task, split: str, config: AbstractRowsConfig, places: Places, *, limit: int | None
) -> TaskRows:
    """The rows asked for; with `sample=true` the task's own example row.

    Raises:
        DataError: the task has no example row, or its data cannot be read.
    """
    if config.sample:
        return sample_of(task)
    return read_rows(task, split, limit, places)


def rendering(name: str, config: RenderTaskConfig) -> Outcome:
    """A task's records under each template asked for, as a model would read them.

    Args:
        name: a task, or `TASK#TEMPLATE`.
        config: which rows, and how they are put.
    """
    from ramekin.recipes.prompts_shown import shown_prompts

    places = places_of(config)
    task_name, _, template = name.partition("#")
    task = Catalog(config.tasks_root)[task_name]
    names = template_names(task, template or config.templates, turned=config.form == "direct")
    for each in names:
        check_template(task, task.template(each))
    if config.words:
        check_words(config.words, task.options, where=task.name)
    split = "sample" if config.sample else _split_name(task, config.split)
    rows = chosen_rows(task, split, config, places, limit=config.limit or 3)
    exemplars = _Exemplars(task, split, rows, config, places)
    count_tokens = _counter(config)
    asked = [
        (each, row, record)
        for each in names
        for row, record in zip(rows.positions, rows.records.rows, strict=True)
    ]
    prompts = [
        _prompt(task, record, each, split, row, config, exemplars, count_tokens)
        for each, row, record in asked
        if _is_usable(task, record, each, split, row, config)
    ]
    left_out = len(asked) - len(prompts)
    values = {
        "task": task.name,
        "rows": rows.records.origin,
        "left_out": left_out,
        "pruned_exemplars": sum(shot.pruned for _, shot in prompts),
        "examples": [
            {
                "id": shot.example.provenance.id,
                **shot.example._asdict(),
                "provenance": shot.example.provenance._asdict(),
                "spans": [dataclasses.asdict(span) for span in rendered.inputs],
                "exemplars": shot.used,
                "pruned": shot.pruned,
            }
            for rendered, shot in prompts
        ],
    }
    return Outcome(values, shown_prompts(prompts, rows.records.origin, left_out))


def _is_usable(
    task: Task, record: Mapping[str, Any], template: str, split: str, row: int, config: RenderTaskConfig
) -> bool:
    """Whether the template asks about the row (P3's may not), and the reasoning is there if it is wanted."""
    style = prompt_style(config)
    example = render_or_skip(task, record, template=template, split=split, row=row, style=style)
    if example is None:
        return False
    is_reasoned = config.cot and config.exemplars is None and not task.template(template).turned
    return not is_reasoned or task.rationale is None or bool(example.rationale)


@final
class _Exemplars:
    """The exemplars of each question: drawn from the training split, or published."""

    def __init__(
        self, task: Task, split: str, rows: TaskRows, config: RenderTaskConfig, places: Places
    ) -> None:
        self.config = config
        self.task = task
        self.published: PublishedExemplars | None = None
        splits = task.source.splits
        self.split = "train" if "train" in splits or not splits else split
        self.is_same = self.split == split and not config.sample
        if config.exemplars is not None:
            if not config.exemplars.is_file():
                raise UsageError("there is no file of exemplars", where=str(config.exemplars))
            known = task.source.exemplars
            is_json = config.exemplars.suffix == ".json"
            key = known.key if known is not None and is_json else ""
            self.published = exemplars_in_file(config.exemplars, key=key)
        elif config.shots:
            rows = read_rows(task, self.split, None, places)
        self.pool = ExemplarPool(rows)

    def of(self, row: int, template: str) -> list[Exemplar]:
        """Those of one question."""
        if self.published is not None:
            return []
        config = self.config
        return self.pool.drawn(
            config.shots,
            *(config.seed, self.task.name, row, config.epoch),
            never=row if self.is_same else None,
            usable=lambda place, record: _is_usable(self.task, record, template, self.split, place, config),
        )


def _prompt(
    task: Task,
    record: Mapping[str, Any],
    template: str,
    split: str,
    row: int,
    config: RenderTaskConfig,
    exemplars: _Exemplars,
    count_tokens: Callable[[str], int] | None,
) -> tuple[Rendered, FewShot]:
    style = prompt_style(config)
    if config.form != "direct":
        rendered, example = render_spans(task, record, template=template, split=split, row=row, style=style)
        return _turned(rendered, example, config.form)
    thought: Thought = "none"
    if config.cot:
        thought = "trigger" if task.rationale is None else "rationale"
    how = Prompting(
        style=style,
        thought="none" if exemplars.published is not None else thought,
        ablation=config.ablation,
        # Published exemplars have a form of their own, which is put around the bare question below.
        form=FLAN_2022 if exemplars.published is not None else SHOT_FORMS[config.shot_form],
        exemplar_split=exemplars.split,
        exemplar_templates=config.exemplar_templates,
        max_tokens=config.max_input_tokens - 1 if config.tokenizer is not None else None,  # and the end mark
    )
    rendered, shot = prompt_spans(
        task,
        record,
        template=template,
        split=split,
        row=row,
        how=how,
        exemplars=exemplars.of(row, template),
        count_tokens=count_tokens,
    )
    if exemplars.published is None:
        return rendered, shot
    question = shot.example.inputs.removeprefix("Q:").removesuffix("A:").strip()  # the form brings these
    return rendered, published_few_shot(
        shot.example._replace(inputs=question),
        exemplars.published,
        thought="rationale" if config.cot else "none",
        shots=config.shots or None,
        max_tokens=how.max_tokens,
        count_tokens=count_tokens,
    )


def _counter(config: RenderTaskConfig) -> Callable[[str], int] | None:
    """Counts a text's tokens by the vocabulary given; None without one."""
    if config.tokenizer is None:
        return None
    from ramekin.tensors.tokenizer import load_tokenizer, token_ids

    tokenizer = load_tokenizer(config.tokenizer)
    return lambda text: len(token_ids(tokenizer, [text])[0])


def _turned(rendered: Rendered, example: Example, form: str) -> tuple[Rendered, FewShot]:
    """The flipped, channel or inverted form of an example."""
    if form == "flipped":
        other = flipped(rendered, example).example
    elif form == "channel":
        other = channel(example)
    else:
        other = inverted(bare_inputs(rendered), example)
    spans = (Span(other.inputs, "instruction"),)
    return Rendered(spans, (Span(other.targets, "answer"),)), FewShot(other, 0, 0)
