"""The files that each workspace starts with, from the folder `template` of the package.

Flows, deployments, stages, parameters and some profiles are those of the project's own workspace. `sparsecbm pipeline
deps` copies them into the template, in a clone of the project.
"""

import io
from pathlib import Path

from ruamel.yaml import YAML

from sparsecbm.base.files import write_text
from sparsecbm.pipeline.deps import PACKAGE, own_stages
from sparsecbm.pipeline.installed_code import CODE_FILE

TEMPLATE = Path(__file__).parent / "template"
PROFILES = ("profiles/quick.yaml", "profiles/sparse-*.yaml")  # those that fit any data
SHARED = ("flows/*.py", "prefect.yaml", "params.yaml", *PROFILES)  # files of the project's own workspace
GRAPH = "dvc.yaml"
# Names that git or DVC would obey inside the package.
HIDDEN = {
    "gitignore": ".gitignore",
    "dvcignore": ".dvcignore",
    "dvc/config": ".dvc/config",
    "dvc/gitignore": ".dvc/.gitignore",
}
PARAMS = "params.yaml"  # filled in for the table of the workspace, and its owner's from then on


def template_files() -> dict[str, bytes]:
    """Path in a workspace -> content, for every file of the template."""
    files = {}
    for path in sorted(TEMPLATE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(TEMPLATE).as_posix()
            files[HIDDEN.get(name, name)] = path.read_bytes()
    return files


def holds_template(root: Path) -> bool:
    """Whether a workspace is a clone of the project, from which the template is made."""
    return (root / PACKAGE / "scaffold" / "template").is_dir()


def template_faults(root: Path) -> list[str]:
    """The files of the template, by their path in a workspace, that differ from those of a clone of the project."""
    folder, shared = _folder(root), _shared_files(root)
    present = {path.relative_to(folder).as_posix() for pattern in SHARED for path in folder.glob(pattern)}
    wrong = [name for name, text in shared.items() if name not in present | {GRAPH} or _read(folder / name) != text]
    return sorted({*wrong, *(present - set(shared))})


def write_template(root: Path) -> list[str]:
    """Copy what the template shares with a clone of the project into it, and return the files that changed."""
    folder, shared, wrong = _folder(root), _shared_files(root), template_faults(root)
    for name in wrong:
        if name in shared:
            write_text(folder / name, shared[name])
        else:
            (folder / name).unlink()
    return wrong


def _folder(root: Path) -> Path:
    return root / PACKAGE / "scaffold" / "template"


def _shared_files(root: Path) -> dict[str, str]:
    """Path -> content of the files that the template shares with the project's own workspace."""
    paths = sorted(path for pattern in SHARED for path in root.glob(pattern))
    files = {path.relative_to(root).as_posix(): _read(path) for path in paths}
    return {**files, GRAPH: _graph_by_code_file(root)}


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _graph_by_code_file(root: Path) -> str:
    """The stages of `dvc.yaml`, which depend on `code.json` instead of source files."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load((root / GRAPH).read_text(encoding="utf-8"))
    for stage in own_stages(root):
        definition = document["stages"][stage]
        deps = definition["deps"]
        for dep in [dep for dep in deps if dep.startswith(f"{PACKAGE}/")]:
            deps.remove(dep)
        if not deps:
            del definition["deps"]
        entry = {CODE_FILE: [f"stages.{stage}"]}
        if "params" in definition:
            definition["params"].append(entry)
        else:
            keys = list(definition)
            definition.insert(keys.index("deps" if "deps" in keys else "outs"), "params", [entry])
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()
