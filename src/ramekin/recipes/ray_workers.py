"""Jobs on a Ray cluster: one worker a core or GPU, one job at a time each, results as they come.

All machines of the cluster must have ramekin and see the same folders under the same paths, as on a
shared file system. Ray is started here where no cluster is named (`RAY_ADDRESS`). Knows nothing of what a
job is.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

from ramekin.errors import ResourceError, UsageError
from ramekin.recipes.workers import AbstractWorkers

__all__ = ["RayWorkers", "ray_workers"]

J = TypeVar("J")
R = TypeVar("R")
_OURS = ("RAMEKIN_", "HF_")


@contextmanager
def ray_workers(count: int, *, num_jobs: int, on_gpus: bool) -> Iterator[AbstractWorkers]:
    """Workers of a Ray cluster for the block.

    Args:
        count: at most so many; 0 takes as many as the cluster has room for.
        num_jobs: no more than so many are started.
        on_gpus: give each worker a GPU of its own, where the cluster has any.

    Raises:
        UsageError: Ray is not installed.
        ResourceError: the cluster has no room for a worker.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "cluster=ray needs Ray, which is not installed", fix="pip install 'ramekin[cluster]'"
        ) from error
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(
            log_to_driver=False,
            include_dashboard=False,
            runtime_env={"env_vars": {k: v for k, v in os.environ.items() if k.startswith(_OURS)}},
        )
    try:
        yield RayWorkers(ray, min(num_jobs, count or num_jobs), on_gpus=on_gpus)
    finally:
        if started_here:
            ray.shutdown()


@final
class RayWorkers(AbstractWorkers):
    """Actors of a cluster, each with what its process keeps from one job to the next."""

    def __init__(self, ray: Any, count: int, *, on_gpus: bool) -> None:
        self._ray = ray
        room = ray.cluster_resources()
        gpus = int(room.get("GPU", 0)) if on_gpus else 0
        number = min(count, gpus or int(room.get("CPU", 0)))
        if number < 1:
            raise ResourceError(
                "the Ray cluster has no room for a worker",
                expected="at least one CPU",
                got=", ".join(f"{key} {value:g}" for key, value in sorted(room.items())),
            )
        actor = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0)(_Actor)
        self._actors = [actor.remote(str(Path.cwd())) for _ in range(number)]

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R]]:
        """The position and result of each job, in the order they finish.

        Raises:
            ResourceError: a worker was lost.
        """
        waiting = iter(enumerate(jobs))
        running: dict[Any, tuple[int, Any]] = {}

        def begin(actor: Any) -> None:
            for position, job in waiting:
                running[actor.run.remote(function, job)] = (position, actor)
                return

        for actor in self._actors:
            begin(actor)
        while running:
            (found,), _ = self._ray.wait(list(running), num_returns=1)
            position, actor = running.pop(found)
            try:
                result = self._ray.get(found)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayActorError as error:
                raise ResourceError(
                    "a worker of the Ray cluster was lost, as happens where memory runs out",
                    got=str(error).splitlines()[0],
                    fix="run the same command again: what was finished is kept",
                ) from error
            begin(actor)
            yield position, result


@final
class _Actor:
    """A process of the cluster."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)
        import torch

        torch.set_num_threads(1)

    def run(self, function: Callable[[J], R], job: J) -> R:
        """What a job comes to."""
        return function(job)
