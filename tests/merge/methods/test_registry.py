import inspect
import subprocess
import sys
from dataclasses import fields

import pytest

from ramekin.errors import UsageError
from ramekin.merge.methods import METHODS, find_method, parse_method
from ramekin.merge.settings import parse_settings, replace_scaling_factor, settings_to_json


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_method_is_a_page(name: str) -> None:
    method = find_method(name)
    module = inspect.getmodule(method.function)
    assert module is not None and module.__doc__ and method.function.__doc__
    assert method.name == name == method.function.__name__
    assert method.summary and ">>>" in method.function.__doc__
    if method.paper:
        assert method.paper in module.__doc__
        assert "theta" in module.__doc__ and "default" in module.__doc__


@pytest.mark.parametrize("name", sorted(METHODS))
def test_settings_and_function_agree(name: str) -> None:
    method = find_method(name)
    settings = method.parse({})
    assert method.parse(settings_to_json(settings)) == settings
    parameters = inspect.signature(method.function).parameters
    own = settings_to_json(settings)
    shared = [key for key in own if key in parameters and not isinstance(own[key], list)]
    required = [key for key in shared if parameters[key].default is inspect.Parameter.empty]
    assert all(own[key] is None for key in required)  # what a function must be told has no default
    assert all(own[key] == parameters[key].default for key in shared if key not in required)
    for preset in method.presets:
        assert method.parse({"preset": preset}).preset == preset  # type: ignore[attr-defined]
    if method.scaled:
        assert replace_scaling_factor(settings, 0.7).scaling_factor.constant == 0.7  # type: ignore[attr-defined]
    documented = inspect.getsource(method.settings)
    assert all(f"    {field.name}: " in documented for field in fields(method.settings))  # type: ignore[arg-type]


def test_a_method_by_its_words() -> None:
    parsed = parse_method({"name": "task_arithmetic", "scaling_factor": 1})
    assert parsed.scaling_factor.constant == 1.0
    with pytest.raises(UsageError, match="unknown setting of task_arithmetic 'scale'"):
        parse_method({"name": "task_arithmetic", "scale": 1})
    with pytest.raises(UsageError, match="unknown merge method 'task_arithmatic': did you mean"):
        parse_method({"name": "task_arithmatic"})
    with pytest.raises(UsageError, match="a method needs its name: expected name: task_arithmetic"):
        parse_method({"scaling_factor": 1})


def test_methods_are_read_without_torch_and_one_by_one() -> None:
    code = (
        "import sys; from ramekin.merge.methods import find_method; find_method('simple_average');"
        "sys.exit('torch' in sys.modules or 'ramekin.merge.methods.ties_merging' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_preset_of_a_method_without_presets() -> None:
    with pytest.raises(UsageError, match="unknown setting of dummy 'preset'"):
        parse_settings(find_method("dummy").settings, {"preset": "x"}, method="dummy", presets={})
