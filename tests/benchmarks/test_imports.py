"""The benchmarks import names that the package has; they take too long to be run by the tests."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def missing_names(source: str) -> list[str]:
    """Names that a source imports from this package and that are not there."""
    missing = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sparsecbm"):
            module = importlib.import_module(node.module)
            names = [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
            missing += [name for name in names if not (hasattr(module, "__path__") and importlib.util.find_spec(name))]
    return missing


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_imports_what_exists(path):
    assert missing_names(path.read_text(encoding="utf-8")) == []


def test_a_missing_name_is_found():
    source = "from sparsecbm.base.errors import ConfigError, NoSuchError"
    assert missing_names(source) == ["sparsecbm.base.errors.NoSuchError"]
    assert missing_names("from sparsecbm.base import errors, no_such_module") == ["sparsecbm.base.no_such_module"]
