"""Answers of one evaluation by many processes or machines: who answers what, and what a worker does.

A worker answers requests and keeps them in the journal, nothing more. The ordinary evaluation, which comes
after, finds them there; what no worker kept it answers itself. So workers have no say in what is scored.
Which requests share a batch depends on how they are shared out, and with it a log-probability's last bits
(1e-5). Knows nothing of scores or of where workers run.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError
from ramekin.evaluate.answering import Asked, answered
from ramekin.evaluate.journal import Request
from ramekin.infer.kept import fingerprint
from ramekin.recipes.evaluate_schema import EvaluateConfig, suite_of
from ramekin.recipes.evaluations.asking import AskedEntry, ask
from ramekin.recipes.evaluations.suite import MAX_INPUT_TOKENS
from ramekin.recipes.models import locate, locate_tokenizer, open_named
from ramekin.recipes.places import pick_device, places_of
from ramekin.recipes.progress import AbstractProgress, SilentProgress
from ramekin.recipes.workers import AbstractWorkers, workers
from ramekin.text.suite import SuiteEntry, suite_entries

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ramekin.evaluate.sets import EncodedEvalSet

__all__ = ["Job", "Share", "answer_job", "fan_out", "is_shared_out", "shares_of"]

_JOBS_EACH = 4
"""A worker gets about so many, so that none is long alone at the end."""
_JOBS_OF_A_CLUSTER = 64
"""Where it is not known how many workers there are."""


@final
@dataclass(frozen=True, slots=True)
class Share:
    """Requests that are answered together."""

    entries: tuple[tuple[int, tuple[int, ...]], ...]
    """Places among a suite's entries, each with the places of its requests."""
    tokens: int
    digest: str
    """Of the requests: a worker that reads other rows must not answer those."""

    @property
    def count(self) -> int:
        """Of the requests."""
        return sum(len(places) for _, places in self.entries)


@final
@dataclass(frozen=True, slots=True)
class Job:
    """One share for one model, to be answered in whatever process."""

    config: str
    """The configuration as JSON."""
    model: str
    journal: Path
    share: Share


def is_shared_out(config: EvaluateConfig) -> bool:
    """Whether others are to answer."""
    return config.workers > 1 or config.cluster != "none"


def fan_out(
    config: EvaluateConfig,
    models: Sequence[str],
    asked: Sequence[AskedEntry],
    encoded: Sequence["EncodedEvalSet"],
    journal: Path,
    progress: AbstractProgress,
) -> int:
    """Let workers answer everything, and keep it.

    Args:
        config: of the evaluation.
        models: that share a tokenizer.
        asked: what of the suite is there.
        encoded: all its sets as tokens, in order.
        journal: the folder where answers are kept; on a cluster one that all machines see.
        progress: told of each job that is done, with the time left.

    Returns:
        How many jobs there were; 0 where there is too little to share.

    Raises:
        ResourceError: a worker was lost, or the cluster has no room for one.
        DataError: a worker reads other rows than this process.
    """
    pick_device(config.device)  # a wrong one is told of before anything is answered
    on_cluster = config.cluster != "none"
    num_workers = config.workers if config.workers > 1 or not on_cluster else 0
    per_entry = _requests_by_entry(config, asked, encoded)
    distinct = {each.request: each.tokens for _, requests in per_entry for each in requests}
    num_jobs = num_workers * _JOBS_EACH or _JOBS_OF_A_CLUSTER
    size = max(config.batch_tokens, -(-sum(distinct.values()) * len(models) // num_jobs))
    shares = shares_of(per_entry, size)
    if len(shares) * len(models) < 2 and not on_cluster:
        return 0
    for name in models:
        locate(name, places_of(config), progress)  # fetched or made once, not by each worker
    told = _as_json(config)
    jobs = [Job(told, name, journal.absolute(), share) for name in models for share in shares]
    where = "a Ray cluster" if on_cluster else f"{num_workers} processes"
    with (
        progress.stage(f"answer by {where}", total=100) as stage,
        _pool(config, num_workers, len(jobs)) as pool,
    ):
        started, requests, tokens = time.perf_counter(), 0, 0
        whole = sum(job.share.tokens for job in jobs)
        for number, (place, count) in enumerate(pool.run(answer_job, jobs), start=1):
            requests, tokens = requests + count, tokens + jobs[place].share.tokens
            seconds = (time.perf_counter() - started) * (whole - tokens) / tokens
            left = f", {seconds:.0f} s left" if tokens < whole else ""
            stage.advance(
                100 * jobs[place].share.tokens / whole,
                f"{number} of {len(jobs)} jobs, {requests:,} requests{left}",
            )
    return len(jobs)


def shares_of(entries: Sequence[tuple[int, Sequence[Asked]]], size: int) -> list[Share]:
    """Every different request in one share, in order, those of about so many tokens together.

    What is longer than the others comes first, so that no worker is left with it at the end.

    Args:
        entries: places among a suite's entries, with what each asks.
        size: tokens of a share, of prompts and answers together.

    >>> asked = [Asked(Request((5,) * n, ((1,),)), 0, 0) for n in (2, 2, 9, 2)]
    >>> [(share.entries, share.tokens) for share in shares_of([(0, asked[:3]), (4, asked)], size=8)]
    [(((0, (0, 2)),), 13)]
    >>> [share.entries for share in shares_of([(0, asked[2:]), (4, asked[:2])], size=8)]
    [((0, (0,)),), ((0, (1,)),)]
    """
    seen: set[Request] = set()
    found: list[list[tuple[int, int, Asked]]] = [[]]
    tokens = 0
    for entry, asked in entries:
        for place, each in enumerate(asked):
            if each.request in seen:
                continue
            seen.add(each.request)
            if tokens >= size:
                found.append([])
                tokens = 0
            found[-1].append((entry, place, each))
            tokens += each.tokens
    shares = [_share(each) for each in found if each]
    return sorted(shares, key=lambda share: share.tokens // size, reverse=True)


def _share(requests: Sequence[tuple[int, int, Asked]]) -> Share:
    by_entry = groupby(requests, key=lambda each: each[0])
    return Share(
        tuple((entry, tuple(place for _, place, _ in each)) for entry, each in by_entry),
        sum(each.tokens for _, _, each in requests),
        _digest([each.request for _, _, each in requests]),
    )


def _digest(requests: Sequence[Request]) -> str:
    digest = sha256()
    for each in requests:
        digest.update(sha256(each.key).digest())
    return digest.hexdigest()


def _requests_by_entry(
    config: EvaluateConfig, asked: Sequence[AskedEntry], encoded: Sequence["EncodedEvalSet"]
) -> list[tuple[int, list[Asked]]]:
    from ramekin.evaluate.runner import requests_of

    places = {entry: place for place, entry in enumerate(suite_entries(suite_of(config)))}
    found, start = [], 0
    for each in asked:
        end = start + len(each.sets)
        found.append((places[each.entry], requests_of(encoded[start:end], seed=config.seed)))
        start = end
    return found


def _as_json(config: EvaluateConfig) -> str:
    """All that a worker needs to know; what is made of the answers is not its concern."""
    changes: dict[str, object] = {}
    if config.cluster != "none" and config.device.startswith("cuda"):
        changes["device"] = "cuda"  # of the GPUs that a Ray worker may use there is one
    here = config.model_copy(update=changes)
    return here.model_dump_json(exclude={"output", "overwrite", "against"})


def _pool(config: EvaluateConfig, count: int, num_jobs: int) -> AbstractContextManager[AbstractWorkers]:
    if config.cluster == "none":
        return workers(min(count, num_jobs))
    from ramekin.recipes.ray_workers import ray_workers

    return ray_workers(count, num_jobs=num_jobs, on_gpus=config.device != "cpu")


def answer_job(job: Job) -> int:
    """What a worker does: read and tokenise its entries, open the model, answer, keep; how many it answered.

    Raises:
        DataError: its rows are not those that the job was made of.
    """
    requests = [
        request
        for entry, places in job.share.entries
        for request in _chosen(_requests(job.config, job.model, entry), places)
    ]
    if _digest(requests) != job.share.digest:
        names = [_entries(job.config)[entry].name for entry, _ in job.share.entries]
        raise DataError(
            "a worker reads other rows or another vocabulary than the command that sent it",
            where=", ".join(names),
            expected="the same folders under the same paths, unchanged while the command runs",
            fix="run the same command again, on machines that share their files",
        )
    model, weights = _opened(job.config, job.model)
    asked = [Asked(request, place, 0) for place, request in enumerate(requests)]
    config = _config(job.config)
    answered(model, asked, batch_tokens=config.batch_tokens, journal=job.journal, weights=weights)
    return len(requests)


def _chosen(requests: Sequence[Request], places: Sequence[int]) -> Iterator[Request]:
    return (requests[place] for place in places if place < len(requests))


# A worker lives as long as one command, and what it has read stays as it was.
@lru_cache(maxsize=1)
def _config(told: str) -> EvaluateConfig:
    return EvaluateConfig.model_validate(json.loads(told))


@lru_cache(maxsize=1)
def _entries(told: str) -> tuple[SuiteEntry, ...]:
    return suite_entries(suite_of(_config(told)))


@lru_cache(maxsize=1)
def _opened(told: str, name: str) -> tuple["PreTrainedModel", str]:
    """A model and its fingerprint."""
    config = _config(told)
    device = pick_device(config.device)
    model = open_named(name, places_of(config), SilentProgress(), base=config.base, device=device).model
    return model, fingerprint(model)


def _requests(told: str, name: str, entry: int) -> tuple[Request, ...]:
    folder = locate_tokenizer(name, places_of(_config(told)), SilentProgress())
    return _requests_of_entry(told, folder, entry)


@lru_cache(maxsize=2)  # a share ends within an entry that the next begins with
def _requests_of_entry(told: str, tokenizer_folder: Path, entry: int) -> tuple[Request, ...]:
    """Everything that an entry asks."""
    from ramekin.evaluate.runner import requests_of
    from ramekin.evaluate.sets import encode_sets
    from ramekin.tensors.tokenizer import load_tokenizer, token_ids

    config = _config(told)
    tokenizer = load_tokenizer(tokenizer_folder)
    max_input_tokens = config.max_input_tokens or MAX_INPUT_TOKENS
    (asked,), _ = ask(
        [_entries(told)[entry]],
        places=places_of(config),
        rules=config.mode.rules,
        seed=config.seed,
        max_input_tokens=max_input_tokens,
        count_tokens=lambda text: len(token_ids(tokenizer, [text])[0]),
        strict=True,
    )
    sets = encode_sets([each.eval_set for each in asked.sets], tokenizer, max_input_tokens=max_input_tokens)
    return tuple(each.request for each in requests_of(sets, seed=config.seed))
