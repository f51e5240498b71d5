"""An engine that writes words of its own, and servers around it, in this process and on a port."""

import contextlib
import json
import resource
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ramekin.errors import DataError, UsageError
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.request import Answered, Event, Failed, Output, Request, Wrote
from ramekin.serve.app import create_app
from ramekin.serve.limits import Limits
from ramekin.serve.security import Access
from ramekin.serve.server import Server, address, bind
from ramekin.serve.service import Model, Service
from ramekin.tensors.tokenizer import EOS_ID, decode, load_tokenizer

LOCAL = {"base_url": "http://127.0.0.1"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may connect to this machine, and no further."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):  # type: ignore[index]
            raise OSError(f"the network is closed in tests: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("RAMEKIN_TOKEN", raising=False)


class FakeEngine(AbstractEngine):
    """Words drawn from the input, a token a step; slow, full or failing where a test wants it."""

    def __init__(self, tokenizer, *, slots=16, num_tokens=6, step_seconds=0.0):
        self.tokenizer, self.slots, self.num_tokens, self.step_seconds = (
            tokenizer,
            slots,
            num_tokens,
            step_seconds,
        )
        self.backend = tokenizer.backend_tokenizer
        special = self.backend.get_added_tokens_decoder()
        self.words = [n for n in range(self.backend.get_vocab_size()) if n not in special]
        self.running, self.waiting, self.next = {}, [], 0
        self.cancelled, self.added, self.rank_calls, self.thread = [], deque(maxlen=100), [], None
        self.step_error = self.rank_error = self.refused_input = self.failing_input = None
        self.is_closed = False
        self.may_step = threading.Event()
        self.may_step.set()

    def add(self, request: Request, *, streams: bool = False) -> int:
        self._same_thread()
        if self.refused_input is not None and self.refused_input in request.input_ids:
            raise DataError("the input is refused", where="/home/me/models/x", expected="another")
        if request.form is not None and request.form.regex == "(":
            raise UsageError("the pattern is no regular expression", where="regex", got="(")
        self.next += 1
        self.waiting.append((self.next, request, streams))
        self.added.append(request)
        return self.next

    def cancel(self, ticket: int) -> None:
        self._same_thread()
        self.cancelled.append(ticket)
        self.running.pop(ticket, None)
        self.waiting = [each for each in self.waiting if each[0] != ticket]

    def step(self) -> list[Event]:
        self._same_thread()
        self.may_step.wait(10)
        while self.waiting and len(self.running) < self.slots:
            ticket, request, streams = self.waiting.pop(0)
            count = request.decoding.num_samples
            self.running[ticket] = (request, streams, [self.written(request, n) for n in range(count)], [0])
        if self.step_error is not None:
            raise self.step_error
        time.sleep(self.step_seconds)
        events: list[Event] = []
        for ticket, (request, streams, outputs, position) in list(self.running.items()):
            if self.failing_input is not None and self.failing_input in request.input_ids:
                del self.running[ticket]
                events.append(Failed(ticket, DataError("the input failed", expected="another")))
                continue
            at = position[0]
            position[0] += 1
            if streams and request.decoding.num_beams == 1:
                events += [
                    self._piece(ticket, n, each, at)
                    for n, each in enumerate(outputs)
                    if at < len(each.tokens)
                ]
            if at + 1 >= max(len(each.tokens) for each in outputs):
                del self.running[ticket]
                events.append(Answered(ticket, tuple(outputs)))
        return events

    def rank(self, inputs, options):
        self._same_thread()
        self.may_step.wait(10)
        self.rank_calls.append(len(inputs))
        if self.rank_error is not None and any(self.rank_error[0] in ids for ids in inputs):
            raise self.rank_error[1]
        return [
            [self.log_prob(ids, option) for option in own] for ids, own in zip(inputs, options, strict=True)
        ]

    @property
    def load(self) -> Load:
        tokens = sum(len(r.input_ids) + r.max_new_tokens for r, *_ in self.running.values())
        return Load(len(self.running), len(self.waiting), tokens)

    @property
    def pair_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.is_closed = True

    @staticmethod
    def log_prob(ids: Sequence[int], option: Sequence[int]) -> float:
        return -0.25 * len(option) - zlib.crc32(repr((list(ids), list(option))).encode()) % 1000 / 1000

    def written(self, request: Request, number: int) -> Output:
        """What is written for a request, whoever shares its batch."""
        seed = request.decoding.seed if request.decoding.is_random else 0
        key = (request.input_ids, number, seed)
        tokens = [*request.prefix_ids]
        tokens += [
            self.words[zlib.crc32(repr((key, place)).encode()) % len(self.words)]
            for place in range(self.num_tokens)
        ]
        tokens = [*tokens, EOS_ID][: request.max_new_tokens]
        ending = "end" if tokens[-1] == EOS_ID else "length"
        text = decode(self.tokenizer, tokens)
        for length in range(1, len(tokens) + 1) if request.stop else ():
            text = decode(self.tokenizer, tokens[:length])
            places = [text.find(stop) for stop in request.stop if stop in text]
            if places:
                tokens, text, ending = tokens[:length], text[: min(places)], "stop"
                break
        log_probs = tuple(-0.5 - token % 7 / 10 for token in tokens) if request.log_probs else ()
        others = tuple(
            tuple(
                (self.words[(token + k) % len(self.words)], -0.4 - k) for k in range(request.num_alternatives)
            )
            for token in tokens
        )
        return Output(text, tuple(tokens), ending, log_probs, others if request.log_probs else ())

    def _piece(self, ticket: int, number: int, output: Output, at: int) -> Wrote:
        is_last = at == len(output.tokens) - 1
        before = self._shown(output, at)
        text = output.text[len(before) :] if is_last else self._shown(output, at + 1)[len(before) :]
        return Wrote(
            ticket, number, text, output.tokens[at : at + 1], output.log_probs[at : at + 1],
            output.alternatives[at : at + 1], output.ending if is_last else None,
        )  # fmt: skip

    def _shown(self, output: Output, length: int) -> str:
        text = decode(self.tokenizer, output.tokens[:length])
        return text if output.text.startswith(text) and output.ending != "stop" else ""

    def _same_thread(self) -> None:
        self.thread = self.thread or threading.current_thread()
        assert threading.current_thread() is self.thread, "an engine is used from one thread"


@pytest.fixture
def make_engine(tokenizer_folder) -> Callable[..., FakeEngine]:
    """`make_engine(slots=4)`."""
    return lambda **settings: FakeEngine(load_tokenizer(tokenizer_folder), **settings)


@pytest.fixture
def engine(make_engine) -> FakeEngine:
    return make_engine()


@pytest.fixture
def make_service(tokenizer_folder) -> Callable[..., Service]:
    """`make_service(engine, queue=4)`: a service of one model, `fake`."""

    def make(
        *engines: FakeEngine, names: Sequence[str] = ("fake", "other"), input_eos=True, **limits
    ) -> Service:
        models = [
            Model(name, each, load_tokenizer(tokenizer_folder), input_eos=input_eos, created=1)
            for name, each in zip(names, engines, strict=False)
        ]
        return Service(models, Limits(**limits))

    return make


@pytest.fixture
def make_client(make_service) -> Iterator[Callable[..., TestClient]]:
    """`make_client(engine, n=2)`: a client of the application in this process."""
    with contextlib.ExitStack() as open_clients:

        def make(*engines: FakeEngine, access: Access | None = None, on_access=None, **limits) -> TestClient:
            service = make_service(*engines, **limits)
            app = create_app(service, access or Access.of_bind("127.0.0.1"), on_access=on_access)
            client = open_clients.enter_context(TestClient(app, **LOCAL))
            client.service = service
            return client

        yield make


@pytest.fixture
def client(make_client, engine) -> TestClient:
    return make_client(engine)


class Running:
    """A server in a thread, on a port."""

    def __init__(self, service: Service, access: Access | None, on_access) -> None:
        self.service, self.stopping = service, []
        app = create_app(service, access or Access.of_bind("127.0.0.1"), on_access=on_access)
        listening, ready = bind("127.0.0.1", 0), threading.Event()
        self.url, self.port = address(listening), listening.getsockname()[1]
        self.server = Server(app, service, listening, on_ready=ready.set, on_stopping=self.stopping.append)
        self.ended = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert ready.wait(20)

    def _run(self) -> None:
        self.ended = self.server.run()

    def stop(self) -> None:
        self.server.stop()

    def join(self):
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.ended


@pytest.fixture
def serve(make_service) -> Iterator[Callable[..., Running]]:
    """`serve(engine, queue=4)`: uvicorn with that service on a free port, until the test ends."""
    running: list[Running] = []

    def start(*engines: FakeEngine, access: Access | None = None, on_access=None, **limits) -> Running:
        running.append(Running(make_service(*engines, **limits), access, on_access))
        return running[-1]

    yield start
    for each in running:
        for served in each.service.models.values():
            served.model.engine.may_step.set()
        each.stop()
        each.join()


PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import FakeEngine
from ramekin.serve.app import create_app
from ramekin.serve.limits import Limits
from ramekin.serve.security import Access
from ramekin.serve.server import Server, bind
from ramekin.serve.service import Model, Service
from ramekin.tensors.tokenizer import load_tokenizer
folder, engine, limits = Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
service = Service(
    [Model("fake", FakeEngine(load_tokenizer(folder), **engine), load_tokenizer(folder))], Limits(**limits)
)
listening = bind("127.0.0.1", 0)
app = create_app(service, Access.of_bind("127.0.0.1"))
ready = lambda: print(listening.getsockname()[1], flush=True)
print(Server(app, service, listening, on_ready=ready).run(), flush=True)
"""


class Apart:
    """A server in a process of its own."""

    def __init__(self, folder: Path, engine: dict, limits: dict) -> None:
        here = str(Path(__file__).parent)
        command = [sys.executable, "-c", PROGRAM, here, str(folder), json.dumps(engine), json.dumps(limits)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def rss(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()

    def num_files(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def serve_apart(tokenizer_folder) -> Iterator[Callable[..., Apart]]:
    """`serve_apart({"slots": 4}, queue=8)`: the same in a process of its own."""
    running: list[Apart] = []

    def start(engine: dict | None = None, **limits) -> Apart:
        running.append(Apart(tokenizer_folder, engine or {}, limits))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.communicate()
