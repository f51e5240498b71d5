"""What a server counts, in a registry of its own, in Prometheus' text format.

Knows nothing of HTTP or engines; whoever does something counts it.
"""

from collections.abc import Callable
from typing import Final, final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@final
class Metrics:
    """Counters, histograms and gauges of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        r = self._registry
        self.requests = Counter(
            "ramekin_requests", "Requests that were answered.", ("path", "method", "status"), registry=r
        )
        self.seconds = Histogram(
            "ramekin_request_seconds",
            "From a request's arrival to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=r,
        )
        self.first_token_seconds = Histogram(
            "ramekin_first_token_seconds",
            "From a request's arrival to the first piece of a stream.",
            ("model",),
            buckets=_SECONDS,
            registry=r,
        )
        self.input_tokens = Counter(
            "ramekin_input_tokens", "Tokens of prompts and inputs that were answered.", ("model",), registry=r
        )
        self.output_tokens = Counter(
            "ramekin_output_tokens", "Tokens that were written.", ("model",), registry=r
        )
        self.scored_tokens = Counter(
            "ramekin_scored_tokens", "Tokens of options that were scored.", ("model",), registry=r
        )
        self.unknown_tokens = Counter(
            "ramekin_unknown_tokens",
            "Tokens of prompts that stand for what the vocabulary does not know.",
            ("model",),
            registry=r,
        )
        self.cancelled = Counter(
            "ramekin_cancelled",
            "Requests that were given up: the client left, the deadline, the end of the server.",
            ("reason",),
            registry=r,
        )
        self.refused = Counter(
            "ramekin_refused",
            "Requests that were refused, by the code of the error.",
            ("reason",),
            registry=r,
        )
        self.open = Gauge("ramekin_open_requests", "Requests that are open, of all kinds.", registry=r)

    def watch(
        self, model: str, *, running: Callable[[], int], waiting: Callable[[], int], tokens: Callable[[], int]
    ) -> None:
        """Show what an engine has to do, asked for at each reading."""
        gauges = (
            ("ramekin_running", "Prompts that are being answered.", running),
            ("ramekin_waiting", "Prompts and inputs that wait.", waiting),
            ("ramekin_tokens_in_flight", "Tokens that the running ones may take.", tokens),
        )
        for name, text, value in gauges:
            if name not in self._gauges:
                self._gauges[name] = Gauge(name, text, ("model",), registry=self._registry)
            self._gauges[name].labels(model).set_function(value)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
