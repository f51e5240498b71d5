import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ramekin.errors import UsageError
from ramekin.recipes.ray_workers import ray_workers

Run = Callable[..., tuple[int, str, str]]


def _squared(number: int) -> int:
    return number * number


def _refused(number: int) -> int:
    raise UsageError("this one cannot be", got=str(number))


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"ramekin\[cluster\]"), ray_workers(0, num_jobs=2, on_gpus=False):
        pass


def test_another_cluster_is_refused(ramekin: Run, tmp_path: Path) -> None:
    words = ("method=task_arithmetic", "base=b", "models=[m]", "method.scaling_factor=0.1,0.2")
    code, _, err = ramekin("sweep", "merge", *words, "cluster=rai", f"output={tmp_path / 'out'}")
    assert code == 2 and "did you mean 'ray'" in err


@pytest.mark.slow
class TestRay:
    """With Ray itself, where it is installed."""

    @pytest.fixture(autouse=True)
    def _ray(self) -> None:
        pytest.importorskip("ray")

    @pytest.mark.filterwarnings("default")  # Ray's own
    def test_results_come_with_their_positions(self) -> None:
        with ray_workers(2, num_jobs=5, on_gpus=True) as pool:
            assert dict(pool.run(_squared, [1, 2, 3, 4, 5])) == {0: 1, 1: 4, 2: 9, 3: 16, 4: 25}
            with pytest.raises(UsageError, match="this one cannot be"):
                list(pool.run(_refused, [1, 2]))

    @pytest.mark.filterwarnings("default")
    def test_a_sweep_of_merges_finds_the_same(
        self, ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make_checkpoint(tmp_path / "base", seed=0)
        for seed in (1, 2):
            make_checkpoint(Path(f"m{seed}"), seed=seed, like=tmp_path / "base")
        words = (
            "sweep", "merge", "method=task_arithmetic", "method.scaling_factor=0.0,0.5,1.0", "base=base",
            "models=[m1,m2]", "tasks=[mini/rte,mini/cola]", "limit=12", "threads=1", "device=cpu",
        )  # fmt: skip
        assert ramekin(*words, "output=here")[0] == 0
        code, _, err = ramekin(*words, "output=there", "cluster=ray")
        assert code == 0, err
        here, there = (_scores(Path(folder, "results.csv")) for folder in ("here", "there"))
        assert here == there and len(here) == 3

    @pytest.mark.filterwarnings("default")
    def test_an_evaluation_finds_the_same(
        self, ramekin: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for seed in (1, 2):
            make_checkpoint(Path(f"m{seed}"), seed=seed)
        words = (
            "evaluate", "models=[m1,m2]", "tasks=[mini/rte,mini/cola,mini/stsb]", "limit=30", "batch_tokens=800",
        )  # fmt: skip
        assert ramekin(*words, "output=here", "answers=kept-here")[0] == 0
        code, _, err = ramekin(*words, "output=there", "answers=kept-there", "cluster=ray")
        assert code == 0, err
        assert "answer by a Ray cluster" in err
        here, there = (
            {
                path.relative_to(folder): path.read_bytes()
                for path in Path(folder).rglob("predictions/*.jsonl")
            }
            for folder in ("here", "there")
        )
        assert here == there and len(here) == 6
        keys = [
            sorted(line for path in Path(folder).rglob("*.jsonl") for line in path.read_text().splitlines())
            for folder in ("kept-here", "kept-there")
        ]
        assert keys[0] == keys[1]
        files = [path.name for path in Path("kept-there").rglob("*.jsonl")]
        assert files and not any(name.startswith(f"{os.getpid()}-") for name in files)


def _scores(file: Path) -> list[list[str]]:
    return [line.split(",")[-4:] for line in file.read_text().splitlines()[1:]]
