"""Questions and answers on papers as JSON, as Markdown to read, and as CSV that Anki imports.

CSV has the header lines of Anki's text import (https://docs.ankiweb.net/importing/text-files.html); a
spreadsheet opens it, too, and runs nothing in it.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.files import write_text
from ramekin.report.markdown import escape
from ramekin.report.wording import clean
from ramekin.sources.papers import Paper
from ramekin.text.pairs import Pair, Pairs

__all__ = ["FORMAT", "PaperCards", "cards_csv", "cards_json", "cards_markdown", "write_cards"]

FORMAT = "ramekin.pairs/1"

_COLUMNS = ("Question", "Answer", "Paper", "Support", "Mean log-probability", "Times")
_RANKING = "score = (1 - support_weight) * exp(mean_log_prob) + support_weight * support"
_FORMULA = re.compile(r"[=+\-@＝＋－＠−]")
_NUMBER = re.compile(r"[+\-−]?\d+(?:[.,]\d+)*\s?%?")


@final
@dataclass(frozen=True, slots=True)
class PaperCards:
    """A paper and its pairs, the best first."""

    paper: Paper
    pairs: Pairs

    @property
    def name(self) -> str:
        """The paper's title, or its file's name where none is known."""
        return clean(self.paper.title) or clean(Path(self.paper.where).name)


def cards_json(
    cards: Sequence[PaperCards], *, settings: Mapping[str, object] | None = None
) -> dict[str, object]:
    """All that is known of the pairs, as JSON values; log-probabilities are in nats.

    Args:
        cards: one a paper.
        settings: what they were made with, such as model and sampling.
    """
    return {
        "format": FORMAT,
        "ranking": _RANKING,
        "settings": dict(settings or {}),
        "papers": [_paper_json(each) for each in cards],
    }


def _paper_json(cards: PaperCards) -> dict[str, object]:
    paper, pairs = cards.paper, cards.pairs
    return {
        "title": paper.title,
        "file": paper.where,
        "remarks": list(paper.remarks),
        "support_weight": pairs.support_weight,
        "outputs": pairs.num_outputs,
        "joined": pairs.num_joined,
        "shortened": pairs.num_shortened,
        "dropped": [{"reason": each.reason, "text": each.text} for each in pairs.dropped],
        "pairs": [_pair_json(pair, pairs.support_weight) for pair in pairs.pairs],
    }


def _pair_json(pair: Pair, support_weight: float) -> dict[str, object]:
    return {
        "question": pair.question,
        "answer": pair.answer,
        "score": pair.score(support_weight),
        "support": pair.support,
        "mean_log_prob": pair.mean_log_prob,
        "log_prob": pair.log_prob,
        "num_tokens": pair.num_tokens,
        "times": pair.times,
    }


def cards_markdown(cards: Sequence[PaperCards], *, settings: Mapping[str, object] | None = None) -> str:
    """The pairs to read: a heading a paper, a number a pair, and what speaks for each."""
    blocks = ["# Questions and answers"]
    if settings:
        blocks.append(
            "\n".join(f"- {escape(name)}: {escape(str(value))}" for name, value in settings.items())
        )
    for each in cards:
        blocks += [f"## {escape(each.name)}", _told(each)]
        blocks += [_pair_markdown(number, pair) for number, pair in enumerate(each.pairs.pairs, 1)]
    return "\n\n".join(blocks) + "\n"


def _told(cards: PaperCards) -> str:
    pairs = cards.pairs
    counts = [
        f"{len(pairs.pairs)} pairs of {pairs.num_outputs} outputs",
        *([f"{pairs.num_joined} joined with one that asks the same"] if pairs.num_joined else []),
        *([f"{pairs.num_shortened} shortened to whole sentences"] if pairs.num_shortened else []),
        *(f"{count} dropped ({reason})" for reason, count in pairs.counts.items()),
    ]
    remarks = [f"> {escape(remark)}." for remark in cards.paper.remarks]
    quoted = "\n>\n".join(remarks)
    file = f"{escape(cards.paper.where)}: {', '.join(counts)}."
    return f"{file}\n\n{quoted}" if quoted else file


def _pair_markdown(number: int, pair: Pair) -> str:
    times = f", written {pair.times} times" if pair.times > 1 else ""
    figures = f"support {pair.support:.2f}, log-probability {pair.mean_log_prob:.2f} a token{times}"
    indent = " " * (len(str(number)) + 2)
    return f"{number}. **{escape(pair.question)}**\n\n{indent}{escape(pair.answer)}\n\n{indent}*{figures}*"


def cards_csv(cards: Sequence[PaperCards]) -> str:
    """The pairs of all papers as CSV in UTF-8, with the header lines that Anki reads.

    Every cell is in quotes: one that begins with `#` would be a comment to Anki. A cell of text that a
    spreadsheet would take for a formula begins with an apostrophe; a plain number does not.

    >>> paper = Paper("Of Flans", "", "", "flans.pdf")
    >>> pairs = Pairs((Pair("What is baked?", "=flans", -1.0, 2, 0.5),), 1)
    >>> print(cards_csv([PaperCards(paper, pairs)]), end="")
    #separator:Comma
    #html:false
    #columns:Question,Answer,Paper,Support,Mean log-probability,Times
    "What is baked?","'=flans","Of Flans","0.5000","-0.5000","1"
    """
    text = io.StringIO()
    text.write(f"#separator:Comma\n#html:false\n#columns:{','.join(_COLUMNS)}\n")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for each in cards:
        for pair in each.pairs.pairs:
            figures = (f"{pair.support:.4f}", f"{pair.mean_log_prob:.4f}", str(pair.times))
            writer.writerow([*map(_cell, (pair.question, pair.answer, each.name)), *figures])
    return text.getvalue()


def _cell(text: str) -> str:
    text = clean(text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def write_cards(
    cards: Sequence[PaperCards],
    folder: Path,
    *,
    name: str = "pairs",
    settings: Mapping[str, object] | None = None,
) -> tuple[Path, ...]:
    """Write `pairs.json`, `pairs.md` and `pairs.csv`, each atomically, and return their paths.

    Args:
        cards: one a paper.
        folder: where; it is made if it is not there.
        name: of the files, without extension.
        settings: what the pairs were made with.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    document = cards_json(cards, settings=settings)
    texts = {
        "json": _json_text(document),
        "md": cards_markdown(cards, settings=settings),
        "csv": cards_csv(cards),
    }
    paths = {extension: folder / f"{name}.{extension}" for extension in texts}
    for extension, path in paths.items():
        write_text(path, texts[extension])
    return tuple(paths.values())


def _json_text(document: Mapping[str, object]) -> str:
    """Readable JSON; in ASCII where a file's name is not valid Unicode."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    is_unicode = not any("\ud800" <= character <= "\udfff" for character in text)
    return (text if is_unicode else json.dumps(document, indent=2, allow_nan=False)) + "\n"
