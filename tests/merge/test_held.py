import numpy as np
import pytest
import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.held import HeldModels
from ramekin.merge.inputs import ModelInput
from ramekin.merge.run import merge
from ramekin.weights.reading import CheckpointReader

POINTS = [
    ("task_arithmetic", {"scaling_factor": 0.4}, None),
    ("task_arithmetic", {"scaling_factor": {"encoder": 0.2, ".*": 0.5}}, None),
    ("task_arithmetic", {"scaling_factor": 0.4, "weights": [1, 2, 0.5]}, None),
    ("ties_merging", {"scaling_factor": 0.7, "density": 0.3}, None),
    ("simple_average", {}, None),
    ("tsv_merge", {"scaling_factor": 0.9}, None),
    ("task_arithmetic", {"scaling_factor": 0.4}, {"name": "svc"}),
]


def _empty(world, base):
    return {name: np.full(tuple(each.shape), 7, dtype=np.float32) for name, each in world.load(base).items()}


def _count_reads(monkeypatch) -> list[str]:
    reads: list[str] = []
    read = CheckpointReader.read

    def counted(self, name, start, stop, *, out=None):
        reads.append(f"{self.where}#{name}")
        return read(self, name, start, stop, out=out)

    monkeypatch.setattr(CheckpointReader, "read", counted)
    return reads


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("dtype", ["same", "bfloat16"])
def test_every_merge_is_the_one_on_disk_bit_for_bit(world, family, in_memory: bool, dtype) -> None:
    base, models = family
    held = HeldModels(base, models, in_memory=in_memory)
    tensors = _empty(world, base)
    for place, (method, settings, post) in enumerate([*POINTS, *reversed(POINTS)]):
        held.merge_into(tensors, method, settings, post=post, dtype=dtype)
        output = world.root / f"out-{place}"
        merge(method, base=base, models=models, output=output, settings=settings, post=post, dtype=dtype)
        written = world.load(output)
        assert tensors.keys() == written.keys()
        for name, tensor in written.items():
            assert torch.equal(torch.from_numpy(tensors[name]), tensor.float()), (method, name)


def test_a_tensor_is_read_from_its_file_once(world, family, monkeypatch) -> None:
    base, models = family
    reads = _count_reads(monkeypatch)
    held = HeldModels(base, models)
    tensors = _empty(world, base)
    told = [held.merge_into(tensors, *each[:2], post=each[2]) for each in POINTS]
    assert len(reads) == len(set(reads)) == len(tensors) * (1 + len(models))
    # The second is another factor of the first, so that nothing was gone through.
    assert told[0].bytes_read > 0 and told[1].bytes_read == 0 and told[2].bytes_read > 0


def test_what_is_not_held_is_read_again_but_not_for_another_factor(world, family, monkeypatch) -> None:
    base, models = family
    reads = _count_reads(monkeypatch)
    held = HeldModels(base, models, in_memory=False)
    tensors = _empty(world, base)
    held.merge_into(tensors, "task_arithmetic", {"scaling_factor": 0.1})
    once = len(reads)
    held.merge_into(tensors, "task_arithmetic", {"scaling_factor": 0.9})
    assert len(reads) == once
    held.merge_into(tensors, "task_arithmetic", {"scaling_factor": 0.9, "weights": [1, 1, 2]})
    assert len(reads) == 2 * once


def test_adapters_share_the_base_that_is_held(world, family, monkeypatch) -> None:
    base, models = family
    shapes = {name: tuple(each.shape) for name, each in world.load(base).items()}
    name = next(name for name in shapes if name.endswith("SelfAttention.q.weight"))
    adapters = [ModelInput(f"a{i}", world.adapter(f"a{i}", [name], shapes, seed=i)) for i in range(2)]
    reads = _count_reads(monkeypatch)
    held = HeldModels(base, [models[0], *adapters])
    tensors = _empty(world, base)
    held.merge_into(tensors, "ties_merging", {"scaling_factor": 1})
    held.merge_into(tensors, "magmax", {"scaling_factor": 1})
    assert len(reads) == len(set(reads)) == 2 * len(tensors)


def test_what_is_told_is_that_of_the_merge(world, family) -> None:
    base, models = family
    held = HeldModels(base, models)
    tensors = _empty(world, base)
    for factor in (0.5, 1.0):
        told = held.merge_into(tensors, "ties_merging", {"scaling_factor": factor})
        assert set(told.figures["kept_share"]) == {model.label for model in models}  # type: ignore[call-overload]


def test_what_is_not_finite_is_refused(world, family) -> None:
    base, models = family
    tensors = _empty(world, base)
    with pytest.raises(WeightsError, match="a merged value is not finite"):
        HeldModels(base, models).merge_into(
            tensors, "task_arithmetic", {"scaling_factor": 1e6}, dtype="float16"
        )


def test_tensors_that_cannot_be_written_in_place_are_refused(world, family) -> None:
    base, models = family
    tensors = {name: each.astype(np.float64) for name, each in _empty(world, base).items()}
    for method in ("task_arithmetic", "simple_average"):
        with pytest.raises(UsageError, match="contiguous fp32"):
            HeldModels(base, models).merge_into(tensors, method, {})
