"""What bodies of requests may hold, and what comes back: the types, which OpenAPI shows.

Bounds that a server is started with are checked where a body is read (`completions`, `ranking`).
"""

from typing import Annotated, Any, Literal, TypeAlias, final

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AbstractAnswer",
    "AbstractBody",
    "Choice",
    "CompletionAnswer",
    "CompletionBody",
    "ErrorAnswer",
    "ErrorObject",
    "HealthAnswer",
    "LogProbs",
    "ModelAnswer",
    "ModelsAnswer",
    "RankAnswer",
    "RankBody",
    "RankResult",
    "RankUsage",
    "RankedOption",
    "StreamOptions",
    "Usage",
]

_First: Any = Field(fail_fast=True)
"""A list of a million wrong items is one error, and not a million."""
Texts: TypeAlias = Annotated[list[str], _First]
Ids: TypeAlias = Annotated[list[int], _First]


class AbstractBody(BaseModel):
    """What comes in: no unknown field, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@final
class StreamOptions(AbstractBody):
    """What a stream has beside pieces."""

    include_usage: bool | None = Field(None, description="Whether a last chunk has the counts of tokens.")


@final
class CompletionBody(AbstractBody):
    """`POST /v1/completions`: OpenAI's fields, and behind `prefix` our own."""

    model: str
    prompt: Annotated[
        str | Texts | Ids | Annotated[list[Ids], _First],
        Field(description="A text, texts, token ids or several lists of token ids, taken as they are."),
    ]
    n: int | None = Field(None, description="Outputs for each prompt; 1.")
    best_of: int | None = Field(None, description="Refused unless it is n.")
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="0: the most probable text. Not given: 1 where n, top_p, top_k or typical_p ask for "
        "samples, else 0.",
    )
    top_p: float | None = Field(None, description="Above 0 and at most 1; 1.")
    max_tokens: int | None = Field(None, description="Tokens of an output, `</s>` among them.")
    stop: str | Texts | None = Field(None, description="An output ends before the first of up to 4 texts.")
    logprobs: int | None = Field(
        None, ge=0, le=5, description="Log-probabilities of the tokens, and of so many of the likeliest."
    )
    echo: bool | None = Field(None, description="Refused: an output does not continue its prompt.")
    stream: bool | None = Field(None, description="Whether pieces are sent as they come, as SSE.")
    stream_options: StreamOptions | None = None
    seed: int | None = Field(None, ge=0, lt=1 << 63, description="Of samples; not given: drawn, and told.")
    suffix: str | None = Field(None, description="Refused unless empty.")
    logit_bias: dict[str, float] | None = Field(None, description="Refused unless empty.")
    presence_penalty: float | None = Field(None, description="Refused unless 0.")
    frequency_penalty: float | None = Field(None, description="Refused unless 0.")
    user: str | None = Field(None, description="Ignored.")
    prefix: str | None = Field(None, description="What each output begins with; a part of it.")
    top_k: int | None = Field(None, ge=0, description="Draw among so many of the likeliest tokens; 0: all.")
    typical_p: float | None = Field(None, description="Locally typical sampling; 1: none.")
    num_beams: int | None = Field(None, ge=1, description="Of a beam search; 1: none.")
    length_penalty: float | None = Field(None, description="Of a beam search: the power of the length.")
    options: Texts | None = Field(None, description="An output is one of these texts.")
    regex: str | None = Field(None, description="An output matches it whole.")
    json_schema: dict[str, Any] | None = Field(None, description="An output is JSON of this schema.")


@final
class RankBody(AbstractBody):
    """`POST /v1/rank`: which option does the model find the most probable, given an input?"""

    model: str
    inputs: Annotated[str | Texts, Field(description="A text, or texts.")]
    options: Annotated[
        Texts | Annotated[list[Texts], _First],
        Field(description="Texts, for all inputs; or such a list for each input."),
    ]
    mode: str | None = Field(
        None,
        description="The rules: rank (the default), t0 (the input without `</s>`), lm_eval (the option "
        "without), flan, or channel (the input given the option).",
    )


class AbstractAnswer(BaseModel):
    """What goes out."""

    model_config = ConfigDict(extra="allow")


@final
class Usage(AbstractAnswer):
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@final
class LogProbs(AbstractAnswer):
    """OpenAI's legacy object: one entry a token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


@final
class Choice(AbstractAnswer):
    """One output."""

    index: int
    text: str
    logprobs: LogProbs | None
    finish_reason: Literal["stop", "length"] | None


@final
class CompletionAnswer(AbstractAnswer):
    """The outputs of all prompts, those of the first prompt first."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    seed: int | None = None
    warnings: list[str] | None = None


@final
class RankedOption(AbstractAnswer):
    """An option, and how probable it is."""

    text: str
    log_prob: float
    score: float
    """What options are ranked by: the log-probability, over what the mode divides it by."""
    probability: float
    """Of the scores' softmax over the options."""


@final
class RankResult(AbstractAnswer):
    """The options of an input, in the order they were given."""

    index: int
    winner: str
    winner_index: int
    is_tied: bool
    options: list[RankedOption]
    other_winners: dict[str, str]
    """Which option wins by the other normalisations that the mode reports."""


@final
class RankUsage(AbstractAnswer):
    """Counts of tokens."""

    prompt_tokens: int
    scored_tokens: int
    total_tokens: int


@final
class RankAnswer(AbstractAnswer):
    """All inputs, in order."""

    id: str
    object: Literal["rank"]
    created: int
    model: str
    mode: str
    results: list[RankResult]
    usage: RankUsage
    warnings: list[str] | None = None


@final
class ModelAnswer(AbstractAnswer):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    parent: str | None = None


@final
class ModelsAnswer(AbstractAnswer):
    """All of them."""

    object: Literal["list"]
    data: list[ModelAnswer]


@final
class HealthAnswer(AbstractAnswer):
    """How the server is."""

    status: Literal["ready", "stopping", "failed"]
    live: bool
    ready: bool


@final
class ErrorObject(AbstractAnswer):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


@final
class ErrorAnswer(AbstractAnswer):
    """OpenAI's error object."""

    error: ErrorObject
