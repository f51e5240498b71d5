import json
import re
from pathlib import Path

import pytest

from ramekin.errors import RamekinError, UsageError, WeightsError
from ramekin.merge.findings import KINDS, Finding, errors_of, finding_of, raise_errors, warnings_of

SHAPE = Finding(
    kind="shape",
    what="a tensor differs",
    models=("'a'", "'b'"),
    where="w",
    expected="[1]",
    got="[2]",
    fix="f",
)
WARNING = Finding(kind="duplicate-weights", what="the same", severity="warning", where="a and b")
NOTICE = Finding(kind="no-tokenizer", what="none", severity="notice")


def test_the_message_is_that_of_the_error() -> None:
    error = WeightsError("a tensor differs", where="w", expected="[1]", got="[2]", fix="f", kind="shape")
    assert SHAPE.message == str(error) == "a tensor differs: w: expected [1], got [2]; fix: f"
    assert finding_of(error, models=("'a'", "'b'"), otherwise="dtype") == SHAPE
    assert isinstance(SHAPE.to_error(), WeightsError) and SHAPE.to_error().kind == "shape"


@pytest.mark.parametrize("kind", [None, "nothing-of-ours"])
def test_an_error_without_a_kind_gets_one(kind: str | None) -> None:
    found = finding_of(UsageError("x", kind=kind), models=(), otherwise="setting")
    assert (found.kind, found.error) == ("setting", UsageError)


def test_the_first_error_is_raised_and_tells_of_the_others() -> None:
    raise_errors([])
    raise_errors([WARNING, NOTICE])
    with pytest.raises(RamekinError, match=r"; fix: f$"):
        raise_errors([WARNING, SHAPE])
    with pytest.raises(RamekinError, match=r"; fix: f \(2 more: ramekin merge check lists them\)$"):
        raise_errors([SHAPE, NOTICE, SHAPE, SHAPE])
    bare = Finding(kind="pattern", what="x", error=UsageError)
    with pytest.raises(UsageError, match=r"^x; fix: 1 more: ramekin merge check lists them$"):
        raise_errors([bare, SHAPE])
    assert errors_of([NOTICE, SHAPE]) == (SHAPE,) and warnings_of([SHAPE, WARNING, NOTICE]) == (
        "the same: a and b",
    )


def test_kinds_are_listed_with_what_they_are() -> None:
    with pytest.raises(ValueError, match="not listed: 'new'"):
        Finding(kind="new", what="x")
    for kind, text in KINDS.items():
        assert kind == kind.lower() and " " not in kind and text and not text.endswith(".")
    assert json.loads(json.dumps(SHAPE.to_json()))["message"] == SHAPE.message


def test_the_page_on_merging_lists_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "merging.md").read_text(encoding="utf-8")
    section = page[page.index("## Before the merge: do the models") : page.index("What headers cannot tell")]
    listed = re.findall(r"`([a-z-]+)`", section[section.index("- the list:") :])
    assert sorted(listed) == sorted(KINDS)
