"""A leaf's examples: one task's training rows, in one form, as they stand in one epoch.

What is drawn for a row (its template in turn, exemplars, a wrong label) depends on (seed, task, row, epoch)
alone. Rows that cannot be asked about are left out and counted. Knows nothing of tokens or files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

from ramekin.errors import DataError
from ramekin.recipes.exemplars import ExemplarPool
from ramekin.recipes.places import Places
from ramekin.recipes.rows import read_rows, refused_row
from ramekin.sources.rows import BadRow, passed_on
from ramekin.text.example import Example, Record
from ramekin.text.flip import ObjectiveName, taught
from ramekin.text.mixing.form import PromptForm, drawn_words, prompting
from ramekin.text.mixing.mixture import Leaf, leaf_templates, template_at
from ramekin.text.prompting.prompt import Prompting, prompt_spans
from ramekin.text.render import render_or_skip
from ramekin.text.task import Task
from ramekin.text.template import Rendered
from ramekin.train.objectives.recipe import ObjectiveRecipe

__all__ = ["Counts", "LeafReader", "Teaching"]


@final
@dataclass(frozen=True)
class Teaching:
    """What of an objective shapes its examples."""

    objective: ObjectiveName = "direct"
    wrong_inputs: bool = False
    """Whether examples need inputs under a wrong label."""

    @classmethod
    def of(cls, recipe: ObjectiveRecipe) -> "Teaching":
        """That of an objective with its numbers."""
        return cls(recipe.name, recipe.needs_wrong_inputs)


@final
@dataclass
class Counts:
    """What was lost on the way to a leaf's examples; filled while they are made."""

    left_out: int = 0
    """Rows that a template has nothing to ask about, that have no reasoning to show, that cannot be flipped,
    or that are not the task's."""
    skipped: int = 0
    """Bad rows."""
    pruned_exemplars: int = 0
    """Exemplars that did not fit."""
    lacking_exemplars: int = 0
    """Exemplars that a form asks for and the task has no other row for."""


@final
class LeafReader:
    """The rows of a task, read once for all of its leaves.

    Args:
        task: whose rows.
        split: which of them, by our name.
        limit: use only so many of them; None: all.
        places: where they are.
        seed: of what is drawn for each row.
        teaching: what examples are made for.
        max_input_tokens: that exemplars are pruned to.
        count_tokens: of a text.
    """

    def __init__(
        self,
        task: Task,
        *,
        split: str,
        limit: int | None,
        places: Places,
        seed: int,
        teaching: Teaching,
        max_input_tokens: int,
        count_tokens: Callable[[str], int],
    ) -> None:
        self.task, self.places, self.seed, self.teaching = task, places, seed, teaching
        self.max_input_tokens, self.count_tokens = max_input_tokens, count_tokens
        self.split = split
        self.rows = read_rows(task, split, limit, places)

    def examples(self, leaf: Leaf, epoch: int, counts: Counts) -> Iterator[Example]:
        """The leaf's examples in an epoch, in the order of the split, each made when it is asked for.

        Whatever is lost is in `counts` after the last. There may be none: a row's template in this epoch may
        have nothing to ask about it.

        Raises:
            DataError: a row cannot be rendered and bad rows are not tolerated.
        """
        counts.left_out += self.rows.left_out
        counts.skipped += self.rows.records.skipped
        templates = leaf_templates(leaf, self.task)
        how = prompting(
            leaf.form, seed=self.seed, epoch=epoch, split=self.split, max_tokens=self.max_input_tokens - 1
        )
        made = self._made(leaf, templates, how, counts)
        origin = f"{self.rows.records.origin} as {leaf}" + (f", epoch {epoch}" if epoch else "")

        def count(bad: int) -> None:
            counts.skipped += bad

        yield from passed_on(made, origin=origin, bad_rows=self.places.bad_rows, on_bad=count)

    def _made(
        self, leaf: Leaf, templates: tuple[str, ...], how: Prompting, counts: Counts
    ) -> Iterator[Example | BadRow]:
        is_plain = _is_plain(leaf.form) and self.teaching.objective == "direct"
        for row, record in zip(self.rows.positions, self.rows.records.rows, strict=True):
            template = template_at(templates, row, how.style.epoch)
            words = drawn_words(leaf.form, self.seed, self.task.name, row, how.style.epoch)
            how = replace(how, style=replace(how.style, words=words)) if words != how.style.words else how
            try:
                example = render_or_skip(
                    self.task, record, template=template, split=self.split, row=row, style=how.style
                )
                if example is not None and not is_plain:
                    example = self._put(example, record, template, row, leaf, how, counts)
            except DataError as error:
                yield refused_row(error, record)
                continue
            if example is None:
                counts.left_out += 1
            else:
                yield example

    def _put(
        self,
        plain: Example,
        record: Record,
        template: str,
        row: int,
        leaf: Leaf,
        how: Prompting,
        counts: Counts,
    ) -> Example | None:
        """The example in the leaf's form; None where the reasoning that the form shows is not there."""
        if self._lacks_reasoning(plain, template, how):
            return None
        key = (self.seed, self.task.name, row, how.style.epoch)
        exemplars = self._pool.drawn(
            leaf.form.shots,
            *key,
            never=row,
            usable=lambda place, other: self._can_show(place, other, template, how),
        )
        rendered, shot = prompt_spans(
            self.task,
            record,
            template=template,
            split=self.split,
            row=row,
            how=how,
            exemplars=exemplars,
            count_tokens=self.count_tokens,
        )
        counts.pruned_exemplars += shot.pruned
        counts.lacking_exemplars += leaf.form.shots - len(exemplars)
        return self._taught(rendered, shot.example, *key)

    def _taught(self, rendered: Rendered, example: Example, *key: object) -> Example | None:
        """What the objective learns from; None where a prompt has nothing to flip."""
        try:
            found = taught(rendered, example, self.teaching.objective, *key)
        except DataError:
            return None
        return found if self.teaching.wrong_inputs else found._replace(wrong_inputs="")

    def _can_show(self, row: int, record: Record, template: str, how: Prompting) -> bool:
        example = render_or_skip(
            self.task, record, template=template, split=self.split, row=row, style=how.style
        )
        return example is not None and not self._lacks_reasoning(example, template, how)

    def _lacks_reasoning(self, example: Example, template: str, how: Prompting) -> bool:
        wanted = how.thought == "rationale" and not self.task.template(template).turned
        return wanted and not example.rationale.strip()

    @cached_property
    def _pool(self) -> ExemplarPool:
        return ExemplarPool(self.rows)


def _is_plain(form: PromptForm) -> bool:
    """Whether the template's rendering is all there is to the prompt."""
    return not form.shots and form.cot == "none" and not form.inverted and form.ablation == "none"
