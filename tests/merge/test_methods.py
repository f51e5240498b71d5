import inspect
from dataclasses import fields

import pytest

from ramekin.errors import UsageError
from ramekin.merge.methods import METHODS


def test_the_methods_of_this_issue() -> None:
    assert set(METHODS) == {"dummy", "simple_average", "task_arithmetic", "ties_merging"}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_method_is_a_page(name: str) -> None:
    method = METHODS[name]
    module = inspect.getmodule(method.function)
    assert module is not None and module.__doc__ and method.function.__doc__
    assert method.name == name == method.function.__name__
    assert method.summary and ">>>" in method.function.__doc__
    if method.paper:
        assert method.paper in module.__doc__
        assert "theta" in module.__doc__ and "default" in module.__doc__


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_defaults_of_the_settings_are_those_of_the_function(name: str) -> None:
    method = METHODS[name]
    settings = method.parse({})
    parameters = inspect.signature(method.function).parameters
    shared = [field.name for field in fields(settings) if field.name in parameters]
    assert all(getattr(settings, key) == parameters[key].default for key in shared)
    assert ("scaling_factor" in parameters) == method.scaled


def test_every_preset_is_valid() -> None:
    for method in METHODS.values():
        for preset in method.presets:
            assert method.parse({"preset": preset}).preset == preset


def test_an_unknown_method() -> None:
    with pytest.raises(UsageError, match="unknown merge method 'ties_mergin': did you mean 'ties_merging'"):
        METHODS["ties_mergin"]
