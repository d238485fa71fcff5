"""What `import sparsecbm` gives, what the wheel holds and what it requires."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

import sparsecbm
from tests.support.project import ROOT, normal, pyproject, requirements, third_party_imports

# Folders that run without the extra `pipeline`, and files in them that serve stages or one source only.
CORE = (
    "api", "display", "evaluate", "intervene", "explain", "pruning", "train", "model", "annotate", "data", "base",
    "cli",
)  # fmt: skip
EXTRA_OF_FILE = {
    "sparsecbm/data/schemas.py": "pipeline",
    "sparsecbm/data/formats/spreadsheet.py": "xlsx",
    "sparsecbm/data/sources/hub.py": "hub",
    "sparsecbm/evaluate/faithfulness/infidelity.py": "pipeline",
}
DEFAULT_EXTRAS = ("pipeline", "minilm", "hub", "test", "dev")


def test_every_public_name_is_there():
    for name in sparsecbm.__all__:
        assert getattr(sparsecbm, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'MaskSets'"):
        sparsecbm.MaskSets  # noqa: B018


def test_torch_comes_only_with_a_model():
    code = "import sys, sparsecbm; assert 'torch' not in sys.modules; sparsecbm.MaskSet; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The files of the wheel that a clean checkout builds, `*.dist-info` left out."""
    pytest.importorskip("setuptools")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("sparsecbm", "flows", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", str(target), str(source)],
        check=True,
    )  # fmt: skip
    (path,) = target.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    sources = (ROOT / "sparsecbm").rglob("*")
    suffixes = {".py", ".jinja", ".js", ".json", ".typed"}
    expected = [
        path.relative_to(ROOT).as_posix() for path in sources if path.is_file() and "__pycache__" not in str(path)
    ]
    assert sorted(wheel) == sorted(expected)
    assert {"." + name.rpartition(".")[2] for name in wheel} <= suffixes
    assert "sparsecbm/py.typed" in wheel
    assert "sparsecbm/report/index.js" in wheel
    assert "sparsecbm/display/card.html.jinja" in wheel


def test_every_json_schema_is_in_the_wheel(wheel):
    schemas = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "sparsecbm" / "schemas").glob("*.json"))
    assert [name for name in sorted(wheel) if name.endswith(".json")] == schemas


@pytest.mark.parametrize("package", CORE)
def test_the_core_requires_what_it_imports(package):
    folder = ROOT / "sparsecbm" / package
    imports = set(third_party_imports(folder if folder.is_dir() else folder.with_suffix(".py")))
    missing = [
        (file, name) for file, name in sorted(imports)
        if name not in requirements(*([EXTRA_OF_FILE[file]] if file in EXTRA_OF_FILE else []))
    ]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize("folder", ["sparsecbm/pipeline", "sparsecbm/plots", "sparsecbm/promote", "sparsecbm/report",
                                    "sparsecbm/stages", "sparsecbm/track", "flows"])  # fmt: skip
def test_the_extra_pipeline_requires_what_the_pipeline_imports(folder):
    imports = set(third_party_imports(ROOT / folder))
    assert [(file, name) for file, name in sorted(imports) if name not in requirements("pipeline")] == []


def test_the_core_requires_nothing_that_it_does_not_import():
    imported = {name for package in ("sparsecbm", "flows") for _, name in third_party_imports(ROOT / package)}
    assert requirements() - imported == set()


def test_exact_versions_stand_in_the_constraints_only():
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert [line for line in lines if "==" in line] == []
    assert [line for line in _constraints() if not re.fullmatch(r"[\w.-]+==[\w.!+-]+", line)] == []


def test_every_package_of_the_default_environment_is_pinned():
    pinned = {normal(line.partition("==")[0]) for line in _constraints()}
    assert sorted(_installed_closure(requirements(*DEFAULT_EXTRAS)) - pinned) == []


def _constraints() -> list[str]:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def _installed_closure(names: Iterable[str]) -> set[str]:
    """Distributions of this environment that the named ones require, directly or not, themselves included."""
    closure, waiting = set(), [Requirement(name) for name in names]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        key = (normal(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            metadata = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        closure.add(key[0])
        for line in metadata.requires or ():
            child = Requirement(line)
            if child.marker is None or any(
                child.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(child)
    return closure
