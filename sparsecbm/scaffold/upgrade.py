"""Renews a workspace for the installed version of the package; what its owner changed stays as it is."""

from dataclasses import dataclass, replace
from pathlib import Path

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.replacement import replacing
from sparsecbm.pipeline.installed_code import CODE_FILE, has_code_file, installed_code, read_code, text_hash, write_code
from sparsecbm.scaffold.template_files import PARAMS, template_files


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade did.

    Attributes:
        before, after: versions of the package
        stages: whose code differs from what was recorded, so they run again
        written: files of the template that are new or were replaced
        kept: files that differ from the template, because their owner changed or removed them
    """

    before: str
    after: str
    stages: tuple[str, ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]


def upgrade(root: Path) -> Upgraded:
    """Renew the files of the template that nobody changed, then `code.json`.

    Raises:
        ConfigError: the workspace has no `code.json`.
    """
    if not has_code_file(root):
        raise ConfigError(
            f"{root} has no {CODE_FILE}, so it is no workspace of `sparsecbm init`; in a clone of the project, git "
            "brings another version"
        )
    old = read_code(root)
    hashes, written, kept = {}, [], []
    for name, content in template_files().items():
        if name == PARAMS:
            continue
        path, fresh, recorded = root / name, text_hash(content), old.files.get(name)
        present = text_hash(path.read_bytes()) if path.is_file() else None
        if present == fresh:
            hashes[name] = fresh
        elif present == recorded:  # unchanged; both are None if the file is new in the template
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            hashes[name] = fresh
            written.append(name)
        else:
            if recorded is not None:
                hashes[name] = recorded
            if recorded != fresh:  # the template changed, too
                kept.append(name)
    new = installed_code(root)
    write_code(root, replace(new, files=hashes))
    stages = tuple(stage for stage in new.stages if old.stages.get(stage) != new.stages[stage])
    return Upgraded(old.version, new.version, stages, tuple(written), tuple(kept))
