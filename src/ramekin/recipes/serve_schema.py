"""The configuration of `ramekin serve`. Importing this module loads pydantic and nothing heavier."""

import os
import stat
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, final

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, model_validator

from ramekin.errors import DataError
from ramekin.recipes.settings import AbstractVerbConfig, PositiveInt, UserPath
from ramekin.serve.limits import Limits

__all__ = ["ServeConfig", "public_name", "served_names", "token_of"]


def _hidden(value: Any) -> SecretStr | None:
    """A token that no message shows; what is no text is refused later, as pydantic's messages show it."""
    if value is None or isinstance(value, SecretStr):
        return value
    return SecretStr(value if isinstance(value, str) else "")


Secret = Annotated[
    Any, AfterValidator(_hidden), PlainSerializer(lambda value: None if value is None else "***")
]


@final
class ServeConfig(AbstractVerbConfig):
    """`ramekin serve`. The keys of `limits` may be written without it: `queue=64`."""

    LIFTED: ClassVar[tuple[str, ...]] = ("limits",)

    model: str | None = None
    models: tuple[str, ...] = ()
    """Several models, or adapters on one base."""
    base: str | None = None
    """For adapters, the base to use instead of the one that each recorded."""
    backend: Literal["auto", "torch", "ctranslate2"] = "auto"
    """auto: ctranslate2 for a folder that `ramekin export` wrote, else torch."""
    untested: Literal["refuse", "allow"] = "refuse"
    """Whether a CTranslate2 folder of other tools is opened, which nobody has compared with its model."""
    names: tuple[str, ...] = ()
    """What requests call the models; none: hub ids, and the last names of folders."""
    host: str = "127.0.0.1"
    """Any other address than this machine's own needs a token."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """0: any that is free."""
    token: Secret = None
    """What each request must bring as `Authorization: Bearer TOKEN`. `RAMEKIN_TOKEN` in the environment, or
    `token_file`, do not show it to whoever lists processes."""
    token_file: UserPath | None = None
    """A file that holds the token, and that only its owner can read."""
    hosts: tuple[str, ...] = ()
    """Names that the server is called by, beside its address: `hosts=[models.example.org]`."""
    origins: tuple[str, ...] = ()
    """Pages that may call it: `origins=[https://app.example.org]`."""
    access_log: bool = True
    """A line on stderr for each request."""
    input_eos: bool = True
    """Whether prompts end with `</s>`: T5's and Flan-T5's do, T0's do not."""
    batch_tokens: PositiveInt = 16_384
    """Tokens that an engine works on at one time: of inputs, and of all outputs at their longest."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _has_models(self) -> Self:
        if not self.model_names:
            raise ValueError("needs a model: model=runs/rte, or models=[runs/rte,runs/cola]")
        if self.names and len(self.names) != len(self.model_names):
            raise ValueError(
                f"names: expected one for each of {len(self.model_names)} models, got {len(self.names)}"
            )
        twice = [name for name, count in Counter(served_names(self)).items() if count > 1]
        if twice:
            raise ValueError(f"two models would be called '{twice[0]}'; fix: names=[…]")
        return self

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token, token_file: expected one of them, got both")
        if self.token is not None and not self.token.get_secret_value():
            raise ValueError("token: expected text; fix: put quotes around it, token=\\'…\\'")
        return self

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models asked for, whichever way they were written."""
        return (*((self.model,) if self.model else ()), *self.models)


def served_names(config: ServeConfig) -> tuple[str, ...]:
    """What requests call the models: never a path of this machine."""
    return config.names or tuple(map(public_name, config.model_names))


def public_name(name: str) -> str:
    """A model's name without the place where it is: of a folder its last part, of the hub's the whole.

    >>> public_name("/data/runs/rte"), public_name("google/flan-t5-base")
    ('rte', 'google/flan-t5-base')
    """
    is_folder = name.startswith(("/", ".", "~")) or Path(name).expanduser().is_dir()
    return Path(name).expanduser().resolve().name if is_folder else name


def token_of(config: ServeConfig) -> tuple[str, str] | None:
    """The token and where it is from, or None.

    Raises:
        DataError: its file cannot be read, or others can read it.
    """
    if config.token is not None:
        return config.token.get_secret_value(), "token"
    if config.token_file is not None:
        return _read(config.token_file), f"token_file={config.token_file}"
    found = os.environ.get("RAMEKIN_TOKEN")
    return (found, "RAMEKIN_TOKEN") if found else None


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "the token's file cannot be read", where=str(path), got=type(error).__name__
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DataError("others can read the token's file", where=str(path), fix=f"chmod 600 {path}")
    return text
