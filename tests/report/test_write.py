import json
from dataclasses import replace

import pytest

from ramekin.errors import ResourceError
from ramekin.report.document import from_json
from ramekin.report.pages import to_html
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
    assert len(written) == 3


def test_a_folder_that_cannot_be_written_is_an_error_with_a_fix(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write.*fix: choose a folder"):
        write_report(report, tmp_path / "file" / "run")
