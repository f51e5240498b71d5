"""Answers as lines: plain text, JSON lines or a table.

Knows nothing of where they are shown.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ramekin.recipes.generating.answering import Answer
from ramekin.recipes.generating.prompts import Prompt
from ramekin.report.markdown import text_table_markdown
from ramekin.report.values import TextTable

__all__ = ["answer_lines", "answer_values", "json_line", "table_text"]

_SHOWN = 60


def answer_values(prompt: Prompt, answer: Answer) -> dict[str, Any]:
    """A prompt and its outputs as JSON values."""
    values: dict[str, Any] = {"prompt": prompt.example.inputs, "where": prompt.where}
    if prompt.record is not None:
        values["record"] = dict(prompt.record)
    if answer.error is not None:
        return values | {"error": str(answer.error)}
    outputs: list[dict[str, Any]] = []
    for output in answer.outputs:
        one: dict[str, Any] = {
            "text": output.text,
            "ending": output.ending,
            "num_tokens": len(output.tokens),
        }
        if output.log_probs:
            one |= {"log_prob": output.log_prob, "token_log_probs": list(output.log_probs)}
        outputs.append(one)
    return values | {"outputs": outputs}


def json_line(prompt: Prompt, answer: Answer) -> str:
    """`answer_values` in one line."""
    return json.dumps(answer_values(prompt, answer), ensure_ascii=False, allow_nan=False, default=str)


def answer_lines(prompt: Prompt, answer: Answer, *, several: bool) -> list[str]:
    """A line an output; several outputs a prompt are numbered, of several prompts by both.

    Args:
        prompt: what was asked.
        answer: what was written.
        several: whether there are several prompts.
    """
    if answer.error is not None:
        return [f"({prompt.where}: {answer.error})"]
    texts = [output.text for output in answer.outputs]
    if len(texts) == 1:
        return texts
    lead = f"{answer.index + 1}." if several else ""
    return [f"{lead}{number}  {text}" for number, text in enumerate(texts, start=1)]


def table_text(prompts: Sequence[Prompt], answers: Mapping[int, Answer], *, log_probs: bool) -> str:
    """All answers as a Markdown table, long prompts shortened."""
    columns = ("prompt", "output", "tokens", *(("log p",) if log_probs else ()), "ends")
    rows: list[tuple[str, ...]] = []
    for index, prompt in enumerate(prompts):
        answer, asked = answers[index], _short(prompt.example.inputs)
        if answer.error is not None:
            rows.append((asked, str(answer.error), *[""] * (len(columns) - 2)))
        for output in answer.outputs:
            score = (f"{output.log_prob:.2f}",) if log_probs else ()
            rows.append((asked, output.text, str(len(output.tokens)), *score, output.ending))
    return text_table_markdown(TextTable("answers", columns, tuple(rows)))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
