import json

import pytest

from ramekin.errors import UsageError
from ramekin.merge.methods import METHODS, find_method
from ramekin.merge.settings import parameter, parse_step, settings_to_json, share


def _values(method: str, given: dict[str, object]) -> dict[str, object]:
    return settings_to_json(find_method(method).parse(given))


def test_defaults() -> None:
    assert _values("simple_average", {}) == {"weights": None, "normalize": True}
    assert _values("task_arithmetic", {})["scaling_factor"] == 0.3
    assert _values("ties_merging", {}) == {
        "scaling_factor": 0.3, "density": 0.2, "weights": None, "scope": "model", "merge_func": "sum",
        "keep": "round", "zero_sign": "majority", "counting": "unique", "preset": "none",
    }  # fmt: skip


def test_presets_stand_behind_what_is_given() -> None:
    fusionbench = _values("ties_merging", {"preset": "fusionbench"})
    assert [fusionbench[key] for key in ("keep", "counting", "merge_func")] == [
        "official",
        "fusionbench",
        "sum",
    ]
    paper = _values("ties_merging", {"preset": "paper", "scaling_factor": 0.8})
    assert [paper[key] for key in ("keep", "counting", "merge_func", "scaling_factor")] == [
        "official", "unique", "mean", 0.8,
    ]  # fmt: skip
    mergekit = _values("ties_merging", {"preset": "mergekit", "density": 0.5})
    assert [mergekit[key] for key in ("scope", "density", "scaling_factor", "zero_sign")] == [
        "tensor", 0.5, 1.0, "positive",
    ]  # fmt: skip


@pytest.mark.parametrize(("threshold", "density"), [(20, 0.2), (50.0, 0.5), (0.3, 0.3), (100, 1.0), (1, 1)])
def test_fusionbench_says_threshold(threshold: float, density: float) -> None:
    given = {"preset": "fusionbench", "threshold": threshold, "remove_keys": []}
    assert _values("ties_merging", given)["density"] == density


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("task_arithmetic", {"scaling_facto": 1}, "did you mean 'scaling_factor'"),
        ("task_arithmetic", {"scaling_factor": "big"}, "scaling_factor: expected a finite number, got 'big'"),
        ("task_arithmetic", {"scaling_factor": float("nan")}, "expected a finite number, got nan"),
        ("task_arithmetic", {"scaling_factor": True}, "expected a finite number, got True"),
        ("dummy", {"density": 0.2}, "unknown setting of dummy 'density'"),
        ("simple_average", {"weights": "x"}, "weights: expected a finite number, got 'x'"),
        ("simple_average", {"weights": []}, "weights: expected a number for each model, got an empty list"),
        ("ties_merging", {"density": {"encoder": 0.1}}, "one cut over the whole model cannot differ"),
        ("simple_average", {"weights": [1, "x"]}, r"weights\[1\]: expected a finite number, got 'x'"),
        ("simple_average", {"normalize": 1}, "normalize: expected true or false, got 1"),
        ("ties_merging", {"density": 20}, "expected a fraction from 0 to 1, got 20; fix: density=0.2"),
        ("ties_merging", {"density": -0.1}, "density: expected a fraction from 0 to 1, got -0.1"),
        ("ties_merging", {"density": 1000}, "density: expected a fraction from 0 to 1, got 1000"),
        ("ties_merging", {"density": "all"}, "density: expected a finite number, got 'all'"),
        ("ties_merging", {"scope": "tenso"}, "unknown scope 'tenso': did you mean 'tensor'"),
        ("ties_merging", {"merge_func": "average"}, "unknown merge_func 'average'"),
        ("ties_merging", {"keep": "all"}, "unknown keep 'all'"),
        ("ties_merging", {"zero_sign": "plus"}, "unknown zero_sign 'plus'"),
        ("ties_merging", {"counting": "twice"}, "unknown counting 'twice'"),
        ("ties_merging", {"preset": "fusion_bench"}, "did you mean 'fusionbench'"),
        ("ties_merging", {"threshold": 20}, r"FusionBench's words: .*; fix: say density=0.2"),
        ("ties_merging", {"preset": "fusionbench", "threshold": 20, "density": 0.2}, "say the same thing"),
        ("ties_merging", {"preset": "fusionbench", "threshold": "x"}, "threshold: expected a finite number"),
        ("ties_merging", {"preset": "fusionbench", "remove_keys": ["a"]}, "remove_keys is not supported"),
    ],
)
def test_refusals(method: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_method(method).parse(given)


def test_all_problems_at_once() -> None:
    with pytest.raises(UsageError, match=r"2 problems(.|\n)*density(.|\n)*scope"):
        find_method("ties_merging").parse({"density": 3, "scope": "x"})
    with pytest.raises(UsageError, match=r"2 problems(.|\n)*densty(.|\n)*scop"):
        find_method("ties_merging").parse({"densty": 3, "scop": "x"})


@pytest.mark.parametrize("name", sorted(METHODS))
def test_settings_in_json_make_the_same_settings(name: str) -> None:
    method = find_method(name)
    for preset in [None, *method.presets]:
        settings = method.parse({} if preset is None else {"preset": preset})
        assert method.parse(json.loads(json.dumps(settings_to_json(settings)))) == settings


def test_parameters_in_json_make_the_same_settings() -> None:
    given = {
        "scaling_factor": {"encoder": 0.2, ".*": {"depth": [0.1, 0.9]}},
        "density": [0.5, {"depth": [0.2, 0.4]}],
        "weights": [1, {"a": 2, ".*": 3}],
        "seed": 3,
    }
    settings = find_method("dare").parse(given)
    written = json.loads(json.dumps(settings_to_json(settings)))
    assert {key: written[key] for key in given} == given
    assert find_method("dare").parse(written) == settings


def test_settings_of_a_step_that_is_not_named_are_said_to_be_that() -> None:
    for given in ({"alpha": 0.1}, {"name": "none", "alpha": 0.1}):
        with pytest.raises(UsageError, match="settings of a step that is not named: expected one, got alpha"):
            parse_step({"one": object}, given, what="a step", presets={})


@pytest.mark.parametrize("given", [1e39, -1e39, float("inf"), 10**400])
def test_a_number_that_fp32_does_not_hold_is_refused(given: float) -> None:
    with pytest.raises(UsageError, match="x: expected a finite number"):
        parameter()("x", given)


def test_a_share_whose_inverse_fp32_does_not_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="x: expected 0, or a fraction from 1e-30 to 1, got 1e-300"):
        share()("x", 1e-300)
    assert share()("x", 0) == 0 and share()("x", 1e-30) == 1e-30
