"""A suite put to a model in memory, from Python: rows found, rendered, tokenised, answered and scored."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ramekin.catalog import Catalog
from ramekin.catalog.suites import load_suite
from ramekin.errors import MISSING_DATA, DataError
from ramekin.recipes.evaluations.asking import AskedEntry, CountTokens, Missing, ask
from ramekin.recipes.evaluations.found import SuiteResult, suite_result
from ramekin.recipes.places import Places
from ramekin.text.suite import Suite, changed, suite_entries

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from ramekin.evaluate.answering import OnProgress

__all__ = ["MAX_INPUT_TOKENS", "asked_suite", "evaluate_suite", "token_counter"]

MAX_INPUT_TOKENS = 512
"""What prompts are cut to where neither suite nor user says."""


def evaluate_suite(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    suite: Suite | str,
    *,
    name: str = "model",
    places: Places = Places(),  # noqa: B008 -- a frozen value
    rules: Mapping[str, Any] = MappingProxyType({}),
    settings: Mapping[str, Any] = MappingProxyType({}),
    batch_tokens: int = 8192,
    max_input_tokens: int = MAX_INPUT_TOKENS,
    seed: int = 0,
    strict: bool = False,
    journal: Path | None = None,
    on_progress: "OnProgress | None" = None,
) -> SuiteResult:
    """Score a model on a suite.

    Args:
        model: an encoder-decoder, on the device it shall run on.
        tokenizer: its tokenizer.
        suite: a suite, or what `load_suite` takes: a name, a file, a task or pattern, a mixture.
        name: the model's, in the result.
        places: where data is.
        rules: what is changed of every mode, such as `option_eos=False`.
        settings: what is changed of every task's settings, such as `limit=100` or `mode="rank"`.
        batch_tokens: padded tokens in a batch.
        max_input_tokens: what prompts are cut to where a task's settings do not say.
        seed: of exemplars, samples and intervals.
        strict: data that is missing is an error; else it is told in the result.
        journal: a folder that keeps finished answers.
        on_progress: told after each batch how far it is.

    Raises:
        UsageError: something does not exist, or settings do not go together.
        DataError: rows cannot be used, or nothing of the suite is there.
    """
    from ramekin.evaluate.runner import encode_sets, evaluate_encoded

    found = load_suite(suite, Catalog(places.tasks_root)) if isinstance(suite, str) else suite
    found = changed(found, **settings)
    asked, missing = asked_suite(
        found,
        places=places,
        rules=rules,
        seed=seed,
        max_input_tokens=max_input_tokens,
        count_tokens=token_counter(tokenizer),
        strict=strict,
    )
    evaluation = evaluate_encoded(
        model,
        tokenizer,
        encode_sets(
            [each.eval_set for one in asked for each in one.sets],
            tokenizer,
            max_input_tokens=max_input_tokens,
        ),
        batch_tokens=batch_tokens,
        seed=seed,
        max_input_tokens=max_input_tokens,
        on_progress=on_progress,
        journal=journal,
    )
    return suite_result(name, found, asked, missing, evaluation, seed=seed)


def asked_suite(
    suite: Suite,
    *,
    places: Places,
    rules: Mapping[str, Any],
    seed: int,
    max_input_tokens: int,
    count_tokens: CountTokens | None,
    strict: bool,
) -> tuple[tuple[AskedEntry, ...], tuple[Missing, ...]]:
    """Everything that a suite asks, and what is missing; see `ask`.

    Raises:
        DataError: all of it is missing.
    """
    asked, missing = ask(
        suite_entries(suite),
        places=places,
        rules=rules,
        seed=seed,
        max_input_tokens=max_input_tokens,
        count_tokens=count_tokens,
        strict=strict,
    )
    if not asked:
        raise DataError(
            f"nothing of the suite '{suite.name}' is there",
            expected="the data of one task at least",
            got="; ".join(map(str, missing)),
            kind=MISSING_DATA,
        )
    return asked, missing


def token_counter(tokenizer: "PreTrainedTokenizerFast") -> CountTokens:
    """Counts the tokens of a text."""
    from ramekin.tensors.tokenizer import token_ids

    return lambda text: len(token_ids(tokenizer, [text])[0])
