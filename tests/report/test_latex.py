"""Score tables as LaTeX: their text, their structure whatever the names, and that a real LaTeX compiles them."""

import doctest
import re
import shutil
import subprocess
from dataclasses import replace
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramekin.report import latex
from ramekin.report.latex import escape_latex, table_latex
from ramekin.report.values import AVERAGE, Cell, ScoreTable, TableRow, average_cell

PRINTABLE = "".join(map(chr, range(32, 127)))
HOSTILE = (
    PRINTABLE,
    "\\input{/etc/passwd} \\end{tabular}",
    "[x] * y --- ''z'' ``w``",
    "a & b \\\\ c % d $e$ #f ^g ~h _i",
    "é ü Ł ß λ Ω ρ ± − ≈ ↓ – … ¹² · 模型 \u202e\x00",
)


def wide(num_tasks: int, num_models: int) -> ScoreTable:
    rows = []
    for model in range(num_models):
        values = [0.3 + (7 * task + model) % 60 / 100 for task in range(num_tasks)]
        cells = tuple(Cell(value, value - 0.03, value + 0.02, 1000, 0.25) for value in values)
        rows.append(TableRow(f"model {model} (λ=0.3)", (*cells, average_cell(cells))))
    return ScoreTable("Wide", (*(f"high_school_{i}" for i in range(num_tasks)), AVERAGE), tuple(rows))


def without_escapes(text):
    return re.sub(r"\\[\\{}$&#%_^~`'\"=.]", "", text)


def check_structure(text):
    """Braces and environments nest, and every line of a tabular has as many cells as it has columns."""
    body = without_escapes("\n".join(text.splitlines()[1:]))
    depth = 0
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert body.count("$") % 2 == 0 and "%" not in body and "#" not in body and "~" not in body
    open_environments = []
    width = None
    for line in text.splitlines()[1:]:
        for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", line):
            if kind == "begin":
                open_environments.append(name)
            else:
                assert open_environments.pop() == name
        begun = re.match(r"\\begin\{(?:tabular|longtable)\}\{(l r*|lr*)\}$", line)
        if begun:
            width = len(begun.group(1))
        elif line.endswith((" \\\\", " \\\\*")) and "\\caption" not in line:
            spans = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert without_escapes(line).count("&") + 1 + spans == width, line
    assert not open_environments


def test_examples() -> None:
    found = doctest.testmod(latex)
    assert found.attempted > 0 and found.failed == 0


def test_a_table_is_this_text(table) -> None:
    assert table_latex(table, label="tab:merging_λ") == dedent(
        r"""
        % needs \usepackage{booktabs}
        \begin{table}
        \centering
        \caption{Merging methods. Three tasks.}\label{tab:merging}
        \small
        \setlength{\tabcolsep}{2.5pt}
        \begin{tabular}{lrrrr}
        \toprule
        Method & cola & rte & stsb & Average \\
        \midrule
        \multicolumn{5}{l}{\emph{Reference results}} \\
        Pre-trained & $\approx$\emph{49.0} {\scriptsize $\pm$3.0} & $\downarrow$\emph{30.0} {\scriptsize $\pm$3.0} & $\approx$\emph{0.0}\textsuperscript{1} {\scriptsize $\pm$2.0} & -- \\
        Fine-tuned (STL) & \textbf{88.1} {\scriptsize $\pm$3.0} & \textbf{85.9} {\scriptsize $\pm$3.0} & \textbf{88.7} {\scriptsize $\pm$3.0} & 87.6 {\scriptsize $\pm$1.7} \\
        \midrule
        \multicolumn{5}{l}{\emph{Model merging methods}} \\
        Simple average & 69.1 {\scriptsize $\pm$3.0} & 71.2 {\scriptsize $\pm$3.0} & 73.2 {\scriptsize $\pm$3.0} & 71.2 {\scriptsize $\pm$1.7} \\
        TIES-Merging ($\lambda$=0.3) & \textbf{70.3} {\scriptsize $\pm$3.0} & 71.2 {\scriptsize $\pm$3.0} & \textbf{78.3} {\scriptsize $\pm$3.0} & \textbf{73.3} {\scriptsize $\pm$1.7} \\
        \midrule
        \emph{chance} & 50.0 & 50.0 & 0.0 & 33.3 \\
        \emph{n} & 400 & 277 & 400 &  \\
        \bottomrule
        \end{tabular}

        \smallskip
        {\footnotesize Accuracy $\times$ 100; stsb: spearman $\rho$ $\times$ 100. $\pm$: the larger side of the 95\,\% interval. \textbf{Bold}: best of its column within its section. $\approx$: the interval includes the chance level. $\downarrow$: below the chance level. \par}
        {\footnotesize \textsuperscript{1} constant predictions: correlation undefined, reported as 0 \par}
        {\footnotesize Predictions that could not be read as an answer and count as wrong: Pre-trained on stsb 21 of 400. \par}
        \end{table}
        """
    ).lstrip("\n")


def test_many_columns_have_their_half_widths_below() -> None:
    text = table_latex(wide(8, 2))
    assert re.search(r"model 0 \(\$\\lambda\$=0\.3\) & 30\.0 &", text)
    assert re.search(r"\n & \{\\scriptsize \$\\pm\$3\.0\} &", text)
    assert "Below each score" in text and "\\footnotesize\n" in text


def test_a_turned_table_keeps_them_beside_and_cuts_its_columns() -> None:
    text = table_latex(wide(57, 4))
    assert "Below each score" not in text and "$\\pm$: the larger side" in text
    assert text.count("Task & ") == 3 and text.count("high_school_56".replace("_", r"\_")) == 2
    assert text.count("addtocounter") == text.count("\\begin{longtable}") - 1 == 1


def test_more_rows_than_a_page_holds_go_over_pages_under_their_heading() -> None:
    text = table_latex(wide(2, 60))
    assert "\\usepackage{longtable}" in text and "\\begin{table}" not in text
    assert text.count("\\caption{") == 1 and text.count("Model & high") == 2
    assert text.count(" \\\\\n") == 1 + 2 + 60 + 2
    check_structure(text)


@pytest.mark.parametrize(
    "shape", [(0, 0), (3, 1), (8, 5), (12, 3), (27, 2), (57, 1), (57, 4), (30, 40), (3, 60)]
)
def test_every_shape_of_a_table_is_sound_and_loses_no_score(shape) -> None:
    num_tasks, num_models = shape
    table = wide(*shape) if num_models else ScoreTable("E", (), ())
    text = table_latex(table)
    check_structure(text)
    scores = re.findall(r"(?<![\d±$])\d\d\.\d(?!\d)", re.sub(r"\{\\scriptsize[^}]*\}", "", text))
    assert len(scores) >= (num_tasks + 1) * num_models if num_models else not scores


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name) -> None:
    cell = Cell(0.5, 0.4, 0.6, 10, 0.5, 1, name, name)
    rows = (TableRow(name, (cell,), name), TableRow(name, (Cell(0.7),), name))
    text = table_latex(ScoreTable(name, (name,), rows, name, name), label=name)
    check_structure(text)
    assert text.isascii()
    assert "\\input" not in text and text.count("\\end{tabular}") == 1
    assert text.count(escape_latex(name)) >= 6


@settings(max_examples=200)
@given(st.text())
def test_escaped_text_is_ascii_and_holds_no_live_character(text) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii() and "\n" not in escaped
    plain = re.sub(r"\$[^$]*\$", "", without_escapes(escaped))
    assert "$" not in plain and not set("&#%~^_") & set(plain) and plain.count("{") == plain.count("}")
    assert not re.search(r"(?<!\{)[\[*]", escaped)


def test_letters_become_what_latex_can_set() -> None:
    assert escape_latex("λ=0.3 ± −1 ≈ 2") == r"$\lambda$=0.3 $\pm$ $-$1 $\approx$ 2"
    assert escape_latex("naïve façade Ångström") == r"na\"{i}ve fa\c{c}ade \r{A}ngstr\"{o}m"
    assert escape_latex("模") == "{[}U+6A21{]}"
    assert escape_latex("a--b '' c") == "a-{}-b '{}' c"
    assert escape_latex("5–6 … x") == r"5--6 \ldots{} x"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs and longtable")
def test_a_real_latex_compiles_every_kind_and_nothing_sticks_out(table, tmp_path) -> None:
    hostile = [
        ScoreTable(
            name, (name[:9],), (TableRow(name[:20], (Cell(0.5, note=name),), name[:9]),), name, name[:9]
        )
        for name in HOSTILE
    ]
    plain = [table, wide(8, 5), wide(12, 3), wide(27, 2), wide(57, 1), wide(57, 4), wide(3, 60)]
    document = ["\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}"]
    for i, each in enumerate([*plain, *hostile, ScoreTable("E", (), ())]):
        (tmp_path / f"t{i}.tex").write_text(
            table_latex(replace(each, title=f"{i} {each.title}"), label=f"t{i}")
        )
        document.append(f"\\typeout{{=={i}==}}\\input{{t{i}}}\\clearpage")
    (tmp_path / "main.tex").write_text("\n".join([*document, "\\end{document}"]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "main.log").read_text("utf-8", errors="replace")
    assert "Missing character" not in log and "multiply" not in log
    shown = log.split("==7==")[0]
    assert "Overfull" not in shown and "too large" not in shown
