"""Flipped and channel forms of an example: what is learned is the instruction, given input and label.

FLIPPED learns P(I | x, l) (Ye et al. 2022, arXiv 2210.02969): the encoder reads the record's texts with a
sentinel in place of each stretch of instruction, and the label; the decoder writes the instruction, stretch
by stretch:

    input: <extra_id_0> a dull film<extra_id_1>      ->      <extra_id_0> Review: <extra_id_1> Is it good?
    output: no

CHANNEL learns P(I, x | l): from the label to the whole prompt. Which words are instruction is known from the
template. White space and marks between two texts ("?", quotation marks) ask nothing, and stay where they are.
Knows nothing of losses.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from ramekin.errors import DataError
from ramekin.text.draw import draw
from ramekin.text.example import Example
from ramekin.text.template import Rendered, Span

__all__ = ["Flipped", "ObjectiveName", "channel", "ending", "flipped", "taught", "wrong_label"]

ObjectiveName: TypeAlias = Literal["direct", "channel", "flipped"]
"""What is learned from a prompt with its answer: the answer; the prompt, from the answer; the instruction,
from the record and the answer."""

_WORD = re.compile(r"[^\W_]")
_SENTINEL = re.compile(r"<extra_id_\d+>")


@final
@dataclass(frozen=True, slots=True)
class Flipped:
    """A flipped example under each label."""

    example: Example
    """Under the right label; its `options` are the labels, its targets the instruction."""
    under: tuple[str, ...]
    """The inputs under each of the labels, in their order."""

    def inputs_under(self, label: str) -> str:
        """What the encoder reads under one label."""
        return self.under[self.example.options.index(label)]


def flipped(rendered: Rendered, example: Example) -> Flipped:
    """The flipped form of a rendered example.

    Args:
        rendered: the prompt, span by span.
        example: the same prompt; its target is one of its options.

    Raises:
        DataError: the answer is not among options, the prompt has no instruction or a sentinel of its own,
            or more than a hundred stretches of instruction (T5 has a hundred sentinels).
    """
    if example.targets not in example.options:
        raise DataError(
            "only a prompt whose answer is among options can be flipped",
            where=example.provenance.id,
            got="no options" if not example.options else repr(example.targets),
        )
    body, instruction = _with_sentinels(rendered.inputs, example.provenance.id)
    under = tuple(f"input: {body}\n{ending(label)}" for label in example.options)
    flipped = example._replace(
        inputs=under[example.options.index(example.targets)],
        targets=instruction,
        references=(),
        answer=example.targets,
        ending=ending(example.targets),
        fields=(),
    )
    return Flipped(flipped, under)


def ending(label: str) -> str:
    """What the encoder reads after the record's texts: the part that a cut must never reach."""
    return f"output: {label}"


def channel(example: Example) -> Example:
    """The channel form: from the target to the whole prompt."""
    return example._replace(
        inputs=example.targets, targets=example.inputs, references=(), options=(), answer="", fields=()
    )


def taught(rendered: Rendered, example: Example, objective: ObjectiveName, *key: object) -> Example:
    """The example that an objective learns a rendered record from.

    Args:
        rendered: the prompt, span by span; only `flipped` reads it.
        example: the same prompt.
        objective: `direct` takes the example itself, `channel` and `flipped` turn it; a flipped one has
            `wrong_inputs`, too.
        key: of the draw of the wrong label, such as (seed, task, row, epoch).

    Raises:
        DataError: the prompt cannot be flipped (as `flipped` says), or there is no wrong label.
    """
    if objective == "direct":
        return example
    if objective == "channel":
        return channel(example)
    form = flipped(rendered, example)
    label = wrong_label(form.example, *key)
    return form.example._replace(wrong_inputs=form.inputs_under(label), wrong_ending=ending(label))


def wrong_label(example: Example, *key: object) -> str:
    """A label of a flipped or plain example that is not the right one, drawn by the key.

    Raises:
        DataError: there is no other label.
    """
    right = example.answer or example.targets
    others = [option for option in example.options if option != right]
    if not others:
        raise DataError("there is no wrong label to draw", where=example.provenance.id)
    return others[draw(len(others), *key, "wrong")]


def _with_sentinels(spans: tuple[Span, ...], where: str) -> tuple[str, str]:
    """The inputs with a sentinel for each stretch of instruction, and the stretches after their sentinels."""
    body: list[str] = []
    instruction: list[str] = []
    for span in spans:
        if found := _SENTINEL.search(span.text):
            raise DataError("a prompt that holds a sentinel cannot be flipped", where=where, got=found[0])
        if span.kind != "instruction" or not _WORD.search(span.text):
            body.append(span.text)
            continue
        sentinel = f"<extra_id_{len(instruction)}>"
        body.append(f"{sentinel} ")
        instruction.append(f"{sentinel} {span.text.strip()}")
    if not 1 <= len(instruction) <= 100:
        raise DataError(
            "a prompt cannot be flipped",
            where=where,
            expected="1 to 100 stretches of instruction",
            got=str(len(instruction)),
        )
    return "".join(body).strip(), " ".join(instruction)
