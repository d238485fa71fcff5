"""What `import sparsecbm` gives, what the wheel holds and what it requires."""

import os
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
from sparsecbm.scaffold.template_files import HIDDEN, template_files
from tests.support.project import ROOT, normal, pyproject, requirements, third_party_imports

PIPELINE = ("orchestration", "pipeline", "plots", "promote", "report", "scaffold", "stages", "track")
# Folders that run without the extra `pipeline`, and files in them that serve stages or one source only.
CORE = (
    "api", "display", "export", "evaluate", "intervene", "explain", "pruning", "train", "model", "annotate", "batch",
    "data", "base", "cli",
)  # fmt: skip
EXTRA_OF_FILE = {
    "sparsecbm/annotate/combine.py": "annotate",
    "sparsecbm/annotate/correction.py": "pipeline",
    "sparsecbm/annotate/label_noise.py": "pipeline",
    "sparsecbm/annotate/llm/client.py": "annotate",
    "sparsecbm/annotate/llm/pace.py": "annotate",
    "sparsecbm/annotate/llm/prices.py": "annotate",
    "sparsecbm/annotate/redaction.py": "redaction",
    "sparsecbm/data/schemas.py": "pipeline",
    "sparsecbm/data/formats/spreadsheet.py": "xlsx",
    "sparsecbm/data/sources/hub.py": "hub",
    "sparsecbm/evaluate/faithfulness/infidelity.py": "pipeline",
    "sparsecbm/export/engines.py": "openvino",
    "sparsecbm/export/runner.py": "openvino",
    "sparsecbm/orchestration/ray_engine.py": "ray",
}
TEMPLATE = "sparsecbm/scaffold/template/"
DEFAULT_EXTRAS = ("pipeline", "minilm", "hub", "onnx", "docs", "test", "dev")


def test_every_public_name_is_there():
    for name in sparsecbm.__all__:
        assert getattr(sparsecbm, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'MaskSets'"):
        sparsecbm.MaskSets  # noqa: B018


def test_torch_comes_only_with_a_model():
    code = "import sys, sparsecbm; assert 'torch' not in sys.modules; sparsecbm.MaskSet; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory):
    """Return the wheel that a clean checkout builds."""
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
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file):
    """Return the files of the wheel, `*.dist-info` left out."""
    with zipfile.ZipFile(wheel_file) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    sources = (ROOT / "sparsecbm").rglob("*")
    suffixes = {".py", ".jinja", ".js", ".json", ".typed", ".svg", ".LICENSE"}
    expected = [
        path.relative_to(ROOT).as_posix() for path in sources if path.is_file() and "__pycache__" not in str(path)
    ]
    assert sorted(wheel) == sorted(expected)
    code = [name for name in wheel if not name.startswith(TEMPLATE)]
    assert {"." + name.rpartition(".")[2] for name in code} <= suffixes
    assert "sparsecbm/py.typed" in wheel
    assert "sparsecbm/report/index.js" in wheel
    assert "sparsecbm/display/card.html.jinja" in wheel


def test_the_wheel_holds_each_file_of_a_workspace(wheel):
    files = {name.removeprefix(TEMPLATE) for name in wheel if name.startswith(TEMPLATE)}
    own = {"README.md", "gitignore", "dvcignore", "dvc/config", "dvc/gitignore", "data/annotations/README.md"}
    shared = {"dvc.yaml", "prefect.yaml", "params.yaml", "flows/__init__.py", "flows/retrain.py", "flows/promotion.py"}
    assert own | shared < files
    assert {HIDDEN.get(name, name) for name in files} == set(template_files())


def test_the_wheel_alone_makes_a_workspace_whose_first_stage_runs(wheel_file, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel_file) as archive:
        archive.extractall(site)
    rows = "".join(f"text number {n},{n % 2}\n" for n in range(40))
    (work / "texts.csv").write_text(f"body,stars\n{rows}")
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(folder, *arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    columns = ("--text", "body", "--label", "stars")
    package = run(work, "-c", "import sparsecbm; print(sparsecbm.__file__)").stdout
    assert package.startswith(str(site)), "the installed package, not this repository"
    made = run(work, "-m", "sparsecbm", "init", "w", "--table", "texts.csv", *columns)
    assert (made.returncode, made.stderr) == (0, "")
    stage = run(work / "w", "-m", "sparsecbm.stages", "ingest")
    assert (stage.returncode, stage.stderr) == (0, "")
    assert (work / "w" / "data" / "ingested" / "train.parquet").is_file()


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


@pytest.mark.parametrize("folder", [*(f"sparsecbm/{name}" for name in PIPELINE), "flows"])
def test_the_extra_pipeline_requires_what_the_pipeline_imports(folder):
    imports = set(third_party_imports(ROOT / folder))
    missing = [
        (file, name)
        for file, name in sorted(imports)
        if name not in requirements("pipeline", *([EXTRA_OF_FILE[file]] if file in EXTRA_OF_FILE else []))
    ]
    assert missing == []


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
