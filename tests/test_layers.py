"""Imports flow one way: a module imports only from units that stand earlier in LAYERS."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYERS = (
    "errors", "machine", "registry", "files", "text", "catalog", "sources", "tensors", "weights", "merge", "infer", "train",
    "evaluate", "report", "serve", "recipes", "cli", "__main__",
)  # fmt: skip
MERGE_MAY_USE = {"errors", "machine", "registry", "files", "weights", "merge"}
APART = {"train": "evaluate", "evaluate": "train"}
PACKAGE = Path(__file__).parents[1] / "src" / "ramekin"
TORCH_FREE = {"errors", "machine", "registry", "files", "text", "catalog"}


def imported_modules(path: Path, package: Path) -> Iterator[str]:
    """Every module a file imports, late imports and relative ones included, as dotted names."""
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def violations(package: Path) -> list[str]:
    """One sentence for each import that points the wrong way."""
    found = set()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        unit = name.parts[0].removesuffix(".py")
        if unit == "__init__":
            continue
        for module in imported_modules(path, package):
            if not module.startswith(f"{package.name}."):
                if unit in TORCH_FREE and module.split(".")[0] in ("torch", "transformers", "datasets"):
                    found.add(f"{name} imports {module}, and {unit} runs without it")
                continue
            other = module.split(".")[1]
            if other == unit or other.startswith("__"):
                continue
            if other not in LAYERS:
                found.add(f"{name} imports {other}, which LAYERS does not list")
            elif LAYERS.index(other) > LAYERS.index(unit):
                found.add(f"{name} imports {other}, which comes later in LAYERS")
            elif unit == "merge" and other not in MERGE_MAY_USE:
                found.add(f"{name} imports {other}, and merge needs only weights")
            elif APART.get(unit) == other:
                found.add(f"{name} imports {other}; the recipe joins them")
    return sorted(found)


def test_imports_flow_one_way() -> None:
    assert violations(PACKAGE) == []


def test_every_unit_is_listed() -> None:
    units = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert units - {"__init__", "__main__", "__pycache__"} <= set(LAYERS) | {"py.typed"}


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        (
            "text/bad.py",
            "from toy.merge import ties",
            "text/bad.py imports merge, which comes later in LAYERS",
        ),
        (
            "text/bad.py",
            "def f():\n    import toy.train.loop",
            "text/bad.py imports train, which comes later",
        ),
        ("text/bad.py", "from ..weights import x", "text/bad.py imports weights, which comes later"),
        ("text/bad.py", "def f():\n    import torch", "text/bad.py imports torch, and text runs without it"),
        (
            "merge/bad.py",
            "from toy.tensors import plan",
            "merge/bad.py imports tensors, and merge needs only",
        ),
        ("evaluate/bad.py", "from toy import train", "evaluate/bad.py imports train; the recipe joins them"),
        ("text/bad.py", "from toy.utils import x", "text/bad.py imports utils, which LAYERS does not list"),
        ("text/bad.py", "from toy.errors import x\nfrom .score import y", ""),
    ],
)
def test_the_check_sees_what_it_should(tmp_path: Path, file: str, line: str, sentence: str) -> None:
    package = tmp_path / "toy"
    (package / file).parent.mkdir(parents=True)
    (package / file).write_text(line)
    found = violations(package)
    assert (sentence in found[0]) if sentence else not found
