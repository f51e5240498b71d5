"""Many clients at once, and many requests one after the other, against a server in a process of its own."""

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

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


@contextlib.contextmanager
def real_server(*words):
    """`ramekin serve` of a real model as "fake"; gives its port, and a function that gives bytes of memory."""
    command = [sys.executable, "-m", "ramekin", "serve", *words]
    command += ["names=[fake]", "port=0", "threads=2", "access_log=false", "queue=1000", "--json"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    pages = Path(f"/proc/{process.pid}/statm")
    try:
        port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
        yield port, lambda: int(pages.read_text().split()[1]) * resource.getpagesize()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "ctranslate2"])
def test_a_real_model_answers_five_hundred_clients_and_its_memory_stays(
    backend, make_checkpoint, tmp_path, ramekin
):
    folder = make_checkpoint(tmp_path / "model", seed=0)
    if backend == "ctranslate2":
        pytest.importorskip("ctranslate2")
        code, _, err = ramekin("export", f"model={folder}", f"output={tmp_path / 'fast'}", "threads=1")
        assert code == 0, err
        folder = tmp_path / "fast"
    body = {**COMPLETION, "max_tokens": 8, "n": 2, "temperature": 1}
    if backend == "ctranslate2":
        del body["logprobs"]

    async def asked(port, count):
        bodies = [{**body, "seed": n, "stream": n % 3 == 0} for n in range(count)]
        left = [0.01 if n % 17 == 16 else None for n in range(count)]
        pairs = zip(bodies, left, strict=True)
        return Counter(
            await asyncio.gather(*(ask(port, "/v1/completions", b, leaves_after=t) for b, t in pairs))
        )

    with real_server(f"model={folder}") as (port, memory):
        taken = []
        for _ in range(16):
            assert asyncio.run(asked(port, 500))[200] == 500 - 29
            taken.append(memory())
        found = asyncio.run(health(port))
        assert found['ramekin_waiting{model="fake"}'] == found['ramekin_running{model="fake"}'] == 0
        # At first routines are compiled for numbers of rows that have not been seen.
        assert taken[-1] < 1.1 * taken[9]
