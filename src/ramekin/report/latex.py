r"""A score table as LaTeX, to be included in a paper: booktabs, the best in bold, half-widths of intervals.

It compiles with pdfLaTeX, XeLaTeX and LuaLaTeX and needs `\usepackage{booktabs}`; a table of more rows than a
page holds is a `longtable` and needs that package too. Nothing in a name can become a command; letters that
pdfLaTeX has no fonts for are written by their code point. It knows no files.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ramekin.report.tables import Section, ShownCell, ShownRow, ShownTable, show
from ramekin.report.values import ScoreTable
from ramekin.report.wording import clean

__all__ = ["escape_latex", "table_latex"]

_ROOM, _ROOM_SMALLER = 72.0, 83.0  # letters across `article`'s page at \small and at \footnotesize
_GAP: Final = 1.2  # letters between columns
_LABEL: Final = 40  # letters; a longer label counts as this, lest it leaves no room
_ON_A_PAGE: Final = 45  # lines
_GREEK: Final = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *(
        "nu",
        "xi",
        "omicron",
        "pi",
        "rho",
        "varsigma",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "chi",
        "psi",
        "omega",
    ),
)
_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "`": r"\textasciigrave{}",
        '"': "{''}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        # Behind a line's end these would be read as its options.
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",
        "±": r"$\pm$",
        "−": "$-$",
        "×": r"$\times$",
        "≈": r"$\approx$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "→": r"$\rightarrow$",
        "←": r"$\leftarrow$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "≠": r"$\neq$",
        "·": r"$\cdot$",
        "∞": r"$\infty$",
        "°": r"$^\circ$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "§": r"\S{}",
        "–": "--",
        "—": "---",
        "…": r"\ldots{}",
        "‘": "`",
        "’": "'",
        "“": "``",
        "”": "''",
        "ß": r"\ss{}",
        "æ": r"\ae{}",
        "Æ": r"\AE{}",
        "œ": r"\oe{}",
        "Œ": r"\OE{}",
        "ø": r"\o{}",
        "Ø": r"\O{}",
        "ł": r"\l{}",
        "Ł": r"\L{}",
        "ı": r"\i{}",
    }
    | {chr(0x3B1 + i): f"$\\{name}$" for i, name in enumerate(_GREEK) if name != "omicron"}
    | {name: f"$\\{command}$" for name, command in zip("ΓΔΘΛΞΠΣΦΨΩ", (
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
    ), strict=True)}
    | {raised: f"$^{i}$" for i, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
)  # fmt: skip
_ACCENTS: Mapping[str, str] = MappingProxyType(
    {
        "\u0300": r"\`",
        "\u0301": r"\'",
        "\u0302": r"\^",
        "\u0303": r"\~",
        "\u0304": r"\=",
        "\u0306": r"\u",
        "\u0307": r"\.",
        "\u0308": r"\"",
        "\u030a": r"\r",
        "\u030b": r"\H",
        "\u030c": r"\v",
        "\u0327": r"\c",
    }
)


def table_latex(table: ScoreTable, *, label: str = "") -> str:
    r"""One score table as a `table` with its caption before and its key after it.

    Args:
        table: what to show.
        label: for `\ref`; ASCII letters, digits, and `:-.` go into it, all else is left out.

    >>> from ramekin.report.values import Cell, TableRow
    >>> rows = (TableRow("one", (Cell(0.5),)), TableRow("two", (Cell(0.6),)))
    >>> print(table_latex(ScoreTable("Scores", ("rte",), rows)))
    % needs \usepackage{booktabs}
    \begin{table}
    \centering
    \caption{Scores}
    \small
    \setlength{\tabcolsep}{2.5pt}
    \begin{tabular}{lr}
    \toprule
    Model & rte \\
    \midrule
    one & 50.0 \\
    two & \textbf{60.0} \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    \smallskip
    {\footnotesize \textbf{Bold}: best of its column. \par}
    \end{table}
    <BLANKLINE>
    """
    shown = show(table)
    name = "".join(c for c in label if c.isascii() and (c.isalnum() or c in ":-."))
    caption = ". ".join(filter(None, (shown.title.rstrip("."), shown.caption)))
    head = f"\\caption{{{escape_latex(caption)}}}" + (f"\\label{{{name}}}" if name else "")
    parts = _parts(shown, _ROOM, below=False)
    is_smaller = len(parts) > 1
    below = is_smaller and not shown.is_turned
    if is_smaller:
        parts = _parts(shown, _ROOM_SMALLER, below=below)
    if _num_lines(shown, below) * len(parts) <= _ON_A_PAGE:
        grids = ["\n".join(_tabular(shown, part, below)) for part in parts]
        body = "\n\n\\medskip\n".join(grids)
        lines = ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering", head]
        return "\n".join([*lines, *_size(is_smaller), body, "", *_key(shown, below), "\\end{table}", ""])
    lines = ["% needs \\usepackage{booktabs} and \\usepackage{longtable}", "\\begingroup", *_size(is_smaller)]
    for i, part in enumerate(parts):
        lines += _longtable(shown, part, below, head if i == 0 else "")
    return "\n".join([*lines, *_key(shown, below), "\\endgroup", ""])


def escape_latex(text: str) -> str:
    r"""Text in which LaTeX finds nothing to interpret.

    >>> escape_latex("ties_merging λ=0.3, 50 % & é 模")
    "ties\\_merging $\\lambda$=0.3, 50 \\% \\& \\'{e} {[}U+6A21{]}"
    """
    pieces = [_letter(character) for character in clean(text)]
    for i in range(len(pieces) - 1):
        if pieces[i] == pieces[i + 1] and pieces[i] in "-'":  # which would melt into a dash or a quote
            pieces[i] += "{}"
    return "".join(pieces)


def _letter(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if character.isascii():
        return character
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return f"{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _parts(shown: ShownTable, room: float, *, below: bool) -> list[list[int]]:
    """The columns in as many tabulars as a page's width asks for, by the number of letters."""
    label = min(_LABEL, max(len(text) for text in (shown.stub, *(row.label for row in shown.rows))))
    parts: list[list[int]] = [[]]
    left = room - label
    for i in range(len(shown.columns)):
        width = _letters(shown, i, below=below) + _GAP
        if parts[-1] and width > left:
            parts.append([])
            left = room - label
        parts[-1].append(i)
        left -= width
    return parts


def _letters(shown: ShownTable, column: int, *, below: bool) -> int:
    texts = [shown.columns[column], *(numbers[column] for _, numbers in shown.footer)]
    for row in shown.rows:
        cell = row.cells[column]
        if cell is not None:
            beside = f" {cell.plus_minus}" if cell.plus_minus and not below else ""
            texts.append(("~" if cell.standing in ("near", "below") else "") + cell.value + beside)
    return max(map(len, texts))


def _size(is_smaller: bool) -> list[str]:
    return ["\\footnotesize" if is_smaller else "\\small", "\\setlength{\\tabcolsep}{2.5pt}"]


def _num_lines(shown: ShownTable, below: bool) -> int:
    lines = 2 if below and shown.has_intervals else 1
    return lines * len(shown.rows) + len(shown.sections) + len(shown.footer)


def _tabular(shown: ShownTable, columns: Sequence[int], below: bool) -> list[str]:
    return [
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        *_head(shown, columns),
        *_body(shown, columns, below),
        "\\bottomrule",
        "\\end{tabular}",
    ]


def _longtable(shown: ShownTable, columns: Sequence[int], below: bool, head: str) -> list[str]:
    """Its heading is repeated on every page."""
    return [
        f"\\begin{{longtable}}{{l{'r' * len(columns)}}}",
        *([f"{head} \\\\", *_head(shown, columns), "\\endfirsthead"] if head else []),
        *_head(shown, columns),
        "\\endhead",
        "\\bottomrule",
        "\\endfoot",
        *_body(shown, columns, below),
        "\\end{longtable}",
        *([] if head else ["\\addtocounter{table}{-1}"]),  # it counts itself, captioned or not
    ]


def _head(shown: ShownTable, columns: Sequence[int]) -> list[str]:
    return ["\\toprule", _line([escape_latex(shown.stub), *_escaped(shown.columns, columns)]), "\\midrule"]


def _body(shown: ShownTable, columns: Sequence[int], below: bool) -> list[str]:
    lines = []
    for i, section in enumerate(shown.sections):
        if i:
            lines.append("\\midrule")
        lines += _section(section, columns, below)
    if shown.footer:
        lines.append("\\midrule")
        lines += [_line([f"\\emph{{{name}}}", *_escaped(texts, columns)]) for name, texts in shown.footer]
    return lines


def _section(section: Section, columns: Sequence[int], below: bool) -> list[str]:
    heading = f"\\multicolumn{{{len(columns) + 1}}}{{l}}{{\\emph{{{escape_latex(section.group)}}}}} \\\\"
    lines = [heading] if section.group else []
    for row in section.rows:
        lines += _row(row, columns, below)
    return lines


def _row(row: ShownRow, columns: Sequence[int], below: bool) -> list[str]:
    cells = [row.cells[i] for i in columns]
    scores = _line([escape_latex(row.label), *(_score(cell, below) for cell in cells)])
    halves = ["" if cell is None else _half_width(cell) for cell in cells]
    # The star keeps a page from ending between the two.
    return [f"{scores}*", _line(["", *halves])] if below and any(halves) else [scores]


def _score(cell: ShownCell | None, below: bool) -> str:
    if cell is None:
        return "--"
    value = escape_latex(cell.value)
    if cell.best:
        value = f"\\textbf{{{value}}}"
    if cell.standing in ("near", "below"):
        value = f"\\emph{{{value}}}"
    mark = {"near": "$\\approx$", "below": "$\\downarrow$"}.get(cell.standing, "")
    notes = f"\\textsuperscript{{{','.join(map(str, cell.footnotes))}}}" if cell.footnotes else ""
    half = _half_width(cell)
    return mark + value + notes + (f" {half}" if half and not below else "")


def _half_width(cell: ShownCell) -> str:
    return f"{{\\scriptsize {escape_latex(cell.plus_minus)}}}" if cell.plus_minus else ""


def _escaped(texts: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [escape_latex(texts[i]) for i in columns]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _key(shown: ShownTable, below: bool) -> list[str]:
    place = "Below each score" if below else "$\\pm$"
    sentences = [
        f"{escape_latex(shown.metrics)}." if shown.metrics else "",
        f"{place}: the larger side of the 95\\,\\% interval." if shown.has_intervals else "",
        f"\\textbf{{Bold}}: best of {shown.best_of}." if shown.best_of else "",
        "$\\approx$: the interval includes the chance level." if "near" in shown.standings else "",
        "$\\downarrow$: below the chance level." if "below" in shown.standings else "",
    ]
    lines = [
        " ".join(sentence for sentence in sentences if sentence),
        *(f"\\textsuperscript{{{i}}} {escape_latex(note)}" for i, note in enumerate(shown.footnotes, 1)),
        escape_latex(shown.unparsable),
    ]
    found = [line for line in lines if line]
    return ["\\smallskip", *(f"{{\\footnotesize {line} \\par}}" for line in found)] if found else []
