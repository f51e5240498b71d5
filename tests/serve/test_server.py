"""A real uvicorn on a port: what only sockets show."""

import gzip
import json
import re
import signal
import socket
import threading
import time

import pytest

from ramekin.errors import ResourceError
from ramekin.serve.server import address, bind

BODY = {"model": "fake", "prompt": "is it wet"}


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def raw(path="/v1/completions", body=BODY, *, method="POST", headers=()):
    content = json.dumps(body).encode() if not isinstance(body, bytes) else body
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
             f"Content-Length: {len(content)}", *headers]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def received(connection):
    """All that comes until the other side closes."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def one_answer(connection):
    """One answer whose length is told, and no more."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(1)
    length = int(re.search(rb"content-length: (\d+)", got)[1])
    while length:
        part = connection.recv(length)
        got, length = got + part, length - len(part)
    return got


def asked(server, *sent, **named):
    """(status, body) of one request on a connection of its own."""
    with connect(server) as connection:
        connection.sendall(*sent or (raw(**named, headers=["Connection: close"]),))
        head, _, body = received(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def test_it_answers(serve, engine):
    server = serve(engine)
    status, body = asked(server)
    assert status == 200
    assert json.loads(body)["choices"][0]["text"] == engine.written(engine.added[0], 0).text


def test_an_answer_does_not_wait_for_an_acknowledgement(serve, engine, monkeypatch):
    """Its parts are sent at once (TCP_NODELAY)."""
    from ramekin.serve.server import H11Protocol

    seen, made = [], H11Protocol.connection_made

    def connection_made(self, transport):
        made(self, transport)
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(H11Protocol, "connection_made", connection_made)
    asked(serve(engine))
    assert seen
    assert all(seen)


def test_headers_say_nothing_of_the_software(serve, engine):
    with connect(serve(engine)) as connection:
        connection.sendall(raw("/health", b"", method="GET", headers=["Connection: close"]))
        head = received(connection).partition(b"\r\n\r\n")[0].lower()
    assert b"server:" not in head
    assert b"uvicorn" not in head


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_that_is_cut_frees_the_room(serve, make_engine, stream):
    engine = make_engine(slots=1, num_tokens=5000, step_seconds=0.001)
    server = serve(engine)
    with connect(server) as connection:
        connection.sendall(raw(body={**BODY, "max_tokens": 1000, "stream": stream}))
        until(lambda: engine.running)
    until(lambda: not engine.running)
    assert engine.cancelled == [1]
    assert asked(server, body={**BODY, "max_tokens": 2})[0] == 200


def test_a_body_that_is_said_to_be_small_is_counted(serve, engine):
    server = serve(engine, body_bytes=1000, bodies_bytes=10_000)
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head = b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, body = asked(server, head + chunk * 3 + b"0\r\n\r\n")
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


def test_an_endless_body_ends_and_so_does_its_connection(serve, engine):
    server = serve(engine)
    head = b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent = 0
    with connect(server) as connection, pytest.raises(OSError):
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        while sent < 1 << 30:
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent += 65_536
    assert sent < 64 << 20
    assert asked(server)[0] == 200


def test_an_endless_body_where_none_is_read_ends_too(serve, engine):
    server = serve(engine)
    sent = 0
    with connect(server) as connection, pytest.raises(OSError):
        connection.sendall(
            b"GET /nothing HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while sent < 1 << 30:
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent += 65_536
    assert sent < 64 << 20


@pytest.mark.parametrize(
    "beginning", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_headers_that_never_end_are_not_waited_for(serve, engine, beginning):
    server = serve(engine, header_seconds=0.3)
    with connect(server) as connection:
        connection.sendall(beginning)
        started = time.monotonic()
        connection.settimeout(5)
        assert received(connection) == b""
    assert 0.2 < time.monotonic() - started < 3


def test_headers_a_byte_at_a_time_are_not_waited_for(serve, engine):
    server = serve(engine, header_seconds=0.5)
    started = time.monotonic()
    with connect(server) as connection, pytest.raises(OSError):
        while time.monotonic() - started < 10:
            connection.sendall(b"X")
            time.sleep(0.05)
    assert time.monotonic() - started < 3


def test_the_second_request_of_a_connection_has_its_time_too(serve, engine):
    server = serve(engine, header_seconds=0.3)
    with connect(server) as connection:
        connection.sendall(raw("/health", b"", method="GET"))
        one_answer(connection)
        connection.sendall(b"GET /health HTTP/1.1\r\nHo")
        started = time.monotonic()
        assert received(connection) == b""
    assert 0.2 < time.monotonic() - started < 3


def test_a_slow_answer_is_no_slow_header(serve, make_engine):
    engine = make_engine(num_tokens=60, step_seconds=0.01)
    server = serve(engine, header_seconds=0.2, keep_alive_seconds=1)
    assert asked(server)[0] == 200


def test_a_body_a_byte_at_a_time_is_not_waited_for(serve, engine):
    server = serve(engine, body_seconds=0.3)
    with connect(server) as connection:
        connection.sendall(raw()[:-5])
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_too_slow"' in answer


def test_a_client_that_does_not_read_is_not_waited_for(serve, make_engine):
    engine = make_engine(num_tokens=1000)
    server = serve(engine, write_seconds=0.5, output_tokens=64_000)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", server.port))
        body = {
            **BODY,
            "prompt": ["wet"] * 8,
            "n": 64,
            "max_tokens": 1000,
            "stream": True,
            "logprobs": 5,
            "seed": 1,
        }
        connection.sendall(raw(body=body))
        until(lambda: server.service.open_requests == 1)
        until(lambda: server.service.open_requests == 0, seconds=30)
    assert asked(server)[0] == 200


@pytest.mark.parametrize(
    "sent",
    [b"\x00\x01\x02\x03\r\n\r\n", b"GET\r\n\r\n", b"POST /v1/rank HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n",
     b"GET /health HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
     b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
     b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
     b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
     b"POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
     b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_answered_and_closed(serve, engine, sent):
    server = serve(engine)
    status, body = asked(server, sent)
    assert status in (400, 431)
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert asked(server)[0] == 200


def test_requests_one_behind_the_other(serve, engine):
    server = serve(engine)
    with connect(server) as connection:
        connection.sendall(raw() + raw() + raw(headers=["Connection: close"]))
        assert received(connection).count(b"HTTP/1.1 200 ") == 3


def test_an_upgrade_is_not_made(serve, engine, capsys):
    server = serve(engine)
    upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: eA==",
        "Sec-WebSocket-Version: 13",
    ]
    with connect(server) as connection:
        connection.sendall(raw("/v1/models", b"", method="GET", headers=upgrade))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    assert "WebSocket" not in capsys.readouterr().err


def test_a_zipped_bomb_stays_zipped(serve, engine):
    bomb = gzip.compress(b"x" * (50 << 20))
    with connect(serve(engine)) as connection:
        connection.sendall(raw(body=bomb, headers=["Content-Encoding: gzip", "Connection: close"]))
        assert received(connection).startswith(b"HTTP/1.1 415 ")


def test_the_end_lets_what_is_under_way_end_and_refuses_what_comes(serve, make_engine):
    engine = make_engine(num_tokens=200, step_seconds=0.005)
    server = serve(engine)
    box = []
    thread = threading.Thread(target=lambda: box.append(asked(server)))
    with connect(server) as other:
        other.sendall(raw("/health", b"", method="GET"))
        one_answer(other)
        thread.start()
        until(lambda: engine.running)
        server.stop()
        until(lambda: server.service.is_stopping)
        other.sendall(raw())
        refused = one_answer(other)
    thread.join(20)
    ended = server.join()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in refused.lower()
    assert box[0][0] == 200
    assert (ended.given_up, server.stopping) == (0, [1])
    with pytest.raises(OSError):
        connect(server)


@pytest.mark.parametrize("again", [False, True])
def test_the_end_gives_up_what_takes_too_long_or_at_a_second_call(serve, make_engine, again):
    engine = make_engine(num_tokens=5000, step_seconds=0.002)
    server = serve(engine, grace_seconds=30.0 if again else 0.3)
    box = []
    thread = threading.Thread(target=lambda: box.append(asked(server, body={**BODY, "max_tokens": 1000})))
    thread.start()
    until(lambda: engine.running)
    started = time.monotonic()
    server.stop()
    if again:
        until(lambda: server.service.is_stopping)
        server.stop()
    ended = server.join()
    thread.join(20)
    assert time.monotonic() - started < 5
    assert box[0][0] == 503
    assert json.loads(box[0][1])["error"]["code"] == "stopping"
    assert ended.given_up == 1
    assert engine.is_closed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(serve_apart, number):
    server = serve_apart({"num_tokens": 100, "step_seconds": 0.01})
    with connect(server) as connection:
        connection.sendall(raw(headers=["Connection: close"]))
        time.sleep(0.3)
        server.process.send_signal(number)
        assert received(connection).startswith(b"HTTP/1.1 200 ")
    out, _ = server.process.communicate(timeout=20)
    assert out.strip() == "Ended(requests=1, given_up=0, left_behind=False)"
    assert server.process.returncode == 0


def test_an_address_that_is_in_use():
    with bind("127.0.0.1", 0) as one:
        one.listen()
        with pytest.raises(
            ResourceError, match=r"host=127.0.0.1, port=\d+: got address already in use; fix: choose"
        ):
            bind("127.0.0.1", one.getsockname()[1])
    with pytest.raises(ResourceError, match="cannot be served"):
        bind("203.0.113.7", 0)


def test_addresses_as_urls():
    with bind("127.0.0.1", 0) as one:
        assert address(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
    with bind("::1", 0) as one:
        assert address(one) == f"http://[::1]:{one.getsockname()[1]}"
