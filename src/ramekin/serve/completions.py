"""From the body of a completion to what an engine is asked; everything that is out of bounds is refused.

Where OpenAI's defaults do not fit models that answer an instruction and end, ours differ: `max_tokens` is 128
instead of 16, and a request that asks for no samples gets the most probable text instead of one draw.
Knows nothing of HTTP.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from ramekin.errors import RamekinError
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Form, Request
from ramekin.serve.asked import CompletionBody
from ramekin.serve.limits import Limits
from ramekin.serve.refusals import refusal_of, refuse
from ramekin.serve.service import Served
from ramekin.serve.vocabulary import Vocabulary
from ramekin.serve.waiting import NAMES
from ramekin.tensors.tokenizer import EOS_ID, UNK_ID

__all__ = ["Asked", "check_lengths", "read_completion"]

_STOPS: Final = 4
_STOP_CHARACTERS: Final = 256
_NEUTRAL: Final[tuple[tuple[str, tuple[Any, ...], str], ...]] = (
    ("echo", (None, False), "an encoder-decoder's output does not continue its prompt"),
    ("suffix", (None, ""), "an output that ends before a given text is not written"),
    ("logit_bias", (None, {}), "tokens have no bias"),
    ("presence_penalty", (None, 0.0), "tokens have no penalty"),
    ("frequency_penalty", (None, 0.0), "tokens have no penalty"),
)


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What a completion asks of an engine."""

    requests: tuple[Request, ...]
    """One a prompt."""
    num_outputs: int
    """For each prompt."""
    seed: int | None
    """Of samples."""
    log_probs: bool
    warnings: tuple[str, ...]
    unknown_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts."""
        return sum(len(each.input_ids) for each in self.requests)


async def read_completion(body: CompletionBody, served: Served, limits: Limits) -> Asked:
    """What a body asks.

    Raises:
        RefusalError: a field is out of its bounds, asks for what cannot be done, or would have no effect.
    """
    for name, neutral, reason in _NEUTRAL:
        if getattr(body, name) not in neutral:
            raise refuse(
                400, reason, param=name, expected=f"none, or {json.dumps(neutral[1])}", got="another"
            )
    num_outputs = 1 if body.n is None else body.n
    _bound("n", num_outputs, limits.n, at_least=1)
    if body.best_of not in (None, num_outputs):
        raise refuse(400, "outputs are not selected", param="best_of", expected=f"n={num_outputs}",
                     got=str(body.best_of), fix="leave it out, and choose by logprobs")  # fmt: skip
    if body.stream_options is not None and not body.stream:
        raise refuse(400, "stream_options say nothing without a stream", param="stream_options")
    max_tokens = limits.default_max_tokens if body.max_tokens is None else body.max_tokens
    _bound("max_tokens", max_tokens, limits.max_tokens, at_least=1)
    try:
        decoding = _decoding(body, num_outputs)
        form = _form(body, limits)
    except RamekinError as error:
        raise refusal_of(error, names=NAMES) from error
    _bound("num_beams", decoding.num_beams, limits.beams)
    if decoding.num_rows * max_tokens > limits.output_tokens:
        raise refuse(
            400,
            "outputs times their tokens are too many",
            param="max_tokens",
            expected=f"at most {limits.output_tokens} for a prompt",
            got=str(decoding.num_rows * max_tokens),
            fix="ask for fewer, or give a lower max_tokens",
        )
    stop = _stops(body.stop, served.vocabulary)
    if form is not None:
        await served.forms.check(form)
    prompts = await _prompts(body.prompt, served, limits)
    if len(prompts) * decoding.num_rows > limits.rows:
        raise refuse(400, "prompts times outputs are too many", param="n", expected=f"at most {limits.rows}",
                     got=str(len(prompts) * decoding.num_rows), fix="send several requests")  # fmt: skip
    prefix = (await served.vocabulary.ids([body.prefix]))[0] if body.prefix else []
    try:
        requests = tuple(
            Request(
                tuple(ids),
                max_tokens,
                decoding=decoding,
                stop=stop,
                prefix_ids=tuple(prefix),
                form=form,
                log_probs=body.logprobs is not None,
                num_alternatives=body.logprobs or 0,
            )
            for ids in prompts
        )
    except RamekinError as error:
        raise refusal_of(error, names=NAMES) from error
    unknown = [ids.count(UNK_ID) for ids in prompts]
    return Asked(
        requests,
        num_outputs,
        decoding.seed if decoding.is_random else None,
        body.logprobs is not None,
        tuple(
            f"prompt {place}: {count} of its tokens stand for what the vocabulary does not know"
            for place, count in enumerate(unknown)
            if count
        ),
        sum(unknown),
    )


def _bound(name: str, value: int, at_most: int, *, at_least: int = 0) -> None:
    if not at_least <= value <= at_most:
        raise refuse(
            400,
            "a number is out of its bounds",
            param=name,
            expected=f"{at_least} to {at_most}",
            got=str(value),
        )


def _decoding(body: CompletionBody, num_outputs: int) -> Decoding:
    beams = body.num_beams or 1
    settings: dict[str, Any] = {
        "num_beams": beams,
        "num_samples": num_outputs,
        "top_k": body.top_k or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "typical_p": 1.0 if body.typical_p is None else body.typical_p,
        "length_penalty": 1.0 if body.length_penalty is None else body.length_penalty,
    }
    draws = num_outputs > 1 or settings["top_k"] > 0 or settings["top_p"] != 1 or settings["typical_p"] != 1
    heat = body.temperature
    if heat is None:
        heat = 1.0 if draws and beams == 1 else 0.0
    seed = 0
    if heat > 0:
        seed = secrets.randbits(31) if body.seed is None else body.seed
    return Decoding(**settings, sampling_temperature=heat, seed=seed)


def _form(body: CompletionBody, limits: Limits) -> Form | None:
    if body.options is None and body.regex is None and body.json_schema is None:
        return None
    if body.options is not None:
        _bound("options", len(body.options), limits.options, at_least=1)
        if not all(body.options) or len(set(body.options)) < len(body.options):
            raise refuse(400, "options differ, and none is empty", param="options")
    sizes = {"regex": len(body.regex or ""), "json_schema": len(json.dumps(body.json_schema or {}))}
    for name, size in sizes.items():
        if size > limits.form_characters:
            raise refuse(
                400,
                "it is too long",
                param=name,
                expected=f"{limits.form_characters} characters",
                got=str(size),
            )
    for reference in _references(body.json_schema):
        if not reference.startswith("#"):
            raise refuse(400, "nothing is fetched", param="json_schema", expected="$ref within the schema",
                         got=reference[:80])  # fmt: skip
    return Form(options=tuple(body.options or ()), regex=body.regex, json_schema=body.json_schema)


def _references(schema: Any) -> list[str]:
    """What a schema refers to, wherever."""
    if isinstance(schema, dict):
        own = [value for key, value in schema.items() if key in _REFERRING and isinstance(value, str)]
        return own + [each for value in schema.values() for each in _references(value)]
    return [each for value in schema for each in _references(value)] if isinstance(schema, list) else []


_REFERRING: Final = ("$ref", "$dynamicRef", "$recursiveRef")


def _stops(stop: str | Sequence[str] | None, vocabulary: Vocabulary) -> tuple[str, ...]:
    found = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(found) > _STOPS:
        raise refuse(
            400, "there are too many", param="stop", expected=f"at most {_STOPS}", got=str(len(found))
        )
    for each in found:
        if not 1 <= len(each) <= _STOP_CHARACTERS:
            raise refuse(400, "a stop has the wrong length", param="stop", got=f"{len(each)} characters",
                         expected=f"1 to {_STOP_CHARACTERS} characters")  # fmt: skip
        if never := vocabulary.cannot_write(each):
            raise refuse(
                400,
                "the model never writes this, so that it would not stop there",
                param="stop",
                got=repr(never[:20]),
                fix="leave it out",
            )
    return found


async def _prompts(prompt: Any, served: Served, limits: Limits) -> list[list[int]]:
    """The ids of each prompt, with `</s>` where they were texts."""
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        prompt = [prompt]
    _bound("prompt", len(prompt), limits.prompts, at_least=1)
    if isinstance(prompt[0], str):
        whole = await served.vocabulary.ids(prompt)
        end = [EOS_ID] if served.model.input_eos else []
        ids = [[*own, *end] if own else [] for own in whole]
    else:
        ids = [list(own) for own in prompt]
        for place, own in enumerate(ids):
            wrong = next((token for token in own if not served.vocabulary.knows(token)), None)
            if wrong is not None:
                raise refuse(400, "the vocabulary has no such token", param=f"prompt[{place}]",
                             expected=f"0 to {served.vocabulary.size - 1}", got=str(wrong)[:40])  # fmt: skip
    check_lengths("prompt", ids, limits)
    return ids


def check_lengths(name: str, ids: Sequence[Sequence[int]], limits: Limits) -> None:
    """Refuse prompts that have no tokens or too many: none is ever cut.

    Args:
        name: the field.
        ids: the tokens of each.
        limits: how many there may be.

    Raises:
        RefusalError: one is empty or too long.
    """
    for place, own in enumerate(ids):
        where = f"{name}[{place}]" if len(ids) > 1 else name
        if not own:
            raise refuse(400, "it is empty", param=where, expected="a token at least")
        if len(own) > limits.prompt_tokens:
            raise refuse(
                400,
                "it is too long, and is not cut",
                param=where,
                expected=f"at most {limits.prompt_tokens} tokens",
                got=f"{len(own)}, {len(own) - limits.prompt_tokens} too many",
                code="context_length_exceeded",
            )
