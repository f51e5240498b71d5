import ast
from pathlib import Path

import pytest

import ramekin
from ramekin.errors import UsageError
from ramekin.serve.security import Access, check_token, is_loopback

TOKEN = "0123456789abcdef-secret"


def test_the_unit_can_fetch_nothing():
    """No module of it imports what speaks to other servers."""
    clients = {"urllib", "http", "httpx", "httpx2", "requests", "aiohttp", "urllib3", "ftplib", "huggingface_hub",
               "fsspec", "websockets"}  # fmt: skip
    found = set()
    for path in (Path(ramekin.__file__).parent / "serve").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {f"{path.name}: {name}" for name in names if name.split(".")[0] in clients}
    assert not found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_these_are_reached_from_this_machine_alone(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "localhost.example.org"])
def test_others_need_a_token(host):
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="a token is needed"):
        Access.of_bind(host)
    assert Access.of_bind(host, token=TOKEN).token == TOKEN


def test_a_token_is_never_shown():
    assert TOKEN not in repr(Access.of_bind("127.0.0.1", token=TOKEN))
    for bad in ("short", "has spaces in it, which no header", "ümläute-sind-kein-ascii"):
        with pytest.raises(UsageError, match="the token is refused: here") as told:
            check_token(bad, where="here")
        assert bad not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:8000", "LocalHost", "[::1]:9"])
def test_it_answers_to_its_names(make_client, engine, host):
    assert make_client(engine).get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"],
)
def test_a_page_that_points_its_own_name_here_gets_nothing(make_client, engine, host):
    answer = make_client(engine).get("/v1/models", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["", "a b", "localhost/..", "localhost:99999999", "[::1", "user@localhost"])
def test_a_host_that_is_none(make_client, engine, host):
    answer = make_client(engine).get("/v1/models", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_host")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"]
)
def test_pages_of_elsewhere_may_not_call(make_client, engine, origin):
    answer = make_client(engine).post("/v1/completions", json={}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_pages_may_call(make_client, engine):
    answer = make_client(engine).get(
        "/v1/models", headers={"host": "localhost:80", "origin": "http://localhost:80"}
    )
    assert answer.status_code == 200


def test_pages_that_were_named_may_call(make_client, engine):
    access = Access.of_bind("127.0.0.1", origins=["https://App.example/"], token=TOKEN)
    client = make_client(engine, access=access)
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    before = client.options("/v1/completions", headers=asked)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, "https://app.example")
    answer = client.get(
        "/v1/models", headers={"origin": "https://app.example", "authorization": f"Bearer {TOKEN}"}
    )
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/nothing", "/v1/models/fake"])
def test_nothing_is_told_without_the_token(make_client, engine, given, path):
    client = make_client(engine, access=Access.of_bind("127.0.0.1", token=TOKEN))
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


def test_with_the_token_all_is_told_and_health_without(make_client, engine):
    client = make_client(engine, access=Access.of_bind("127.0.0.1", token=TOKEN))
    assert client.get("/v1/models", headers={"authorization": f"bearer  {TOKEN}"}).status_code == 200
    for path in ("/health", "/health/live", "/health/ready"):
        assert client.get(path).status_code == 200


def test_a_header_twice_is_refused(make_client, engine):
    client = make_client(engine, access=Access.of_bind("127.0.0.1", token=TOKEN))
    twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")]
    assert client.get("/v1/models", headers=twice).status_code == 400


def test_bound_to_everything_it_answers_to_any_name_or_to_those_that_are_named():
    assert Access.of_bind("0.0.0.0", token=TOKEN).hosts is None
    assert "models.example" in Access.of_bind("0.0.0.0", hosts=["Models.example"], token=TOKEN).hosts
    assert Access.of_bind("::1").hosts >= {"[::1]", "127.0.0.1"}
    assert Access.of_bind("192.168.1.4", token=TOKEN).hosts == {"192.168.1.4"}
