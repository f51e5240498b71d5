import os
import shutil
from types import SimpleNamespace

import pytest
from threadpoolctl import threadpool_info

from ramekin.errors import ResourceError, UsageError
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import open_merge, plan_merge
from ramekin.merge.run import merge

from .conftest import random_tensors


@pytest.mark.parametrize(
    ("method", "settings", "passes"),
    [
        ("simple_average", {}, 1),
        ("task_arithmetic", {}, 1),
        ("ties_merging", {}, 3),
        ("ties_merging", {"scope": "tensor"}, 3),
        ("ties_merging", {"zero_sign": "positive"}, 2),
        ("ties_merging", {"density": 1.0}, 2),
        ("ties_merging", {"density": 0.0}, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["same", "bfloat16"])
def test_the_numbers_are_those_of_the_run(
    world, family, method: str, settings: dict[str, object], passes: int, dtype: str
) -> None:
    base, models = family
    output = world.root / "out"
    told: list[tuple[int, int]] = []
    plan = plan_merge(method, base=base, models=models, output=output, settings=settings, dtype=dtype)
    assert not output.exists()
    report = merge(
        method, base=base, models=models, output=output, settings=settings, dtype=dtype,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    tensors = world.load(output)
    assert plan.passes == passes
    assert plan.tensors == report.tensors == len(tensors)
    assert plan.parameters == report.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert plan.bytes_read == report.bytes_read == passes * 4 * 4 * plan.parameters
    assert told[-1] == (plan.bytes_read, plan.bytes_read)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert plan.bytes_written == report.bytes_written == (output / "model.safetensors").stat().st_size
    assert (plan.method, plan.base, plan.output) == (method, str(base), str(output))
    assert plan.models == ("m0", "m1", "m2")


def test_the_memory_does_not_grow_with_the_models(world) -> None:
    base = world.save("base")
    models = [ModelInput(f"m{i}", world.save(f"m{i}", seed=i)) for i in range(1, 41)]
    peaks = [
        plan_merge(
            "task_arithmetic", base=base, models=models[:n], output=world.root / "out", settings={}
        ).peak_bytes
        for n in (1, 10, 40)
    ]
    assert max(peaks) < 60e6


def test_dummy_reads_the_base_alone(world, family) -> None:
    base, models = family
    plan = plan_merge("dummy", base=base, models=models, output=world.root / "out", settings={})
    assert plan.models == () and plan.bytes_read == 4 * plan.parameters
    plan = plan_merge("dummy", base=None, models=models, output=world.root / "out", settings={})
    assert plan.models == ("m0",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "ties"}, "unknown merge method 'ties'"),
        ({"dtype": "float23"}, "unknown dtype 'float23': did you mean 'float32'"),
        ({"settings": {"scaling_factr": 1}}, "unknown setting of task_arithmetic 'scaling_factr'"),
        ({"models": []}, "task_arithmetic was given no models"),
        ({"base": None}, "task_arithmetic needs the base"),
        (
            {"method": "simple_average", "settings": {"weights": [1, 2]}},
            "weights must be one number, or one for each model: expected 3 numbers, got 2",
        ),
        (
            {"method": "simple_average", "settings": {"weights": [1, 1, -2]}},
            "the weights add to zero: weights: got 1, 1, -2; fix: give other weights, or set normalize=false",
        ),
    ],
)
def test_wrong_words(world, family, change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"method": "task_arithmetic", "base": family[0], "models": family[1], "settings": {}}  # fmt: skip
    with pytest.raises(UsageError, match=message):
        plan_merge(output=world.root / "out", **{**given, **change})  # type: ignore[arg-type]


def test_an_output_that_exists_or_is_an_input(world, family) -> None:
    base, models = family
    with pytest.raises(UsageError, match="the output is one of the inputs"):
        plan_merge("task_arithmetic", base=base, models=models, output=base, settings={}, overwrite=True)
    with pytest.raises(UsageError, match="the output is one of the inputs"):
        plan_merge(
            "task_arithmetic", base=base, models=models, output=models[1].folder, settings={}, overwrite=True
        )
    taken = world.save("taken")
    with pytest.raises(
        UsageError, match=r"the output exists and is never overwritten unasked: .*overwrite=true"
    ):
        plan_merge("task_arithmetic", base=base, models=models, output=taken, settings={})
    plan_merge("task_arithmetic", base=base, models=models, output=taken, settings={}, overwrite=True)


def test_a_folder_that_may_not_be_written_to(world, family, monkeypatch) -> None:
    base, models = family
    refused = world.root.absolute()
    monkeypatch.setattr(os, "access", lambda path, mode: path != refused)
    with pytest.raises(ResourceError, match=r"the output cannot be written here: .*/a/out.*got .*may not be"):
        plan_merge("task_arithmetic", base=base, models=models, output=world.root / "a" / "out", settings={})
    assert not (world.root / "a").exists()


def test_a_disk_that_is_too_full(world, family, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(ResourceError, match=r"the disk is too full for the output: .*MB free, got 0.0 MB"):
        plan_merge(
            "task_arithmetic",
            base=family[0],
            models=family[1],
            output=world.root / "a" / "b" / "out",
            settings={},
        )


def test_products_are_made_in_one_thread(world, family) -> None:
    def threads() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    before = threads()
    with open_merge("dummy", base=family[0], models=[], settings={}, dtype="same"):
        assert threads() == {1}
    assert threads() == before


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_one_tensor_under_several_names_is_told(world, tied: bool) -> None:
    tensors = random_tensors(0, tied=tied)
    again = {**tensors, "encoder.embed_tokens.weight": tensors["shared.weight"]}
    base, model = world.save("base", tensors), world.tuned("m", tensors, seed=1)
    other = ModelInput("again", world.save("again", again))
    plan = plan_merge(
        "simple_average", base=base, models=[model, other], output=world.root / "out", settings={}
    )
    assert plan.head == ("embedding" if tied else "stored")
    assert plan.second_names == ("encoder.embed_tokens.weight",) and plan.tensors == len(tensors)
    assert plan.bytes_free is not None and plan.bytes_free > plan.bytes_written
    nothing = plan_merge("simple_average", base=base, models=[model], output=None, settings={})
    assert nothing.second_names == () and nothing.bytes_free is None


@pytest.mark.parametrize("output", [".", "base", "base/merged"])
def test_an_output_is_no_input_and_neither_holds_one_nor_lies_in_one(world, family, output: str) -> None:
    base, models = family
    place = {".": base.parent, "base": base, "base/merged": base / "merged"}[output]
    with pytest.raises(UsageError, match=r"the output (is|holds|lies in) one of the inputs"):
        plan_merge("task_arithmetic", base=base, models=models, output=place, settings={}, overwrite=True)
    assert (base / "config.json").is_file()
