"""What is exported is exported on purpose, documented, and costs nothing to look at."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "ramekin"
MODULES = sorted(
    p.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for p in PACKAGE.rglob("*.py")
)
HEAVY = ("torch", "transformers", "datasets", "peft", "hydra", "numba")


def alphabet(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_lists_its_public_names_and_documents_them(module: str) -> None:
    path = PACKAGE.parent / Path(*module.split("."))
    tree = ast.parse(
        (path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py").read_text()
    )
    assert ast.get_docstring(tree), f"{module} has no docstring"
    defined = [
        n
        for n in tree.body
        if isinstance(n, ast.FunctionDef | ast.ClassDef)
        and not n.name.startswith("_")
        and not any(isinstance(d, ast.Name) and d.id == "overload" for d in n.decorator_list)
    ]
    exported = [
        ast.literal_eval(n.value)
        for n in tree.body
        if isinstance(n, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in n.targets)
    ]
    if not defined and not exported:
        return
    assert exported, f"{module} defines {defined[0].name} and has no __all__"
    assert exported[0] == sorted(exported[0], key=alphabet), f"{module}.__all__ is not sorted"
    missing = {n.name for n in defined} - set(exported[0])
    assert not missing or module == "ramekin", f"{module} does not export {sorted(missing)}"
    for node in defined:
        assert ast.get_docstring(node), f"{module}.{node.name} has no docstring"


def test_a_class_is_abstract_or_final() -> None:
    open_ended = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("Abstract"):
                is_final = any(isinstance(d, ast.Name) and d.id == "final" for d in node.decorator_list)
                is_abstract = any(isinstance(b, ast.Name) and b.id in ("ABC", "Protocol") for b in node.bases)
                if not is_final and not is_abstract:
                    open_ended.append(f"{path.name}: {node.name}")
    assert not open_ended


def test_the_package_exports_what_it_says() -> None:
    package = importlib.import_module("ramekin")
    assert package.__all__ == sorted(package.__all__, key=alphabet)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="did you mean 'load_task'"):
        package.load_tasks  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "statement",
    ["import ramekin", "import sys; sys.argv = ['ramekin', '--help']; from ramekin.cli import main; main()"],
)
def test_a_fresh_process_loads_nothing_heavy(statement: str) -> None:
    watch = f"import atexit, sys; atexit.register(lambda: sys.stderr.write(repr([m for m in {HEAVY} if m in sys.modules])))"
    done = subprocess.run(
        [sys.executable, "-c", f"{watch}\n{statement}"], capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith("[]"), done.stderr
