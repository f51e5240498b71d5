import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramekin.serve.bodies import Bodies, ClientLeftError, checked_json
from ramekin.serve.limits import Limits
from ramekin.serve.refusals import RefusalError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_json_holds_is_read(value, escaped):
    assert checked_json(json.dumps(value, ensure_ascii=escaped).encode(), depth=40) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b'{"b": [{"a": 1, "a": 1}]}', "given twice"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (rb'{"a": "\ud800"}', "surrogate"),
        (rb'{"a": ["x", {"\udc00": 1}]}', "surrogate"),
        (rb'{"a": "\ude00\ud83d"}', "surrogate"),
        (b"[" * 33 + b"]" * 33, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "nested too deeply"),
        (b'{"a": 01}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
    ],
)
def test_what_readers_disagree_about_is_refused(body, said):
    with pytest.raises(RefusalError, match=said) as told:
        checked_json(body, depth=32)
    assert told.value.status == 400
    assert told.value.__cause__ is None


def test_just_as_deep_as_it_may_be():
    assert checked_json(b"[" * 32 + b"]" * 32, depth=32)


def test_a_whole_pair_of_surrogates_is_a_character():
    assert checked_json(rb'["\ud83d\ude00"]', depth=2) == ["\U0001f600"]


async def call(messages, *, headers=(), method="POST", **limits):
    """What `Bodies` does with messages: (status, the body that got through, how many messages were taken)."""
    got, sent, taken = [], [], []

    async def app(scope, receive, send):
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive():
        if len(taken) == len(messages):
            await asyncio.sleep(60)
        message = messages[len(taken)]
        taken.append(message)
        if isinstance(message, float):
            await asyncio.sleep(message)
            return {"type": "http.request", "body": b" ", "more_body": True}
        if message is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": message, "more_body": len(taken) < len(messages)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "headers": [(b"content-type", b"application/json"), *headers]}
    bodies = Bodies(app, Limits(**limits))
    try:
        await bodies(scope, receive, send)
    finally:
        assert bodies._held == 0
    return sent[0]["status"] if sent else None, got[0] if got else None, len(taken)


def run(*arguments, **named):
    return asyncio.run(call(*arguments, **named))


def test_parts_are_put_together():
    assert run([b'{"a"', b":", b"1}"]) == (200, b'{"a":1}', 3)


def test_a_body_is_counted_as_it_comes_in_whatever_is_said_of_it():
    parts = [b'"' + b"x" * 600, b"x" * 600, b'"']
    assert run(parts, headers=[(b"content-length", b"3")], body_bytes=1000)[0] == 413
    assert run(parts, body_bytes=1000)[0] == 413
    assert run(parts, body_bytes=2000)[0] == 200


def test_what_is_said_to_be_too_long_is_not_read_for_long():
    status, body, taken = run([b"x" * 500_000] * 400, headers=[(b"content-length", b"9999999999")])
    assert (status, body) == (413, None)
    assert taken < 12


def test_an_endless_body_ends():
    status, body, taken = run([b"x" * 65_536] * 10_000)
    assert (status, body) == (413, None)
    assert taken < 17 + 66


def test_a_slow_body_is_not_waited_for():
    assert run([0.02] * 1000, body_seconds=0.1)[:2] == (408, None)


def test_the_bodies_of_all_open_requests_have_a_bound():
    async def several():
        limits = Limits(body_bytes=1000, bodies_bytes=1500)
        statuses = []

        async def app(scope, receive, send):
            await asyncio.sleep(0.1)
            await send({"type": "http.response.start", "status": 200})

        bodies = Bodies(app, limits)

        async def one():
            parts = iter([(b'"' + b"x" * 800, True), (b'"', False)])

            async def receive():
                await asyncio.sleep(0.01)
                body, more = next(parts)
                return {"type": "http.request", "body": body, "more_body": more}

            async def send(message):
                statuses.append(message.get("status"))

            headers = [(b"content-type", b"application/json")]
            await bodies({"type": "http", "method": "POST", "headers": headers}, receive, send)

        await asyncio.gather(one(), one())
        await one()
        return [each for each in statuses if each]

    assert sorted(asyncio.run(several())) == [200, 200, 429]


def test_a_client_that_leaves_is_told_nothing():
    with pytest.raises(ClientLeftError):
        run([b"{", None])


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"content-encoding", b"gzip", 415),
        (b"content-encoding", b"br", 415),
        (b"content-encoding", b"identity", 200),
        (b"content-length", b"-1", 400),
        (b"content-length", b"1e3", 400),
        (b"content-type", b"text/plain", 415),
        (b"content-type", b"application/json; charset=utf-16", 415),
        (b"content-type", b'application/JSON; charset="UTF-8"', 200),
        (b"content-type", b"application/json, text/plain", 415),
        (b"content-type", b"multipart/form-data; boundary=x", 415),
        (b"content-type", b"", 415),
    ],
)
def test_headers_that_decide_alone(name, value, status):
    assert run([b"{}"], headers=[(name, value)])[0] == status


def test_a_body_that_nobody_asked_for_is_bounded_and_not_judged():
    assert run([b"no json"], method="GET") == (200, b"no json", 1)
    assert run([b"x" * 500] * 10, method="DELETE", body_bytes=1000)[0] == 413
