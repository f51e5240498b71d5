"""The configuration of `ramekin generate`."""

from typing import Any, Literal, Self, final

from pydantic import Field, model_validator

from ramekin.errors import RamekinError
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Form
from ramekin.recipes.settings import AbstractVerbConfig, Natural, PositiveInt, UserPath, refuse_unknown_tasks

__all__ = ["GenerateConfig"]


@final
class GenerateConfig(AbstractVerbConfig):
    """`ramekin generate`."""

    model: str
    base: str | None = None
    backend: Literal["auto", "torch", "ctranslate2"] = "auto"
    """auto: ctranslate2 for a folder that `ramekin export` wrote, else torch."""
    untested: Literal["refuse", "allow"] = "refuse"
    """Whether a CTranslate2 folder of other tools is opened, which nobody has compared with its model."""
    prompts: tuple[str, ...] = ()
    file: UserPath | None = None
    """A file of prompts or of records: .txt (a line each), .jsonl, .csv, .tsv or .parquet; `-` reads lines
    from standard input. With a template that shows parts of papers: a paper (.pdf, .txt, .md, .json), or a
    folder of them."""
    column: str | None = None
    """Of a table: the column that holds the prompts; by default `inputs`, `prompt` or `text`."""
    task: str | None = None
    """Puts the records of the file into the words of a task's template."""
    template: str | None = None
    """The template's name, or a template of one's own: `template='Translate: {{ text }}'`."""
    pairs: bool | None = None
    """Whether outputs on papers are pairs, `question [SEP] answer`, which are split, joined and ranked; by
    default where the task's are."""
    support_weight: float = Field(0.5, ge=0, le=1)
    """In the ranking of pairs: what an answer's support in the paper counts beside its probability."""
    limit: PositiveInt | None = None
    """Only the first so many prompts."""
    n: PositiveInt = 1
    """Outputs for each prompt."""
    sampling_temperature: float | None = None
    """0: the most probable token, always. By default 1 where several outputs or a filter are asked for."""
    sampling_top_k: Natural = 0
    sampling_top_p: float = 1.0
    sampling_typical_p: float = 1.0
    num_beams: PositiveInt = 1
    length_penalty: float = 1.0
    max_target_tokens: PositiveInt = 128
    """The longest output, `</s>` included."""
    max_input_tokens: PositiveInt | None = None
    """Longer prompts are cut, a record's own words before the template's, and counted; by default none is,
    and one of more than 16,384 tokens is refused."""
    stop: tuple[str, ...] = ()
    prefix: str = ""
    """What each output begins with."""
    options: tuple[str, ...] = ()
    """Each output is one of these."""
    regex: str | None = None
    json_schema: UserPath | None = None
    """A file with a JSON schema that each output fits."""
    log_probs: bool = False
    format: Literal["text", "jsonl", "table"] = "text"
    batch_tokens: PositiveInt = 8192
    answers: UserPath | None = None
    """Folder of kept answers; by default one in the user's cache."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [
            (bool(self.prompts) and self.file is not None, "prompts and file: give one of them"),
            (self.column is not None and self.asks, "column and template: a template reads columns itself"),
            (self.asks and self.file is None, "a template reads the records of a file: file=ROWS.jsonl"),
            (self.column is not None and self.file is None, "column: it is one of a file's"),
        ]
        told = "; ".join(problem for is_wrong, problem in problems if is_wrong)
        if told:
            raise ValueError(told)
        try:
            self.decoding  # noqa: B018 - its settings are checked as it is made
            if self.options or self.regex is not None or self.json_schema is not None:
                Form(self.options, self.regex, None if self.json_schema is None else {})
        except RamekinError as error:
            raise ValueError(str(error)) from error
        if self.task is not None:
            refuse_unknown_tasks([self.task], self.tasks_root)
        return self

    @property
    def asks(self) -> bool:
        """Whether records are put into the words of a template."""
        return self.task is not None or self.template is not None

    @property
    def decoding(self) -> Decoding:
        """How tokens are chosen.

        Raises:
            UsageError: a setting is out of its bounds, or two do not go together.
        """
        heat = self.sampling_temperature
        if heat is None:
            filtered = self.sampling_top_k > 0 or self.sampling_top_p != 1 or self.sampling_typical_p != 1
            heat = 1.0 if filtered or (self.n > 1 and self.num_beams == 1) else 0.0
        return Decoding(
            num_beams=self.num_beams,
            num_samples=self.n,
            sampling_temperature=heat,
            top_k=self.sampling_top_k,
            top_p=self.sampling_top_p,
            typical_p=self.sampling_typical_p,
            length_penalty=self.length_penalty,
            seed=self.seed,
        )

    def with_values(self, **values: Any) -> "GenerateConfig":
        """The configuration with other values, checked."""
        return GenerateConfig.model_validate({**self.model_dump(), **values})
