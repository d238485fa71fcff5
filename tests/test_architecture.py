"""The layers, their allowed imports, and the packages that the core must not need."""

import graphlib
import re
import subprocess
import sys

import pytest

from tests.support.explained_model import with_means
from tests.support.project import ROOT, import_graph, layers
from tests.support.tiny_models import random_masks, tiny_model

# Packages of the extras `pipeline` and `serve`, and the packages and modules that may import them.
PIPELINE_IMPORTS = {
    "fastapi": ("sparsecbm.serve", "sparsecbm.workbench"),
    "prometheus_client": ("sparsecbm.serve",),
    "uvicorn": ("sparsecbm.orchestration.guarded_server", "sparsecbm.serve"),
    "captum": ("sparsecbm.evaluate.faithfulness.infidelity",),
    "matplotlib": ("sparsecbm.plots", "sparsecbm.report.validation_page"),
    "mlflow": ("sparsecbm.orchestration.guarded_server", "sparsecbm.promote", "sparsecbm.track"),
    "pandera": ("sparsecbm.data.schemas", "sparsecbm.data.validation"),
    "prefect": ("flows", "sparsecbm.orchestration"),
    "prefect_ray": ("sparsecbm.orchestration.ray_engine",),
    "psutil": ("sparsecbm.orchestration", "sparsecbm.pipeline.dvc_recovery"),
    "ray": ("sparsecbm.orchestration.ray_engine",),
}
# A row such as "| 4 | `track`, `report` | the record in MLflow; the pages |".
LAYER_ROW = re.compile(r"^\| \d+ \| ([^|]+) \|", re.MULTILINE)


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_layers_of_the_documents_equal_those_of_the_contract(page):
    rows = LAYER_ROW.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == layers()


def test_each_package_is_in_exactly_one_layer():
    packages = {path.name for path in (ROOT / "sparsecbm").iterdir() if (path / "__init__.py").is_file()}
    modules = {path.stem for path in (ROOT / "sparsecbm").glob("*.py")} - {"__init__", "__main__"}
    assert sorted(name for layer in layers() for name in layer) == sorted(packages | modules)


def test_no_modules_import_each_other_in_a_circle():
    assert find_circle(imports_of_modules()) is None


def test_an_import_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) in (["b", "c", "b"], ["c", "b", "c"])


def test_imports_for_type_checkers_and_inside_functions_count():
    imports = imports_of_modules()
    assert "sparsecbm.model.cbm" in imports["sparsecbm"]  # below TYPE_CHECKING
    assert "sparsecbm.base.workspace" in imports["sparsecbm.orchestration.services"]
    assert any(name.startswith("sparsecbm.promote.") for name in imports["sparsecbm.cli.promotion"])  # inside functions


@pytest.mark.parametrize("package", PIPELINE_IMPORTS)
def test_a_package_of_the_pipeline_is_imported_only_by_allowed_modules(package):
    importers = import_graph().find_modules_that_directly_import(package)
    assert importers
    assert [name for name in sorted(importers) if not name.startswith(PIPELINE_IMPORTS[package])] == []


def test_the_model_imports_no_tracking_versioning_flows_or_schemas():
    graph = import_graph()
    for package in ("mlflow", "pandera", "prefect"):
        assert not graph.find_shortest_chains("sparsecbm.model", package), package
    assert "dvc" not in graph.modules  # DVC only runs as a command


@pytest.mark.parametrize("module", ["sparsecbm.api", "sparsecbm.cli.app"])
def test_the_core_loads_no_package_of_the_pipeline(module):
    packages = [*PIPELINE_IMPORTS, "dvc"]
    code = f"import sys, {module}; print([name for name in {packages} if name in sys.modules])"
    # psutil is a dependency of accelerate, so it may be there.
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() in ("[]", "['psutil']")


@pytest.mark.parametrize(
    ("command", "also_unneeded"), [("predict", ["pandas", "pyarrow", "sklearn"]), ("explain", ["sklearn"])]
)
def test_a_command_on_one_text_loads_no_package_that_it_does_not_need(command, also_unneeded, backbone, tmp_path):
    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model, masked_from=1)
    model.save_pretrained(tmp_path / "model")
    # psutil is a dependency of accelerate, so it may be there.
    unneeded = [*(PIPELINE_IMPORTS.keys() - {"psutil"}), "dvc", *also_unneeded]
    code = (
        "import sys\nfrom sparsecbm.cli.app import main\n"
        f"sys.argv = ['sparsecbm', '{command}', 'model', '--text', 'good']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        f"print([name for name in ['torch', *{unneeded}] if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['torch']"  # which shows that loaded packages are found


def imports_of_modules() -> dict[str, set[str]]:
    """Return module of this project -> modules of this project that it imports."""
    graph = import_graph()
    names = {name for name in graph.modules if name.partition(".")[0] in ("sparsecbm", "flows")}
    return {name: graph.find_modules_directly_imported_by(name) & names for name in names}


def find_circle(imports: dict[str, set[str]]) -> list[str] | None:
    """Return modules that import each other in a circle, with the first again at the end; None without a circle."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_no_test_module_imports_another():
    pattern = re.compile(r"^\s*from tests\.[\w.]*(test_\w+|conftest) import", re.MULTILINE)
    files = [path for path in (ROOT / "tests").rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))]
    assert files == [], "helpers that tests share are in tests/support"
    assert pattern.search("from tests.model.test_masked import batch_of")
