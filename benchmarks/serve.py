"""The throughput of `ramekin serve` with 32 clients at once against one request at a time, through HTTP.

    python benchmarks/serve.py                          a random model of Flan-T5 small's shape, one thread
    python benchmarks/serve.py --shape tiny --requests 400
    python benchmarks/serve.py --model runs/rte --clients 32 --threads 2
    python benchmarks/serve.py --samples 4 --stream

A server is started as a process of its own. Clients send prompts like GLUE's, each its next as soon as it has
an answer; passes with one client and with many take turns, and the best of each counts. The share of prompts
that all passes answer alike is told. Prints a table and, last, one JSON line.
"""

import argparse
import asyncio
import json
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ramekin.sources.world import generate
from ramekin.tensors.tokenizer import save_tokenizer, train_tokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 1000, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    "flan-t5-small": {},
}
Body = dict[str, Any]


@dataclass
class Pass:
    """What a pass over all prompts came to."""

    clients: int
    seconds: float
    requests_per_second: float
    tokens_per_second: float
    p50_seconds: float
    p95_seconds: float


def texts(count: int) -> list[str]:
    """Sentences of the built-in world, of different lengths."""
    rows = generate("rte", "train", n=count, seed=0)
    rng = random.Random(0)
    found = []
    for row in rows:
        words = f"{row['sentence1']} {row['sentence2']}"
        found.append(" ".join([words] * rng.choice((1, 1, 1, 2, 3))))
    return found


def make_model(folder: Path, shape: str, eos: float) -> Path:
    """A random model with logits far apart, whose outputs end more readily the larger `eos` is."""
    import torch

    from ramekin.weights.checkpoint import save_checkpoint
    from ramekin.weights.config import t5_config
    from ramekin.weights.lineage import Lineage
    from ramekin.weights.seq2seq import build_model

    save_tokenizer(train_tokenizer(texts(400), vocab_size=600), folder / "tokenizer")
    model = build_model(t5_config(**SHAPES[shape]), seed=0, tied=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "EncDecAttention" in name:
                parameter.mul_(3.0)
        model.lm_head.weight[1] *= eos
    save_checkpoint(
        model,
        folder / "model",
        tokenizer_folder=folder / "tokenizer",
        lineage=Lineage(kind="dense", operation="random"),
    )
    return folder / "model"


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Body) -> bytes:
    """The body of one answer, on a connection that stays."""
    content = json.dumps(body).encode()
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(content) + content
    )
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise SystemExit(f"the server answered {head!r}")
    if b"transfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def read_answer(content: bytes) -> tuple[list[str], int]:
    """(the texts, the tokens that were written)."""
    if not content.startswith(b"data: "):
        whole = json.loads(content)
        return [each["text"] for each in whole["choices"]], whole["usage"]["completion_tokens"]
    written: dict[int, str] = {}
    tokens = 0
    for part in content.decode().split("\n\n"):
        if part.startswith("data: {"):
            chunk = json.loads(part.removeprefix("data: "))
            tokens = (chunk["usage"] or {}).get("completion_tokens", tokens)
            for each in chunk["choices"]:
                written[each["index"]] = written.get(each["index"], "") + each["text"]
    return [written[index] for index in sorted(written)], tokens


async def run_pass(port: int, bodies: list[Body], clients: int) -> tuple[Pass, list[list[str]]]:
    """All prompts by so many clients; returns what that took, and the texts."""
    left, answers, latencies = list(enumerate(bodies)), {}, []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            place, body = left.pop(0)
            started = time.perf_counter()
            answers[place] = await asked(reader, writer, body)
            latencies.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - started
    read = [read_answer(answers[place]) for place in range(len(bodies))]
    latencies.sort()
    tokens = sum(count for _, count in read)
    found = Pass(
        clients,
        seconds,
        len(bodies) / seconds,
        tokens / seconds,
        latencies[len(latencies) // 2],
        latencies[int(len(latencies) * 0.95)],
    )
    return found, [own for own, _ in read]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="flan-t5-small")
    parser.add_argument("--model", help="a checkpoint, in place of a random one")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=192)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--samples", type=int, default=1, help="outputs for each prompt, at temperature 1")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--eos", type=float, default=0.0, help="0: every output uses all its tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("words", nargs="*", help="more words for ramekin serve")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or make_model(Path(folder), options.shape, options.eos)
        words = [f"model={model}", "names=[bench]", "port=0", "access_log=false", "seconds=600"]
        words += [f"threads={options.threads}", "--json", *options.words]
        command = [sys.executable, "-m", "ramekin", "serve", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
            measure(port, options)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def measure(port: int, options: argparse.Namespace) -> None:
    """Run the passes and print what they came to."""
    drawn = {"n": options.samples, "temperature": 1, "seed": 1} if options.samples > 1 else {}
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if options.stream else {}
    bodies: list[Body] = [
        {"model": "bench", "prompt": text, "max_tokens": options.max_tokens, **drawn, **streamed}
        for text in texts(options.requests)
    ]
    asyncio.run(run_pass(port, bodies[: options.clients], options.clients))
    best: dict[int, Pass] = {}
    expected: list[list[str]] = []
    equal = 1.0
    for _ in range(options.repeats):
        for clients in (1, options.clients):
            found, answers = asyncio.run(run_pass(port, bodies, clients))
            expected = expected or answers
            same = sum(one == other for one, other in zip(expected, answers, strict=True)) / len(bodies)
            equal = min(equal, same)
            if clients not in best or found.seconds < best[clients].seconds:
                best[clients] = found
    print(f"{'clients':>8} {'requests/s':>11} {'tokens/s':>9} {'p50 s':>7} {'p95 s':>7}")
    for each in best.values():
        print(
            f"{each.clients:>8} {each.requests_per_second:>11.2f} {each.tokens_per_second:>9.0f} "
            f"{each.p50_seconds:>7.3f} {each.p95_seconds:>7.3f}"
        )
    speedup = best[options.clients].requests_per_second / best[1].requests_per_second
    print(
        json.dumps(
            {
                "serve_speedup_at_clients": round(speedup, 2),
                "clients": options.clients,
                "requests": options.requests,
                "max_tokens": options.max_tokens,
                "samples": options.samples,
                "stream": options.stream,
                "shape": options.model or options.shape,
                "threads": options.threads,
                "equal_answers": equal,
                "passes": [asdict(each) for each in best.values()],
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    main()
