import json
from dataclasses import replace

import pytest

from ramekin.errors import ResourceError
from ramekin.report.csv_table import table_csv
from ramekin.report.document import from_json
from ramekin.report.latex import table_latex
from ramekin.report.markdown import table_markdown
from ramekin.report.pages import to_html
from ramekin.report.terminal import table_text
from ramekin.report.values import Report, RunFacts, Sweep
from ramekin.report.write import write_report


def test_all_forms_are_written_and_agree(report, tmp_path):
    written = write_report(report, tmp_path / "run")
    assert sorted(str(path.relative_to(tmp_path / "run")) for path in written) == [
        "plots/1-along.png",
        "plots/1-along.svg",
        "report.html",
        "report.json",
        "report.md",
        "tables/1-merging-methods.csv",
        "tables/1-merging-methods.md",
        "tables/1-merging-methods.tex",
        "tables/1-merging-methods.txt",
        "tables/sweep-1-along.csv",
        "tables/sweep-1-along.md",
        "tables/sweep-1-along.tex",
        "tables/sweep-1-along.txt",
    ]
    assert written[0].read_text("utf-8") == to_html(report)
    assert from_json(json.loads((tmp_path / "run/report.json").read_text("utf-8"))) == report
    assert "](plots/1-along.svg)" in (tmp_path / "run/report.md").read_text("utf-8")
    assert not [path for path in (tmp_path / "run").rglob(".tmp-*")]


def test_writing_again_gives_the_same_bytes_and_leaves_other_files(report, tmp_path):
    (tmp_path / "events.jsonl").write_text("{}\n")
    first = {path: path.read_bytes() for path in write_report(report, tmp_path)}
    second = {path: path.read_bytes() for path in write_report(report, tmp_path)}
    assert first == second
    assert (tmp_path / "events.jsonl").read_text() == "{}\n"


def test_json_keeps_letters_as_letters(report, tmp_path):
    write_report(report, tmp_path)
    assert "TIES-Merging (λ=0.3)" in (tmp_path / "report.json").read_text("utf-8")


def test_a_command_with_bytes_that_are_no_text_is_still_written_whole(tmp_path):
    report = Report("T", facts=RunFacts(command="ramekin demo output=caf\udce9"))
    write_report(report, tmp_path)
    assert from_json(json.loads((tmp_path / "report.json").read_text("utf-8"))) == report


def test_a_sweep_without_points_has_no_plot(report, tmp_path):
    written = write_report(replace(report, sweeps=(Sweep("S", (), ()),)), tmp_path)
    assert not (tmp_path / "plots").exists()
    assert sum(path.parent == tmp_path for path in written) == 3


def test_each_score_table_stands_by_itself_in_four_forms(report, table, tmp_path):
    write_report(report, tmp_path)
    folder = tmp_path / "tables"
    forms = {
        ".tex": table_latex(table, label="tab:1-merging-methods"),
        ".csv": table_csv(table),
        ".md": table_markdown(table) + "\n",
        ".txt": table_text(table),
    }
    for ending, text in forms.items():
        assert (folder / f"1-merging-methods{ending}").read_text("utf-8") == text
    assert "Pre-trained" in (folder / "sweep-1-along.txt").read_text("utf-8")


def test_tables_of_one_title_do_not_overwrite_each_other(table, tmp_path):
    blank = replace(table, title="λ")
    write_report(Report("T", tables=(table, table, blank)), tmp_path)
    names = sorted(path.name for path in (tmp_path / "tables").glob("*.csv"))
    assert names == ["1-merging-methods.csv", "2-merging-methods.csv", "3-table.csv"]


def test_a_folder_that_cannot_be_written_is_an_error_with_a_fix(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write.*fix: choose a folder"):
        write_report(report, tmp_path / "file" / "run")
