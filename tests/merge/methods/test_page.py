from pathlib import Path

import pytest

from ramekin.merge.methods import METHODS, find_method
from ramekin.merge.settings import settings_to_json

PAGE = Path(__file__).parents[3] / "docs" / "merging.md"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_page_says_what_the_method_says(name: str) -> None:
    method = find_method(name)
    own = settings_to_json(method.parse({}))
    own.pop("preset", None)
    paper = "" if method.paper is None else f"[{method.paper.rsplit('/', 1)[-1]}]({method.paper})"
    settings = ", ".join(f"`{key}={_word(value)}`" for key, value in own.items())
    row = f"| `{name}` | {method.summary} | {paper} | {settings} | {', '.join(method.presets)} |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_has_no_other_methods() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(METHODS)
