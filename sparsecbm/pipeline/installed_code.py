"""`code.json`: which code of the installed package a workspace's results come from.

In a clone of the project, stages depend on source files. A workspace of `sparsecbm init` holds none, so its stages
depend on hashes in this file instead, as on parameters. Each stage compares the hashes with the installed package when
it starts, so another version of the package gives no stale results in silence.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import sparsecbm
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import content_hash, read_json_object, write_json
from sparsecbm.pipeline.deps import PACKAGE, import_graph, own_stages, source_files

CODE_FILE = "code.json"
RESTORE = f"restore it: git checkout {CODE_FILE}"
HASH_DIGITS = 16


@dataclass(frozen=True)
class CodeRecord:
    """The content of `code.json`.

    Attributes:
        version: of the package
        package: hash of all its files; if it is equal, no stage needs to be compared
        stages: stage -> hash of the code that it runs
        files: path in the workspace -> hash of a file as the package's template gave it
    """

    version: str
    package: str
    stages: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)


def package_folder() -> Path:
    """Where the installed package is."""
    return Path(sparsecbm.__file__).resolve().parent


def has_code_file(root: Path) -> bool:
    """Whether the stages of a workspace depend on the installed package; in a clone they depend on source files."""
    return (root / CODE_FILE).is_file()


def read_code(root: Path) -> CodeRecord:
    """The recorded code of a workspace.

    Raises:
        ConfigError: the file holds something else.
        DataError: it is missing or no JSON.
    """
    try:
        return TypeAdapter(CodeRecord).validate_python(read_json_object(root / CODE_FILE))
    except ValidationError:
        raise ConfigError(f"{root / CODE_FILE} has not the form that sparsecbm writes; {RESTORE}") from None


def write_code(root: Path, record: CodeRecord) -> None:
    """Write `code.json`."""
    write_json(root / CODE_FILE, vars(record))


def installed_code(root: Path) -> CodeRecord:
    """The installed code that the stages in a workspace's `dvc.yaml` run, without files of the template."""
    return CodeRecord(sparsecbm.__version__, _package_hash(), _stage_hashes(own_stages(root)))


def renew_code(root: Path) -> list[str]:
    """Record the installed code in `code.json`; the files of the template stay as recorded.

    Returns:
        stages whose code differs from what was recorded
    """
    old, new = read_code(root), installed_code(root)
    if replace(new, files=old.files) != old:
        write_code(root, replace(new, files=old.files))
    return [stage for stage in {**old.stages, **new.stages} if old.stages.get(stage) != new.stages.get(stage)]


def check_code(root: Path, stages: Iterable[str]) -> None:
    """Insist that the installed code of some stages is the recorded one. A clone of the project passes.

    Raises:
        ConfigError: it is not; the message names the versions, the stages and the command that renews the record.
    """
    if not has_code_file(root):
        return
    record = read_code(root)
    if record.package == _package_hash():
        return
    installed = _stage_hashes(stages)
    changed = [stage for stage in installed if record.stages.get(stage) != installed[stage]]
    if changed:
        version = f"sparsecbm {sparsecbm.__version__}"
        versions = version if record.version == sparsecbm.__version__ else f"{version} instead of {record.version}"
        raise ConfigError(
            f"the installed code ({versions}) is not the one in {CODE_FILE}, for: {', '.join(changed)}; "
            "`sparsecbm upgrade` renews it, and the stages whose code differs then run again"
        )


def text_hash(content: bytes) -> str:
    """Hash of a file of the template, as `CodeRecord.files` holds it."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def _package_hash() -> str:
    return content_hash(package_folder())[:HASH_DIGITS]


def _stage_hashes(stages: Iterable[str]) -> dict[str, str]:
    """Stage -> hash over the names and bytes of the source files that it imports."""
    return dict(_hashes_for(_package_hash(), tuple(stages)))


@cache
def _hashes_for(_package: str, stages: tuple[str, ...]) -> dict[str, str]:
    """The same, once for each hash of the package."""
    parent = package_folder().parent
    graph = import_graph(parent)
    hashes = {}
    for stage in stages:
        if f"{PACKAGE}.stages.{stage}" not in graph:
            raise ConfigError(f"dvc.yaml names the stage {stage!r}, which sparsecbm {sparsecbm.__version__} has not")
        listing = [[path, content_hash(parent / path)] for path in source_files(parent, stage, graph)]
        hashes[stage] = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:HASH_DIGITS]
    return hashes
