from typing import Any

import pytest
import yaml

from ramekin.errors import UsageError
from ramekin.merge.methods import parse_method
from ramekin.recipes.mergekit import METHOD_NAMES, convert

TIES = """
merge_method: ties
base_model: org/base
models:
  - model: org/base
  - model: org/a
    parameters: {weight: 0.5, density: [0.2, 0.8]}
  - model: org/base+runs/b
    parameters:
      density:
        - {filter: SelfAttention, value: 0.3}
        - {filter: wi_0.weight, value: [0.1, 0.2]}
parameters: {weight: 1, density: 0.6, lambda: 0.7, normalize: false, int8_mask: true}
dtype: bfloat16
out_dtype: float32
"""


def _convert(text: str) -> dict[str, Any]:
    return convert(yaml.safe_load(text), where="f.yml")


def test_models_parameters_filters_and_gradients() -> None:
    found = _convert(TIES)
    assert found == {
        "method": {
            "name": "ties_merging",
            "weights": [0.5, 1.0],
            "density": [
                {"stack": [0.2, 0.8]},
                {"SelfAttention": 0.3, r"wi_0\.weight": {"stack": [0.1, 0.2]}, ".*": 0.6},
            ],
            "scaling_factor": 0.7,
            "merge_func": "sum",
            "scope": "tensor",
            "keep": "floor",
            "zero_sign": "positive",
        },
        "base": "org/base",
        "models": ["org/a", "runs/b"],
        "dtype": "float32",
    }
    assert parse_method(found["method"]).scope == "tensor"


def _minimal(name: str) -> dict[str, Any]:
    models = [{"model": name, "parameters": {"weight": 1.0}} for name in ("a", "b")]
    document: dict[str, Any] = {"merge_method": name, "base_model": "base", "models": models}
    if name in ("model_stock", "slerp", "karcher"):
        document["models"] = [{"model": name} for name in ("a", "b")]
    if name == "linear":
        del document["base_model"]
    if name == "slerp":
        document["parameters"] = {"t": 0.3}
    return document


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_method_becomes_one_of_ours(name: str) -> None:
    found = convert(_minimal(name), where="f.yml")
    parse_method(found["method"])
    assert found["models"] == (["base", "a", "b"] if name == "karcher" else ["a", "b"])
    assert found["base"] == (None if name == "linear" else "base") and found["dtype"] == "same"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", {"name": "simple_average", "weights": [1.0, 1.0], "normalize": True}),
        ("task_arithmetic", {"scaling_factor": 1.0, "normalize": False}),
        ("ties", {"density": [1.0, 1.0], "merge_func": "mean", "scaling_factor": 1.0}),
        ("dare_linear", {"name": "dare", "density": [1.0, 1.0], "rescale": "l1", "elect": False}),
        ("dare_ties", {"elect": True, "merge_func": "sum", "rescale": "l1"}),
        ("della", {"elect": True, "merge_func": "mean", "epsilon": 0.15, "rescale": "l1"}),
        ("della_linear", {"elect": False, "epsilon": 0.15}),
        ("breadcrumbs", {"elect": False, "preset": "mergekit", "gamma": 0.01, "density": [1.0, 1.0]}),
        ("breadcrumbs_ties", {"elect": True, "merge_func": "sum", "gamma": 0.01}),
        ("slerp", {"name": "slerp", "t": 0.3, "opposite_is_line": True}),
        ("model_stock", {"name": "model_stock"}),
    ],
)
def test_its_defaults_are_mergekits(name: str, expected: dict[str, Any]) -> None:
    method = convert(_minimal(name), where="f.yml")["method"]
    assert {key: method[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merge_method": "tis"}, "unknown merge_method 'tis': did you mean 'ties'"),
        ({"merge_method": "nearswap"}, "unknown merge_method 'nearswap'"),
        ({"slices": []}, "'slices' of mergekit has no counterpart here: f.yml; fix: list whole models"),
        ({"tokenizer_source": "union"}, "the tokenizer is the base's: f.yml#tokenizer_source: expected base"),
        ({"base_modle": "x"}, "unknown key of a mergekit file 'base_modle': did you mean 'base_model'"),
        ({"models": []}, "a mergekit file needs its models"),
        ({"models": [{"parameters": {}}]}, "a model needs its name"),
        ({"models": [{"model": "a", "param": {}}]}, "unknown key of a model 'param'"),
        ({"models": [{"model": "a"}]}, "a model has no weight: .*; fix: give each model its weight"),
        ({"models": [{"model": "x+a", "parameters": {"weight": 1}}]}, "an adapter on another base than"),
        ({"parameters": {"lamda": 1}}, "unknown parameter of ties 'lamda': did you mean 'lambda'"),
        ({"parameters": {"normalize": "yes"}}, "normalize is true or false"),
        ({"parameters": {"density": "most"}}, "expected a number: f.yml#density: got 'most'"),
        ({"parameters": {"density": [{"filter": "a"}]}}, "a filter needs its value"),
        ({"parameters": 3}, "parameters are keys and values"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convert({**_minimal("ties"), **change}, where="f.yml")


def test_an_average_takes_the_base_as_a_model() -> None:
    document = {**_minimal("linear"), "base_model": "base"}
    with pytest.raises(UsageError, match="takes base_model as one of the models, and it has no weight"):
        convert(document, where="f.yml")
    document["models"].append({"model": "base", "parameters": {"weight": 2}})
    assert convert(document, where="f.yml")["models"] == ["a", "b", "base"]


def test_numbers_that_differ_between_models() -> None:
    document = _minimal("della")
    document["models"][0]["parameters"]["epsilon"] = 0.1
    with pytest.raises(
        UsageError, match=r"epsilon is one number for all models here: f.yml: got \[0.1, 0.15\]"
    ):
        convert(document, where="f.yml")
    document = {**_minimal("task_arithmetic"), "parameters": {"density": 0.5}}
    with pytest.raises(UsageError, match="task_arithmetic takes no density"):
        convert(document, where="f.yml")


@pytest.mark.parametrize("name", ["ties", "breadcrumbs", "breadcrumbs_ties"])
def test_rescale_is_not_passed_over(name: str) -> None:
    document = _minimal(name) | {"parameters": {"density": 0.5, "rescale": True}}
    with pytest.raises(UsageError, match="rescale is offered for dare and della alone"):
        convert(document, where="f.yml")
    for harmless in ({"density": 0.5, "rescale": False}, {"rescale": True}):
        assert convert(_minimal(name) | {"parameters": harmless}, where="f.yml")["method"]
