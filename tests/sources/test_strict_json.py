import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.sources.strict_json import NotJSON, parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_what_json_writes_is_read_back(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        ('{"a": 1', "Expecting ',' delimiter at the end of the line", 8),
        ('{"a" 1}', "Expecting ':' delimiter at '1}'", 6),
        ("{'a': 1}", "Expecting property name enclosed in double quotes", 2),
        ('{"a": 1} {"b": 2}', "Extra data", 10),
        ('{"a": "x\ty"}', "Invalid control character", 9),
        ("", "Expecting value at the end of the line", 1),
        ('{"a": NaN}', "NaN is not JSON", None),
        ("[Infinity]", "Infinity is not JSON", None),
        ("-Infinity", "-Infinity is not JSON", None),
        ("[1e999]", "the number '1e999' is too large", None),
        ("9" * 5000, "is too large", None),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice", None),
        ('{"x": [{"a": 1, "a": 1}]}', "the key 'a' is given twice", None),
        ("[" * 100_000, "nested too deeply", None),
    ],
)
def test_what_is_not_json(text, reason, at):
    with pytest.raises(NotJSON) as caught:
        parse_json(text)
    assert reason in str(caught.value)
    assert caught.value.at == at


@given(st.text())
def test_anything_else_is_not_json(text):
    """Never another exception."""
    with contextlib.suppress(NotJSON):
        parse_json(text)
