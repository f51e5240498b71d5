"""The recipe behind `ramekin generate`: prompts from anywhere, a model by name, answers as they come."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ramekin.errors import DataError
from ramekin.files import write_json, write_text
from ramekin.infer.decoding import Decoding
from ramekin.infer.request import Form, Request
from ramekin.recipes.generate_schema import GenerateConfig
from ramekin.recipes.generating.answering import Answer, answers_of
from ramekin.recipes.generating.papers import MAX_PAPER_TOKENS, paper_cards
from ramekin.recipes.generating.prompts import Prompt, Prompts, read_prompts
from ramekin.recipes.generating.shown import answer_lines, json_line, table_text
from ramekin.recipes.memory import free_bytes, longest_input
from ramekin.recipes.models import check_named, locate_tokenizer
from ramekin.recipes.outcome import Outcome
from ramekin.recipes.places import cache_root, pick_device, places_of, set_threads
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.runs import command_line, fresh_folder, run_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from ramekin.recipes.engines import OpenEngine
    from ramekin.tensors.encode import EncodedSet

__all__ = ["OnLines", "asking", "encoded_prompts", "execute", "opened_engine", "plan", "settings_text"]

OnLines: TypeAlias = Callable[[Sequence[str]], None]
"""Told the lines of the answers in the order of the prompts, as they come."""

_MOST_INPUT_TOKENS = 16384
"""Without a limit of the user's: attention to twice as many tokens takes four times as long."""


def plan(config: GenerateConfig) -> Outcome:
    """What would be asked, and how; no weights are loaded."""
    from ramekin.tensors.tokenizer import load_tokenizer

    prompts = read_prompts(config)
    places = places_of(config)
    tokenizer = load_tokenizer(locate_tokenizer(config.model, places, SilentProgress(), base=config.base))
    encoded = encoded_prompts(prompts, tokenizer, config)
    lengths = sorted(len(each.input_ids) for each in encoded.items)
    values: dict[str, Any] = {
        "model": config.model,
        "prompts": len(prompts.items),
        "origin": prompts.origin,
        "mean_input_tokens": sum(lengths) / len(lengths),
        "max_input_tokens": lengths[-1],
        "truncated_inputs": encoded.truncated_inputs,
        "unknown_inputs": encoded.unknown_inputs,
        "settings": settings_text(config.decoding, config),
    }
    first = prompts.items[0]
    lines = [
        f"{len(prompts.items)} prompts from {prompts.origin}, {values['mean_input_tokens']:.0f} tokens on "
        f"average, {lengths[-1]} at most",
        *prompts.notes,
        *_losses(encoded, len(prompts.items)),
        f"settings: {values['settings']}",
        f"the first: {first.example.inputs}",
    ]
    return Outcome(values, "\n".join(lines))


def execute(config: GenerateConfig, progress: AbstractProgress, on_lines: OnLines | None = None) -> Outcome:
    """Write for all prompts.

    Args:
        config: what is asked.
        progress: told how far it is.
        on_lines: told the answers' lines in their order as they come; without it they are the outcome's text.
    """
    prompts = read_prompts(config)
    output = config.output
    if output is None and prompts.papers:
        output = fresh_folder("generate")  # pairs are files: for people, for programs, for Anki
    if output is None:
        return _written(config, prompts, progress, on_lines, None)
    with run_folder(output, config) as folder:
        return _written(config, prompts, progress, on_lines, folder)


def _written(
    config: GenerateConfig,
    prompts: Prompts,
    progress: AbstractProgress,
    on_lines: OnLines | None,
    folder: Path | None,
) -> Outcome:
    opened = opened_engine(config, progress)
    with closing(opened.engine):
        return _answered(opened, config, prompts, progress, on_lines, folder)


def _answered(
    opened: "OpenEngine",
    config: GenerateConfig,
    prompts: Prompts,
    progress: AbstractProgress,
    on_lines: OnLines | None,
    folder: Path | None,
) -> Outcome:
    from ramekin.infer.kept import versions

    for note in prompts.notes:
        progress.say(note)
    encoded = encoded_prompts(prompts, opened.tokenizer, config)
    for note in _losses(encoded, len(prompts.items)):
        progress.say(note)
    _check_memory(opened, prompts, encoded, free_bytes(pick_device(config.device)))
    asked = config.with_values(log_probs=True) if prompts.papers else config
    ask = asking(asked, opened.tokenizer)
    requests = [ask(each.input_ids) for each in encoded.items]
    started = time.perf_counter()
    answers: dict[int, Answer] = {}
    lines: list[str] = []
    shown = 0
    tell = on_lines if on_lines is not None else lines.extend
    count = len(prompts.items)
    with progress.stage("write", total=count) if count > 1 else nullcontext() as stage:
        found = answers_of(
            opened, requests, folder=config.answers or cache_root() / "answers", versions=versions()
        )
        for answer in found:
            answers[answer.index] = answer
            if stage is not None:
                stage.advance()
            while shown in answers:
                if folder is None and config.format != "table":
                    tell(_lines(config, prompts.items[shown], answers[shown], several=count > 1))
                shown += 1
    seconds = time.perf_counter() - started
    if folder is None and config.format == "table":
        tell([table_text(prompts.items, answers, log_probs=config.log_probs)])
    ordered = [answers[index] for index in range(count)]
    values = _values(config, opened, prompts, encoded, ordered, seconds)
    if count == 1 and ordered[0].error is not None:
        raise ordered[0].error
    if folder is not None:
        lines = list(_files(folder, config, prompts, ordered, values))
    if folder is not None and prompts.papers:
        lines = [*_pair_files(folder, config, prompts, answers, values), *lines]
    failed = values["failed"]
    if failed:
        progress.say(f"{failed} of {count} prompts could not be answered; the reasons stand in their places")
    return Outcome(values, "\n".join(lines))


def opened_engine(config: GenerateConfig, progress: AbstractProgress) -> "OpenEngine":
    """The model, ready to write, after a word on how it will."""
    from ramekin.recipes.engines import open_engine

    check_named(config.model, places_of(config))
    set_threads(config.threads)
    with progress.stage(f"open {config.model}"):
        opened = open_engine(
            config.model,
            places_of(config),
            progress,
            base=config.base,
            backend=config.backend,
            device=pick_device(config.device),
            batch_tokens=config.batch_tokens,
            threads=config.threads,
            untested=config.untested == "allow",
        )
    progress.say(f"{config.model}: {settings_text(config.decoding, config)}")
    if opened.ignored:
        progress.say(f"the checkpoint's own generation settings are not read: {', '.join(opened.ignored)}")
    return opened


def asking(
    config: GenerateConfig, tokenizer: "PreTrainedTokenizerFast"
) -> Callable[[Sequence[int]], Request]:
    """From the token ids of a prompt to what is asked about it.

    Raises:
        DataError: the prefix has characters that the vocabulary does not have, or the schema's file is bad.
    """
    from ramekin.tensors.tokenizer import has_unknown, token_ids

    prefix = tuple(token_ids(tokenizer, [config.prefix])[0]) if config.prefix else ()
    if has_unknown(prefix):
        raise DataError(
            "the prefix cannot be written",
            where=f"prefix={config.prefix!r}",
            expected="characters that the vocabulary has",
        )
    decoding, form = config.decoding, _form(config)
    return lambda input_ids: Request(
        tuple(input_ids),
        config.max_target_tokens,
        decoding,
        stop=config.stop,
        prefix_ids=prefix,
        form=form,
        log_probs=config.log_probs,
    )


def _form(config: GenerateConfig) -> Form | None:
    if config.json_schema is not None:
        return Form(json_schema=_schema(config.json_schema))
    if config.regex is None and not config.options:
        return None
    return Form(config.options, config.regex)


def _schema(path: Path) -> Mapping[str, Any]:
    from ramekin.sources.strict_json import NotJSON, parse_json

    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NotJSON) as error:
        raise DataError("the JSON schema cannot be read", where=str(path), got=str(error)) from error
    if not isinstance(found, dict):
        raise DataError(
            "the JSON schema is no object", where=str(path), expected='{"type": …}', got=repr(found)[:60]
        )
    return found


def settings_text(decoding: Decoding, config: GenerateConfig) -> str:
    """How text is written, all that decides it named: other tools add limits that nobody asked for."""
    length = f"at most {config.max_target_tokens} tokens"
    if decoding.num_beams > 1:
        how = f"beam search, num_beams={decoding.num_beams} length_penalty={decoding.length_penalty:g}"
    elif decoding.is_random:
        filters = f"top_k={decoding.top_k or 'all'} top_p={decoding.top_p:g} typical_p={decoding.typical_p:g}"
        how = f"sampled, temperature={decoding.sampling_temperature:g} {filters} seed={decoding.seed}"
    else:
        how = "greedy"
    several = f", n={decoding.num_samples}" if decoding.num_samples > 1 else ""
    return f"{how}{several}, {length}"


def encoded_prompts(
    prompts: Prompts, tokenizer: "PreTrainedTokenizerFast", config: GenerateConfig
) -> "EncodedSet":
    """The prompts as token ids, cut where a limit says so.

    Raises:
        DataError: one is too long, and no limit says that it may be cut.
    """
    from ramekin.tensors.encode import encode

    examples = [prompt.example._replace(targets=".") for prompt in prompts.items]
    limit = config.max_input_tokens or (MAX_PAPER_TOKENS if prompts.papers else None)
    encoded = encode(examples, tokenizer, max_input_tokens=limit or _MOST_INPUT_TOKENS)
    if limit is None and encoded.truncated_inputs:
        longest = max(prompts.items, key=lambda prompt: len(prompt.example.inputs))
        raise DataError(
            "a prompt is too long",
            where=longest.where,
            expected=f"at most {_MOST_INPUT_TOKENS:,} tokens",
            got=f"{len(longest.example.inputs):,} characters",
            fix="shorten it, or let it be cut: max_input_tokens=1024",
        )
    return encoded


def _check_memory(opened: "OpenEngine", prompts: Prompts, encoded: "EncodedSet", free: int | None) -> None:
    """Refuse prompts that there is no memory to read, before the system ends the program."""
    if not opened.engine.pair_bytes or free is None:
        return
    most = longest_input(opened.engine.pair_bytes, free)
    for prompt, item in zip(prompts.items, encoded.items, strict=True):
        if len(item.input_ids) > most:
            raise DataError(
                f"reading the prompt would take more than half of the {free / 1e9:.1f} GB that are free",
                where=prompt.where,
                expected=f"at most {most:,} tokens",
                got=f"{len(item.input_ids):,}",
                fix=f"let it be cut: max_input_tokens={most}; or take the checkpoint that was exported",
            )


def _losses(encoded: "EncodedSet", count: int) -> Iterator[str]:
    """What the model will not see of the prompts."""
    if encoded.truncated_inputs:
        longest = max(len(each.input_ids) for each in encoded.items)
        yield (
            f"{encoded.truncated_inputs} of {count} prompts were cut to {longest} tokens: "
            f"{encoded.lost_tokens} tokens lost"
        )
    if encoded.unknown_inputs:
        yield f"{encoded.unknown_inputs} of {count} prompts have characters that the vocabulary does not have"


def _lines(config: GenerateConfig, prompt: Prompt, answer: Answer, *, several: bool) -> list[str]:
    if config.format == "jsonl":
        return [json_line(prompt, answer)]
    return answer_lines(prompt, answer, several=several)


def _values(
    config: GenerateConfig,
    opened: "OpenEngine",
    prompts: Prompts,
    encoded: "EncodedSet",
    answers: Sequence[Answer],
    seconds: float,
) -> dict[str, Any]:
    from ramekin.infer.kept import versions
    from ramekin.tensors.tokenizer import has_unknown

    outputs = [output for answer in answers for output in answer.outputs]
    written = [output for answer in answers if not answer.was_kept for output in answer.outputs]
    return {
        "model": config.model,
        "backend": opened.backend,
        "settings": settings_text(config.decoding, config),
        "origin": prompts.origin,
        "prompts": len(prompts.items),
        "failed": sum(answer.error is not None for answer in answers),
        "kept": sum(answer.was_kept for answer in answers),
        "truncated_inputs": encoded.truncated_inputs,
        "lost_tokens": encoded.lost_tokens,
        "unknown_inputs": encoded.unknown_inputs,
        "outputs": len(outputs),
        "outputs_cut_by_length": sum(output.ending == "length" for output in outputs),
        "outputs_with_unknown": sum(has_unknown(output.tokens) for output in outputs),
        "tokens": sum(len(output.tokens) for output in outputs),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(sum(len(each.tokens) for each in written) / max(seconds, 1e-9), 1),
        "versions": versions(),
    }


def _pair_files(
    folder: Path,
    config: GenerateConfig,
    prompts: Prompts,
    answers: Mapping[int, Answer],
    values: Mapping[str, Any],
) -> Iterator[str]:
    """Write the pairs as JSON, Markdown and CSV; gives them to read."""
    from ramekin.report.cards import cards_markdown, write_cards

    cards = paper_cards(prompts.papers, answers, support_weight=config.support_weight)
    settings = {key: values[key] for key in ("model", "settings")} | {"task": config.task or "own/template"}
    write_cards(cards, folder, settings=settings)
    yield cards_markdown(cards)


def _files(
    folder: Path,
    config: GenerateConfig,
    prompts: Prompts,
    answers: Sequence[Answer],
    values: Mapping[str, Any],
) -> Iterator[str]:
    """Write the answers and the report; gives the lines that tell of them."""
    pairs = list(zip(prompts.items, answers, strict=True))
    write_text(folder / "outputs.jsonl", "".join(f"{json_line(*pair)}\n" for pair in pairs))
    if config.format == "table":
        table = table_text(prompts.items, dict(enumerate(answers)), log_probs=config.log_probs)
        write_text(folder / "outputs.md", f"{table}\n")
    elif config.format == "text":
        texts = [line for pair in pairs for line in answer_lines(*pair, several=len(pairs) > 1)]
        write_text(folder / "outputs.txt", "".join(f"{line}\n" for line in texts))
    write_json(folder / "report.json", {"command": command_line(), "seed": config.seed, **values})
    yield (
        f"{values['outputs']} outputs for {values['prompts']} prompts, {values['tokens']} tokens "
        f"({values['kept']} prompts were answered before), {values['tokens_per_second']:.0f} tokens a second"
    )
    if values["outputs_cut_by_length"]:
        yield f"{values['outputs_cut_by_length']} outputs were cut at {config.max_target_tokens} tokens"
    yield f"written to {folder}"
