"""Many clients at once, and many requests one after the other, against a server in a process of its own."""

import asyncio
import json
from collections import Counter

import pytest

COMPLETION = {"model": "fake", "prompt": "is it wet", "logprobs": 2}
MIXED = [
    ("/v1/completions", COMPLETION),
    ("/v1/completions", {**COMPLETION, "n": 4, "stream": True}),
    ("/v1/completions", {**COMPLETION, "prompt": ["a", "b", "c"], "regex": "[a-z]+"}),
    ("/v1/rank", {"model": "fake", "inputs": ["a", "b"], "options": ["yes", "no"], "mode": "lm_eval"}),
    ("/v1/completions", {**COMPLETION, "prompt": "wet " * 500}),
    ("/v1/completions", {**COMPLETION, "n": 1000}),
    ("/v1/completions", {**COMPLETION, "nn": 1}),
    ("/nothing", {"a": "x" * 100_000}),
    ("/v1/rank", {"model": "none", "inputs": "a", "options": ["yes", "no"]}),
]


async def ask(port, path, body, *, leaves_after=None):
    """The status; None where the client left first."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + content)
        if leaves_after is not None:
            await asyncio.sleep(leaves_after)
            return None
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1])
    finally:
        writer.close()


async def at_once(port, count):
    return Counter(await asyncio.gather(*(ask(port, "/v1/completions", COMPLETION) for _ in range(count))))


async def health(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in text.splitlines()
        if line.startswith("ramekin_")
    }


def test_five_hundred_clients_at_once(serve_apart):
    server = serve_apart({"slots": 16, "num_tokens": 4, "step_seconds": 0.002})
    statuses = asyncio.run(at_once(server.port, 500))
    assert set(statuses) <= {200, 429}
    assert sum(statuses.values()) == 500
    assert statuses[200] >= 256
    found = asyncio.run(health(server.port))
    assert found['ramekin_waiting{model="fake"}'] == found['ramekin_running{model="fake"}'] == 0
    assert found["ramekin_open_requests"] == 1


def test_five_hundred_clients_of_whom_none_is_refused_where_the_queue_is_long(serve_apart):
    server = serve_apart({"slots": 16, "num_tokens": 4}, queue=1000)
    assert asyncio.run(at_once(server.port, 500)) == {200: 500}


async def rounds(port, count):
    statuses = Counter()
    for start in range(0, count, 20):
        asked = [
            ask(port, *MIXED[n % len(MIXED)], leaves_after=0.001 if n % 11 == 0 else None)
            for n in range(start, start + 20)
        ]
        statuses += Counter(await asyncio.gather(*asked))
    return statuses


def soak(server, warm_up, count):
    """How much memory and how many files there are at the end, over those at the beginning."""
    asyncio.run(rounds(server.port, warm_up))
    memory, files = server.rss(), server.num_files()
    statuses = asyncio.run(rounds(server.port, count))
    assert set(statuses) == {200, 400, 404, None}
    found = asyncio.run(health(server.port))
    assert found['ramekin_waiting{model="fake"}'] == found['ramekin_running{model="fake"}'] == 0
    return server.rss() / memory, server.num_files() - files


def test_memory_stays_where_it_is(serve_apart):
    growth, files = soak(serve_apart({"num_tokens": 4}), 400, 800)
    assert growth < 1.05
    assert files <= 2


@pytest.mark.slow
def test_memory_stays_where_it_is_for_long(serve_apart):
    growth, files = soak(serve_apart({"num_tokens": 4}), 1000, 30_000)
    assert growth < 1.05
    assert files <= 2
