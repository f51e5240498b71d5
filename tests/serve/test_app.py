import asyncio
import re
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ramekin.errors import UsageError
from ramekin.serve.app import create_app
from ramekin.serve.security import Access
from ramekin.serve.watch import PATHS

BODY = {"model": "fake", "prompt": "is it wet"}


def counts(client):
    """Every sample of /metrics by name and labels."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def in_background(function):
    box = []
    thread = threading.Thread(target=lambda: box.append(function()))
    thread.start()

    def result():
        thread.join(20)
        return box[0]

    return result


def until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came to that")


def test_the_models_that_are_served(make_client, make_engine):
    client = make_client(make_engine(), make_engine())
    listed = client.get("/v1/models").json()
    assert [each["id"] for each in listed["data"]] == ["fake", "other"]
    assert client.get("/v1/models/other").json() == listed["data"][1]
    assert client.get("/v1/models/a/b").json()["error"]["code"] == "model_not_found"


def test_each_model_has_its_engine(make_client, make_engine):
    one, two = make_engine(), make_engine(num_tokens=3)
    client = make_client(one, two)
    client.post("/v1/completions", json={**BODY, "model": "other"})
    assert (len(one.added), len(two.added)) == (0, 1)


def test_two_models_of_one_name_and_none_at_all(make_service, make_engine):
    with pytest.raises(UsageError, match="two models have one name"):
        make_service(make_engine(), make_engine(), names=("a", "a"))
    with pytest.raises(UsageError, match="no model to serve"):
        make_service()


def test_health(client):
    assert client.get("/health").json() == {"status": "ready", "live": True, "ready": True}
    client.service.is_stopping = True
    for path, status in (("/health", 503), ("/health/ready", 503), ("/health/live", 200)):
        assert client.get(path).status_code == status
    assert client.get("/health").json() == {"status": "stopping", "live": True, "ready": False}


def test_a_dead_engine_is_not_healthy(client, engine):
    assert client.get("/health").status_code == 200
    client.service.models["fake"].worker._thread = None
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")


def test_what_comes_while_it_stops_is_refused(client):
    client.service.is_stopping = True
    for path, body in (
        ("/v1/completions", BODY),
        ("/v1/rank", {"model": "fake", "inputs": "a", "options": ["b"]}),
    ):
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
        assert int(answer.headers["retry-after"]) >= 1


def test_the_deadline_frees_the_room(make_client, make_engine):
    engine = make_engine(slots=1, num_tokens=5000, step_seconds=0.001)
    client = make_client(engine, seconds=0.3)
    started = time.monotonic()
    answer = client.post("/v1/completions", json={**BODY, "max_tokens": 1000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
    assert time.monotonic() - started < 3
    until(lambda: not engine.running)
    assert client.post("/v1/completions", json={**BODY, "max_tokens": 2}).status_code == 200
    assert counts(client)["ramekin_cancelled_total", "deadline"] == 1


def test_the_deadline_of_a_stream_is_an_event(make_client, make_engine):
    engine = make_engine(num_tokens=5000, step_seconds=0.001)
    client = make_client(engine, seconds=0.3)
    text = client.post("/v1/completions", json={**BODY, "max_tokens": 1000, "stream": True}).text
    assert '"code":"deadline"' in text.split("\n\n")[-2]
    assert "[DONE]" not in text
    until(lambda: not engine.running)


def test_the_deadline_of_a_ranking(make_client, engine):
    client = make_client(engine, seconds=0.3)
    engine.may_step.clear()
    answer = client.post("/v1/rank", json={"model": "fake", "inputs": "a", "options": ["b"]})
    engine.may_step.set()
    assert answer.status_code == 504


def test_a_full_queue_says_when_to_come_again(make_client, make_engine):
    engine = make_engine(slots=1)
    client = make_client(engine, queue=2, prompts=2)
    engine.may_step.clear()
    waiting = [in_background(lambda: client.post("/v1/completions", json=BODY)) for _ in range(2)]
    until(lambda: client.service.models["fake"].worker.waiting == 2)
    for path, body in (
        ("/v1/completions", BODY),
        ("/v1/rank", {"model": "fake", "inputs": "a", "options": ["b"]}),
    ):
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    engine.may_step.set()
    assert [each().status_code for each in waiting] == [200, 200]
    assert counts(client)["ramekin_refused_total", "queue_full"] == 2


def test_too_many_open_requests(make_client, make_engine):
    engine = make_engine()
    client = make_client(engine, connections=2)
    engine.may_step.clear()
    waiting = [in_background(lambda: client.post("/v1/completions", json=BODY)) for _ in range(2)]
    until(lambda: client.service.open_requests == 2)
    answer = client.get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    engine.may_step.set()
    assert [each().status_code for each in waiting] == [200, 200]
    assert client.get("/v1/models").status_code == 200


async def left_after(app, messages, seconds):
    """Ask the application, and leave after a while; what it sent."""
    sent, told = [], iter(messages)

    async def receive():
        for message in told:
            return message
        await asyncio.sleep(seconds)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "raw_path": b"/v1/completions",
             "query_string": b"", "scheme": "http", "http_version": "1.1", "root_path": "", "server": ("127.0.0.1", 80),
             "client": ("127.0.0.1", 5), "asgi": {"version": "3.0"},
             "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]}  # fmt: skip
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_leaves_frees_its_room(make_service, make_engine, stream):
    engine = make_engine(slots=1, num_tokens=5000, step_seconds=0.001)
    service, lines = make_service(engine), []
    app = create_app(service, Access.of_bind("127.0.0.1"), on_access=lines.append)
    body = b'{"model": "fake", "prompt": "a", "max_tokens": 1000, "stream": %s}' % stream.encode()

    async def story():
        service.start()
        sent = await left_after(app, [{"type": "http.request", "body": body}], 0.2)
        for _ in range(200):
            if not engine.running:
                break
            await asyncio.sleep(0.01)
        assert not engine.running
        assert engine.cancelled == [1]
        assert service.open_requests == 0
        await service.close()
        return sent

    sent = asyncio.run(story())
    assert bool(sent) == (stream == "true")
    assert b"[DONE]" not in b"".join(each.get("body", b"") for each in sent)
    assert 'ramekin_cancelled_total{reason="client_left"} 1.0' in service.metrics.text().decode()
    assert (" 200 " if sent else " 499 ") in lines[0]


def test_a_client_that_leaves_before_its_body_is_there(make_service, engine):
    service = make_service(engine)
    app = create_app(service, Access.of_bind("127.0.0.1"))
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert asyncio.run(left_after(app, [part], 0.0)) == []
    assert service.open_requests == 0


def test_what_nobody_expected_is_told_as_a_failure(client, engine, monkeypatch):
    monkeypatch.setattr("ramekin.serve.app.completion", lambda *_, **__: 1 / 0)
    answer = client.post("/v1/completions", json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "Zero" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/docs", 404), ("GET", "/v1", 404), ("GET", "/v1/completions", 405),
     ("POST", "/v1/chat/completions", 404), ("POST", "/v1/models", 405), ("DELETE", "/v1/models/fake", 405),
     ("GET", "/v1/models/", 404), ("GET", "/v1/../../etc/passwd", 404), ("GET", "/v1/models/..%2f..%2fetc", 404)],
)  # fmt: skip
def test_paths_that_are_not_there(client, method, path, status):
    answer = client.request(method, path, **({"json": {}} if method == "POST" else {}))
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    if status == 405:
        assert answer.headers["allow"]


def test_every_answer_says_what_it_is(client):
    for path in PATHS:
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_what_is_counted(client, engine):
    client.post("/v1/completions", json=BODY)
    client.post("/v1/completions", json={**BODY, "stream": True})
    client.post("/v1/rank", json={"model": "fake", "inputs": "a", "options": ["yes", "no"]})
    client.post("/v1/completions", json={})
    client.get("/nothing/at/all")
    client.get("/nothing/else")
    client.request("BREW", "/v1/models")
    found = counts(client)
    asked = engine.added[0]
    written = len(engine.written(asked, 0).tokens)
    rank_input = len(client.post("/v1/completions", json={**BODY, "prompt": "a"}).json()) and len(
        engine.added[-1].input_ids
    )
    assert found["ramekin_requests_total", "/v1/completions", "200", "POST"] == 2
    assert found["ramekin_requests_total", "/v1/completions", "400", "POST"] == 1
    assert found["ramekin_requests_total", "404", "GET", "other"] == 2
    assert found["ramekin_requests_total", "/v1/models", "405", "other"] == 1
    assert found["ramekin_output_tokens_total", "fake"] == 2 * written
    assert found["ramekin_input_tokens_total", "fake"] == 2 * len(asked.input_ids) + rank_input
    assert found["ramekin_scored_tokens_total", "fake"] > 2
    assert found["ramekin_first_token_seconds_count", "fake"] == 1
    assert found["ramekin_request_seconds_count", "/v1/completions"] == 3
    assert found["ramekin_refused_total", "invalid_request"] == 1
    assert found["ramekin_running", "fake"] == found["ramekin_waiting", "fake"] == 0
    assert found["ramekin_tokens_in_flight", "fake"] == 0


def test_what_is_under_way_is_counted(make_client, make_engine):
    engine = make_engine(slots=1, num_tokens=500, step_seconds=0.002)
    client = make_client(engine)
    body = {**BODY, "prompt": ["a", "b", "c"], "max_tokens": 400}
    answer = in_background(lambda: client.post("/v1/completions", json=body))
    until(lambda: engine.running)
    until(lambda: counts(client)["ramekin_running", "fake"] == 1)
    found = counts(client)
    assert found["ramekin_waiting", "fake"] == 2
    assert found["ramekin_tokens_in_flight", "fake"] == 400 + len(engine.added[0].input_ids)
    assert answer().status_code == 200


def test_two_servers_in_one_process_count_for_themselves(make_client, make_engine):
    one, two = make_client(make_engine()), make_client(make_engine())
    one.post("/v1/completions", json=BODY)
    assert ("ramekin_requests_total", "/v1/completions", "200", "POST") not in counts(two)


def test_each_request_is_told_in_one_line(make_client, engine):
    lines = []
    client = make_client(engine, on_access=lines.append)
    client.post("/v1/completions", json=BODY)
    client.get("/nothing%0d%0a12:00:00 forged/" + "x" * 500)
    assert re.fullmatch(r"\d\d:\d\d:\d\d \S+ POST /v1/completions 200 \d+ ms fake \d+\+\d+ tokens", lines[0])
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d \S+ GET /nothing\\r\\n12:00:00%20forged/x+ 404 \d+ ms not_found", lines[1]
    )
    assert len(lines[1]) < 200


def test_the_description_names_every_status_and_no_page_of_elsewhere(client):
    described = client.get("/openapi.json").json()
    responses = described["paths"]["/v1/completions"]["post"]["responses"]
    assert set(responses) >= {"200", "400", "401", "404", "413", "415", "429", "500", "503", "504"}
    assert "422" not in responses
    assert "http" not in str(described["paths"])
