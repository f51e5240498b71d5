"""What may be written of an adapter: each kind's keys, and no other's."""

import pytest
from pydantic import ValidationError

from ramekin.recipes.adapter_config import AdapterConfig
from ramekin.recipes.schema import RoadConfig


def test_each_kind_has_its_own_targets() -> None:
    assert AdapterConfig().targets == ()
    assert AdapterConfig(kind="lora").targets == ("q", "v")
    assert AdapterConfig(kind="ia3").targets == ("k", "v", "wo")
    assert AdapterConfig.model_validate({"kind": "ia3", "targets": "all-linear"}).targets == ("all-linear",)
    assert AdapterConfig.model_validate({"kind": "lora", "targets": ["o"]}).targets == ("o",)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "ia3", "rank": 8}, "'rank' is a key of adapter=lora, not of ia3"),
        ({"kind": "prompt", "targets": ["q"]}, "'targets' is a key of adapter=lora and ia3, not of prompt"),
        ({"kind": "lora", "text": "x"}, "'text' is a key of adapter=prompt, not of lora"),
        ({"dora": True}, "'dora' is a key of adapter=lora, not of none"),
        (
            {"kind": "lora", "num_virtual_tokens": 5},
            "'num_virtual_tokens' is a key of adapter=prompt, not of lora",
        ),
        ({"kind": ["lora"]}, "kind"),
    ],
)
def test_a_key_of_another_kind_is_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AdapterConfig.model_validate(values)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("kind", ["none", "lora", "ia3", "prompt"])
def test_what_is_written_down_reads_back_equal(kind: str) -> None:
    config = AdapterConfig.model_validate({"kind": kind})
    written = config.model_dump(mode="json")
    assert set(written) == {"kind", *AdapterConfig.KEYS[kind]}
    assert AdapterConfig.model_validate(written) == config


def test_every_key_belongs_to_a_kind() -> None:
    keys = {key for keys in AdapterConfig.KEYS.values() for key in keys}
    assert keys == AdapterConfig.model_fields.keys() - {"kind"}


@pytest.mark.parametrize("adapter", [{"kind": "ia3"}, {"kind": "none"}, {"kind": "lora", "dora": True}])
def test_a_road_needs_adapters_that_merge(adapter: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a road merges its adapters: it needs kind=lora, without dora"):
        RoadConfig.model_validate({"adapter": adapter})


def test_a_plan_says_what_is_trained() -> None:
    configs = [
        AdapterConfig(),
        AdapterConfig(kind="lora", rank=4),
        AdapterConfig(kind="lora", dora=True),
        AdapterConfig(kind="ia3"),
        AdapterConfig(kind="prompt"),
    ]
    assert [config.summary for config in configs] == [
        "whole", "with lora r=4", "with dora r=16", "with ia3 on k, v, wo", "with a prompt of 20",
    ]  # fmt: skip
