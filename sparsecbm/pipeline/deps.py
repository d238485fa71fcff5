"""The source files that each stage depends on: derived from its imports and written into `dvc.yaml`.

DVC runs a stage again when a dependency changes. If a stage imports a file that `dvc.yaml` does not list, its results
become stale. So the list is generated, and `sparsecbm pipeline deps --check` compares it.
"""

import ast
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ruamel.yaml import YAML

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import write_text
from sparsecbm.pipeline.graph import read_stages

PACKAGE = "sparsecbm"
COMMAND = f"python -m {PACKAGE}.stages "
# These modules send training curves to MLflow. No output of a stage depends on them, so they cause no retraining.
OBSERVERS = (f"{PACKAGE}.track",)


@dataclass(frozen=True)
class StageDependencies:
    """The source files of one stage; a folder means all files in it.

    Attributes:
        listed: paths of this package in the stage's `deps` in `dvc.yaml`
        derived: paths that the stage imports, directly or not
    """

    stage: str
    listed: tuple[str, ...]
    derived: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Derived, but not listed."""
        return tuple(path for path in self.derived if path not in self.listed)

    @property
    def unneeded(self) -> tuple[str, ...]:
        """Listed, but not derived."""
        return tuple(path for path in self.listed if path not in self.derived)


def stage_dependencies(root: Path) -> list[StageDependencies]:
    """Compare the listed and the derived source files of every stage of this package.

    Args:
        root: the workspace, with `dvc.yaml` and the sources of the package

    Raises:
        ConfigError: the workspace holds no sources.
    """
    graph = import_graph(root)
    return [
        StageDependencies(
            stage,
            tuple(dep for dep in definition.get("deps", []) if _is_source(dep)),
            source_files(root, stage, graph),
        )
        for stage, definition in own_stages(root).items()
    ]


def own_stages(root: Path) -> dict[str, dict]:
    """The definitions of the stages in `dvc.yaml` that run code of this package, by name."""
    return {
        stage: definition
        for stage, definition in read_stages(root).items()
        if str(definition.get("cmd", "")).startswith(COMMAND)
    }


def write_dependencies(root: Path) -> list[str]:
    """Write the derived source files into `dvc.yaml`, after the data dependencies; comments and order are kept.

    Returns:
        stages whose list changed
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load((root / "dvc.yaml").read_text(encoding="utf-8"))
    changed = []
    for stage in stage_dependencies(root):
        if stage.missing or stage.unneeded:
            definition = document["stages"][stage.stage]
            data = [dep for dep in definition.get("deps", []) if not _is_source(dep)]
            definition["deps"] = [*data, *stage.derived]
            changed.append(stage.stage)
    if changed:
        stream = io.StringIO()
        yaml.dump(document, stream)
        write_text(root / "dvc.yaml", stream.getvalue())
    return changed


def source_files(root: Path, stage: str, graph: dict[str, set[str]]) -> tuple[str, ...]:
    """The files that a stage imports, directly or not, and the templates in the same folders.

    If the stage needs all files of a folder, the folder is listed.

    Args:
        graph: module -> modules that it imports; the result of `import_graph`
    """
    reached: set[str] = set()
    waiting = [f"{PACKAGE}.stages.{stage}", f"{PACKAGE}.stages"]
    while waiting:
        module = waiting.pop()
        if module not in reached and not module.startswith(OBSERVERS):
            reached.add(module)
            waiting += graph[module]
    files = {_path_of(root, module) for module in reached}
    files |= {path for file in files for path in file.parent.iterdir() if _is_template(path)}
    return tuple(_folded(root, files))


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module -> modules of this package that it imports at any level; imports under TYPE_CHECKING are left out.

    Raises:
        ConfigError: `root` holds no sources of the package.
    """
    files = set((root / PACKAGE).rglob("*.py"))
    if not files:
        raise ConfigError(
            f"{root} holds no sources of {PACKAGE}; dependencies are derived in a clone of the project, and a "
            "workspace of `sparsecbm init` has the file code.json instead"
        )
    modules = {_module_of(root, file): file for file in files}
    return {module: set(_imports(file, modules)) - {module} for module, file in modules.items()}


def _imports(file: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in _nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if name in modules)
            if not all(name in modules for name in names):
                yield node.module


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a syntax tree except those under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from _nodes(child)


def _folded(root: Path, files: set[Path]) -> list[str]:
    """Paths relative to `root`, sorted; a folder replaces its files if all of them are needed."""

    def fold(folder: Path) -> tuple[bool, list[Path]]:
        """Whether all files below a folder are needed, and the paths that are."""
        sources = [path for path in folder.iterdir() if _is_source_file(path)]
        subfolders = [fold(path) for path in folder.iterdir() if any(map(_is_source_file, path.rglob("*")))]
        needed = [path for path in sources if path in files]
        complete = all(path in files for path in sources if path.name != "__init__.py")
        if complete and all(whole for whole, _ in subfolders) and (needed or subfolders):
            return True, [folder]
        return False, [*needed, *(path for _, inner in subfolders for path in inner)]

    paths = fold(root / PACKAGE)[1]
    return sorted(path.relative_to(root).as_posix() for path in paths)


def _is_source_file(path: Path) -> bool:
    return path.suffix == ".py" or _is_template(path)


def _is_template(path: Path) -> bool:
    return path.suffix in (".jinja", ".js", ".css")


def _is_source(dep: str) -> bool:
    return PurePosixPath(dep).parts[:1] == (PACKAGE,)


def _module_of(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _path_of(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def describe_faults(dependencies: Iterable[StageDependencies]) -> list[str]:
    """One message for each path that `dvc.yaml` should list or should not."""
    faults = []
    for stage in dependencies:
        faults += [f"stage {stage.stage!r} imports {path}, which dvc.yaml does not list" for path in stage.missing]
        faults += [f"stage {stage.stage!r} does not import {path}, which dvc.yaml lists" for path in stage.unneeded]
    return faults
