"""Prompts put to an engine, and their answers as they come: kept ones first, none asked twice.

Knows nothing of files of prompts or of how answers are shown.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from ramekin.errors import DataError, RamekinError
from ramekin.infer.kept import KeptAnswers, damaged_answer
from ramekin.infer.request import Answered, Failed, Output, Request
from ramekin.recipes.engines import OpenEngine

__all__ = ["Answer", "answers_of", "output_values", "streamed"]

_WAITING = 512
"""Requests that an engine holds at one time: more would only take memory."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What was written for one prompt."""

    index: int
    """Of the prompt, from 0."""
    outputs: tuple[Output, ...]
    error: RamekinError | None = None
    """Why there are no outputs."""
    was_kept: bool = False
    """Whether it was there from an earlier run."""


def answers_of(
    opened: OpenEngine, requests: Sequence[Request], *, folder: Path, versions: Mapping[str, str]
) -> Iterator[Answer]:
    """The answers to some requests, as they come.

    Args:
        opened: the model.
        requests: what is asked, in order; equal ones are asked once.
        folder: of kept answers.
        versions: of the libraries that compute them.

    Raises:
        UsageError: the requests ask for what the engine cannot do.
        DataError: a kept answer is damaged.
    """
    places: dict[Request, list[int]] = {}
    for index, request in enumerate(requests):
        places.setdefault(request, []).append(index)
    with KeptAnswers(folder, weights=opened.fingerprint(), versions=versions) as kept:
        open_requests: deque[Request] = deque()
        for request, indices in places.items():
            found = kept.found(_key(request, opened.backend))
            if found is None:
                open_requests.append(request)
                continue
            try:
                outputs = tuple(map(_output, found.values["outputs"]))
            except (KeyError, TypeError, ValueError) as error:
                raise damaged_answer(
                    found.where, str(dict(found.values)), expected='{"key": …, "outputs": [{"text": …}]}'
                ) from error
            yield from (Answer(index, outputs, was_kept=True) for index in indices)
        tickets: dict[int, Request] = {}
        while open_requests or tickets:
            while open_requests and opened.engine.load.waiting < _WAITING:
                request = open_requests.popleft()
                try:
                    tickets[opened.engine.add(request)] = request
                except DataError as error:  # the prompt's own; settings that are wrong are so for all
                    yield from (Answer(index, (), error) for index in places[request])
            finished = [event for event in opened.engine.step() if isinstance(event, Answered | Failed)]
            written = [
                (tickets[each.ticket], each.outputs) for each in finished if isinstance(each, Answered)
            ]
            kept.add(
                (_key(request, opened.backend), {"outputs": list(map(output_values, outputs))})
                for request, outputs in written
            )
            for event in finished:
                for index in places[tickets.pop(event.ticket)]:
                    if isinstance(event, Failed):
                        yield Answer(index, (), event.error)
                    else:
                        yield Answer(index, event.outputs)


def streamed(opened: OpenEngine, request: Request, tell: Callable[[int, str], None]) -> tuple[Output, ...]:
    """The answer to one request, its text told piece by piece as it is written.

    Args:
        opened: the model.
        request: what is asked.
        tell: is given the number of an output and the next piece of its text.

    Raises:
        RamekinError: the request cannot be met.
    """
    from ramekin.infer.request import Wrote

    ticket = opened.engine.add(request, streams=True)
    try:
        while True:
            for event in opened.engine.step():
                if isinstance(event, Wrote):
                    tell(event.number, event.text)
                elif isinstance(event, Failed):
                    raise event.error
                else:
                    return event.outputs
    finally:
        opened.engine.cancel(ticket)


def output_values(output: Output) -> dict[str, Any]:
    """An output as JSON values."""
    values: dict[str, Any] = {
        "text": output.text,
        "tokens": list(output.tokens),
        "ending": output.ending,
    }
    if output.log_probs:
        values["log_probs"] = list(output.log_probs)
    if output.alternatives:
        values["alternatives"] = [[list(each) for each in row] for row in output.alternatives]
    return values


def _output(values: Mapping[str, Any]) -> Output:
    return Output(
        values["text"],
        tuple(values["tokens"]),
        values["ending"],
        tuple(values.get("log_probs", ())),
        tuple(tuple((token, log_prob) for token, log_prob in row) for row in values.get("alternatives", ())),
    )


def _key(request: Request, backend: str) -> bytes:
    """Everything that an answer depends on beside the weights."""
    form = None if request.form is None else asdict(request.form)
    plain = asdict(replace(request, form=None)) | {"form": form, "backend": backend}
    return b"generate " + json.dumps(plain, sort_keys=True).encode()
