"""Forty requests made to break a server: each gets its refusal, says nothing of the machine, and passes."""

import json
import re

import pytest

GOOD = {"model": "fake", "prompt": "is it wet"}
RANK = {"model": "fake", "inputs": "is it wet", "options": ["yes", "no"]}
JSON = {"content-type": "application/json"}


def body(**fields):
    return json.dumps({**GOOD, **fields}).encode()


def text(raw, **fields):
    """A body with a value that JSON's writer would not write."""
    return body(**fields, slot="@").replace(b'"slot": "@"', raw)


DEEP = b"[" * 5000 + b"]" * 5000
PATTERNS = [{"type": "string", "pattern": f"[a-z]{{{least},}}x"} for least in range(1, 60)]
HOSTILE = {
    "an empty body": ({"content": b""}, 400),
    "only spaces": ({"content": b"   "}, 400),
    "null": ({"content": b"null"}, 400),
    "a list": ({"content": b"[]"}, 400),
    "a text": ({"content": b'"prompt"'}, 400),
    "a number": ({"content": b"1"}, 400),
    "two values": ({"content": body() + body()}, 400),
    "bytes of no encoding": ({"content": b'{"model": "\xfe\xff"}'}, 400),
    "UTF-16": ({"content": body().decode().encode("utf-16")}, 400),
    "a byte order mark": ({"content": b"\xef\xbb\xbf" + body()}, 400),
    "a key twice": ({"content": text(b'"n": 1, "n": 64')}, 400),
    "a model twice": ({"content": text(b'"model": "other"')}, 400),
    "NaN temperature": ({"content": text(b'"temperature": NaN')}, 400),
    "infinite temperature": ({"content": text(b'"temperature": Infinity')}, 400),
    "a number beyond all": ({"content": text(b'"temperature": 1e400')}, 400),
    "a number of many digits": ({"content": text(b'"n": ' + b"9" * 4000)}, 400),
    "a number of too many digits": ({"content": text(b'"n": ' + b"9" * 100_000)}, 400),
    "minus zero tokens": ({"content": text(b'"max_tokens": -0')}, 400),
    "tokens beyond any machine": ({"content": body(max_tokens=2**63)}, 400),
    "a token id beyond any machine": ({"content": body(prompt=[2**64])}, 400),
    "a million tokens": ({"content": body(prompt=[5] * 300_000)}, 400),
    "a prompt of a million characters": ({"content": body(prompt="wet " * 250_000)}, 400),
    "a body over its bound": ({"content": body(prompt="x" * (1 << 20))}, 413),
    "a depth bomb": ({"content": text(b'"json_schema": {"a": ' + DEEP + b"}")}, 400),
    "a bare depth bomb": ({"content": b"[" * 500_000}, 400),
    "half a surrogate pair": ({"content": text(b'"prefix": "\\ud800"')}, 400),
    "half a pair in a key": ({"content": text(b'"logit_bias": {"\\udfff": 1}')}, 400),
    "a prompt of characters that vanish": ({"content": body(prompt="\x01" * 50)}, 400),
    "an object as prompt": ({"content": body(prompt={"__class__": "os.system"})}, 400),
    "a model that is a path": ({"content": body(model="../../../etc/passwd")}, 404),
    "a model that is a URL": ({"content": body(model="http://169.254.169.254/latest")}, 404),
    "a model of a megabyte": ({"content": body(model="m" * 900_000)}, 404),
    "a schema of elsewhere": ({"content": body(json_schema={"$ref": "https://evil.example/s.json"})}, 400),
    "a schema of this machine": ({"content": body(json_schema={"$ref": "file:///etc/passwd"})}, 400),
    "patterns that are compared for minutes": ({"content": body(json_schema={"allOf": PATTERNS})}, 400),
    "a hundred stops": ({"content": body(stop=["wet"] * 100)}, 400),
    "rows beyond all bounds": ({"content": body(prompt=["a"] * 64, n=64)}, 400),
    "a form": (
        {"content": b"model=fake", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        415,
    ),
    "a simple request of a page": ({"content": body(), "headers": {"content-type": "text/plain"}}, 415),
    "no type at all": ({"content": body(), "headers": {"content-type": ""}}, 415),
    "a zipped body": ({"content": body(), "headers": {**JSON, "content-encoding": "gzip"}}, 415),
    "a page of elsewhere": ({"content": body(), "headers": {**JSON, "origin": "https://evil.example"}}, 403),
    "a name of elsewhere": ({"content": body(), "headers": {**JSON, "host": "evil.example"}}, 403),
    "headers beyond their bound": ({"content": body(), "headers": {**JSON, "x": "y" * 50_000}}, 431),
    "options without end": (
        {
            "content": json.dumps({**RANK, "options": [str(n) for n in range(50_000)]}).encode(),
            "url": "/v1/rank",
        },
        400,
    ),
    "lists of lists of options": (
        {"content": json.dumps({**RANK, "options": [[["a"]]]}).encode(), "url": "/v1/rank"},
        400,
    ),
    "options that are one to the model": (
        {"content": json.dumps({**RANK, "options": ["a b", "a\u3000b"]}).encode(), "url": "/v1/rank"},
        400,
    ),
}


def test_they_are_forty_and_more():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_and_the_next_is_answered(client, name):
    asked, status = HOSTILE[name]
    answer = client.post(**{"url": "/v1/completions", "headers": JSON, **asked})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert len(answer.content) < 2000
    assert not re.search(r"Traceback|File \"|/root|/home|/usr|site-packages|\.py\b", answer.text)
    assert client.post("/v1/completions", json=GOOD).status_code == 200
    assert client.service.open_requests == 0
