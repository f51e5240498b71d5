"""Adapters beside their base: no byte of its weights is looked at."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from ramekin.errors import UsageError
from ramekin.merge.delta_space import delta_space, open_without_base
from ramekin.merge.extraction import merge_to_adapter
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import open_merge

from .conftest import random_tensors, t5_shapes

SHAPES = t5_shapes()
Q = "encoder.block.0.layer.0.SelfAttention.q.weight"
V = "decoder.block.0.layer.0.SelfAttention.v.weight"


def two(world) -> list[ModelInput]:
    return [ModelInput(n, world.adapter(n, names, SHAPES, seed=i)) for i, (n, names) in enumerate({"a": [Q], "b": [Q, V]}.items())]  # fmt: skip


def test_models_are_products_on_zeros(world) -> None:
    base, models = world.save("base", random_tensors(0)), two(world)
    with open_merge("task_arithmetic", base=base, models=models, settings={}, dtype="same") as opened:
        space = delta_space(opened)
        assert space is not None and space.changed == (V, Q)
        a, b = (model.reader for model in space.tuned)
        assert (
            a.names() == opened.names
            and not a.read(V, 0, 64).any()
            and not space.base.reader.read(Q, 0, 64).any()
        )
        np.testing.assert_array_equal(b.read(V, 8, 64), space.factors[1][V].dense().reshape(-1)[8:])
        assert b.info(V).nbytes == 0  # of a file


def test_a_checkpoint_among_them_or_a_method_of_values_has_no_such_space(world) -> None:
    base, models = world.save("base", random_tensors(0)), two(world)
    dense = [*models, world.tuned("m", random_tensors(0), seed=1)]
    for method, given in (("task_arithmetic", dense), ("slerp", models)):
        with open_merge(method, base=base, models=given, settings={}, dtype="same") as opened:
            assert delta_space(opened) is None


def test_the_bases_values_are_never_looked_at(world) -> None:
    """A base that is all NaN, which any read would refuse."""
    nothing = {name: torch.full(shape, float("nan")) for name, shape in SHAPES.items()}
    base, models = world.save("base", nothing), two(world)
    hashes = {
        merge_to_adapter(method, base=base, models=models, output=world.root / f"{method}-{align is None}", settings={}, rank=8, align=align).sha256
        for method in ("task_arithmetic", "ties_merging")
        for align in (None, {"name": "knots"})
    }  # fmt: skip
    assert len(hashes) >= 3


def test_without_a_base_the_tensors_are_those_that_change(world) -> None:
    models = two(world)
    with open_without_base("task_arithmetic", models=models, settings={}, post=None, dtype="same") as found:
        opened, space, record = found
        assert opened.names == (V, Q) == space.changed and opened.plan.base is None
        assert opened.plan.parameters == 128 and record.name == "base" and record.sha256 is None


def test_no_torch_is_needed(world) -> None:
    folders = [str(model.folder) for model in two(world)]
    code = f"""
import sys
from pathlib import Path
from ramekin.merge.extraction import merge_to_adapter
from ramekin.merge.inputs import ModelInput
models = [ModelInput(name, Path(name)) for name in {folders!r}]
merge_to_adapter("ties_merging", base=None, models=models, output=Path({str(world.root / "out")!r}), settings={{}}, rank=4)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("settings", "post", "twice", "message"),
    [
        ({}, None, True, "a model is listed twice"),
        ({"weights": [1, 2, 3]}, None, False, "weights must be one number, or one for each model"),
        ({"weights": [1, -1], "normalize": True}, None, False, "zero"),
        ({"scaling_factor": {"encoder": 1}}, None, False, "no pattern"),
    ],
)
def test_what_stops_other_merges_stops_those_without_a_base(world, settings, post, twice, message) -> None:
    models = two(world)
    with (
        pytest.raises(UsageError, match=message),
        open_without_base(
            "task_arithmetic",
            models=[models[0], *models] if twice else models,
            settings=settings,
            post=post,
            dtype="same",
        ),
    ):
        pass


def test_statistics_are_not_passed_over_in_silence(world) -> None:
    models, folder = two(world), world.root / "statistics"
    for method, message in (("task_arithmetic", "takes no statistics"), ("fisher", "of whole models")):
        with pytest.raises(UsageError, match=message):
            merge_to_adapter(
                method, base=None, models=models, output=world.root / "out", settings={}, rank=2,
                statistics=[folder],
            )  # fmt: skip
    base = world.save("base", random_tensors(0))
    with pytest.raises(UsageError, match="the output is one of the inputs"):
        merge_to_adapter(
            "fisher", base=base, models=models, output=folder, settings={}, rank=2, statistics=[folder]
        )
