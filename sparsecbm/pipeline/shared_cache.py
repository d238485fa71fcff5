"""What a clone of a workspace needs of its DVC: the cache, and the data that DVC has for git (`NAME.dvc`)."""

import configparser
from pathlib import Path

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import replacing
from sparsecbm.base.git import git
from sparsecbm.base.redaction import redacted
from sparsecbm.pipeline.graph import run_dvc

LOCAL = Path(".dvc") / "config.local"


def share_cache(root: Path, clone: Path) -> None:
    """Copy a workspace's local DVC settings, remotes and secrets included, and its cache folder to a clone.

    Raises:
        DataError: DVC cannot read the workspace.
    """
    result = run_dvc(root, "cache", "dir")
    if result.returncode != 0:
        raise DataError(f"dvc cache dir failed: {redacted(result.stderr.strip())}")
    settings = configparser.RawConfigParser()
    settings.read(root / LOCAL, encoding="utf-8")
    if not settings.has_section("cache"):
        settings.add_section("cache")
    settings.set("cache", "dir", str(root / result.stdout.strip()))
    local = clone / LOCAL
    local.touch(mode=0o600)
    local.chmod(0o600)  # it may hold secrets; a file that others may not read stays so when it is replaced
    with replacing(local) as temporary, open(temporary, "w", encoding="utf-8") as file:
        settings.write(file)


def check_out_data(clone: Path) -> None:
    """Put the files in place that DVC has for git; the clone shares the cache of its workspace.

    Raises:
        DataError: the cache lacks one.
        GitError: the clone is no git repository.
    """
    tracked = [name for name in git(clone, "ls-files", "-z", "*.dvc").split("\0") if name]
    if not tracked:
        return
    result = run_dvc(clone, "checkout", "--quiet", "--force", *tracked)
    if result.returncode != 0:
        raise DataError(
            f"DVC cannot restore {', '.join(tracked)} in a clone: {redacted(result.stderr.strip())}; if a remote has "
            "the data, run `dvc pull` in the workspace first"
        )


def copy_data(root: Path, clone: Path) -> None:
    """Put the files in place that DVC has for git, and share nothing else: the clone's own cache stays empty.

    Raises:
        DataError: the workspace's cache lacks one.
        GitError: the clone is no git repository.
    """
    share_cache(root, clone)
    check_out_data(clone)
    (clone / LOCAL).unlink()
