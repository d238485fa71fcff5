"""A Hugging Face hub: repositories that files come from and go to, by huggingface_hub's own client.

`HF_ENDPOINT` names another hub than huggingface.co, `HF_TOKEN` or `hf auth login` gives the token, and with
`HF_HUB_OFFLINE=1` only what is in the cache is used. These variables belong to the client.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging

from sparsecbm.base.errors import ModelError
from sparsecbm.base.foreign_faults import foreign_faults

HUB_SECONDS = 5.0  # that one request may take until the hub counts as out of reach
CARD = "README.md"
KEPT_FILES = (".gitattributes", CARD)  # of a repository, beside what a manifest lists: the hub or people write them
_ADDRESS = re.compile(r"(?P<name>[\w-][\w.-]*(/[\w-][\w.-]*)?)@(?P<revision>[\w-][\w./-]*)", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token"


@dataclass(frozen=True)
class HubAddress:
    """A repository of a hub, at a branch, a tag or a commit."""

    name: str
    revision: str

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class Pushed:
    """One commit to a repository.

    Attributes:
        name: of the repository
        commit: 40 hex digits
        url: of the commit's page
        private: whether only people with a right of their own can read the repository
        files: of the repository that the commit holds, sorted
    """

    name: str
    commit: str
    url: str
    private: bool
    files: tuple[str, ...]

    @property
    def address(self) -> str:
        """What loads exactly this commit."""
        return f"{self.name}@{self.commit}"


def parse_address(text: str | Path) -> HubAddress | None:
    """The hub address in `name@revision`; None for anything else. A folder of that name comes first."""
    match = _ADDRESS.fullmatch(str(text))
    return HubAddress(match["name"], match["revision"]) if match and not Path(text).exists() else None


def fetch_snapshot(address: HubAddress, patterns: Sequence[str], ignored: Sequence[str] = ()) -> Path:
    """Download files of one commit into the hub's cache, unless they are there.

    Args:
        patterns: of the names of the files
        ignored: patterns of names of files that are left out

    Returns:
        the folder of the commit in the cache, whose name is the commit; a pattern that fits no file gives none

    Raises:
        ModelError: no such repository or revision, no right to read it, no connection, or a download that broke off.
    """
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)  # a pattern without a file is told by whoever needs the file
    try:
        with hub_faults(str(address)):
            folder = snapshot_download(
                address.name,
                revision=address.revision,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored),
                etag_timeout=HUB_SECONDS,
            )
    finally:
        hub_logging.set_verbosity(level)
    return Path(folder)


def fetch_file(address: HubAddress, file: str, kind: str) -> Path:
    """Download one file of a repository into the hub's cache, unless it is there.

    Args:
        kind: what the file holds, for the message

    Raises:
        ModelError: as `fetch_snapshot`, or the repository has no such file.
    """
    path = fetch_snapshot(address, [file]) / file
    if not path.is_file():
        raise ModelError(f"{address} holds no {kind}: the repository has no {file}")
    return path


def cache_links(folder: Path) -> Path | None:
    """The folder that the links in a snapshot may lead into; None if a folder is no snapshot of a hub's cache.

    The client links each file of a snapshot to one that it keeps once: below `blobs` of the repository, or of the
    cache. A copy of a cache elsewhere may come from anybody, so there only the first is allowed.
    """
    folder = folder.absolute()
    if folder.parent.name != "snapshots":
        return None
    cache = Path(constants.HF_HUB_CACHE).absolute()
    return cache if folder.parent.parent.parent == cache else folder.parent.parent / "blobs"


def snapshot_address(folder: Path) -> HubAddress | None:
    """The repository and commit of a folder in the hub's cache; None for any other folder."""
    folder = folder.absolute()
    repository = folder.parent.parent
    if cache_links(folder) != Path(constants.HF_HUB_CACHE).absolute() or not _COMMIT.fullmatch(folder.name):
        return None
    return HubAddress("/".join(repository.name.split("--")[1:]), folder.name)


def push_files(
    name: str, files: Mapping[str, Path | bytes], message: str, public: bool, own: re.Pattern[str]
) -> Pushed:
    """Make a repository hold these files, in one commit. It is created if it is missing.

    Args:
        files: name in the repository -> a file, or its content
        message: of the commit
        public: whether everybody may read the repository
        own: names of files that an earlier commit may have left; those that are not given again are deleted

    Raises:
        ModelError: no right to write, no connection, the repository is public and `public` is false, or it holds
            something else.
    """
    api = HfApi(library_name="sparsecbm")
    with hub_faults(name):
        api.create_repo(name, private=not public, exist_ok=True)
        info = api.repo_info(name)
        if not info.private and not public:
            raise ModelError(
                f"{name} is public, so everybody could read these files; allow it (`--public`, `public=True`), or name "
                "another repository"
            )
        present = set(api.list_repo_files(name)) - set(KEPT_FILES)
        foreign = sorted(file for file in present if not own.fullmatch(file))
        if foreign:
            raise ModelError(f"{name} holds {foreign[0]!r}, which this would not replace; name another repository")
        stale = sorted(present - files.keys())
        additions = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
        deletions = [CommitOperationDelete(path) for path in stale]
        commit = api.create_commit(name, [*additions, *deletions], commit_message=message, parent_commit=info.sha)
    return Pushed(name, commit.oid, commit.commit_url, bool(info.private), tuple(sorted(files)))


@contextmanager
def hub_faults(address: str) -> Iterator[None]:
    """Turn any fault of the client into a `ModelError` that says what to do.

    Args:
        address: of the repository, for the message
    """
    try:
        with foreign_faults(f"{address}: the hub at {constants.ENDPOINT} failed"):
            yield
    except ModelError as error:
        fault = _explain(error.__cause__)
        if fault is None:
            raise
        raise ModelError(f"{address}: {fault}") from error.__cause__


def _explain(error: BaseException | None) -> str | None:
    """What a fault of the client means; None if it speaks for itself."""
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision; name a branch, a tag or a commit that it has"
    if isinstance(error, GatedRepoError):
        return f"the owner must grant access first; ask for it on the page of the repository, then {_LOG_IN}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    # Without a token a hub answers 401, too; the client takes that for a missing repository only of https addresses.
    if isinstance(error, RepositoryNotFoundError) or (status == 401 and "Invalid credentials" not in str(error)):
        return (
            f"{constants.ENDPOINT} has no such repository, or it is private and your token cannot read it; check the "
            f"name, or {_LOG_IN} that can"
        )
    if isinstance(error, HFValidationError):
        return "a repository is named OWNER/NAME, of letters, digits, '-', '_' and '.'"
    if constants.HF_HUB_OFFLINE and isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return (
            "HF_HUB_OFFLINE is set, and the hub's cache on this machine does not have it; unset the variable, or "
            "download it where there is a connection"
        )
    if status in (401, 403):
        return f"{constants.ENDPOINT} refuses your token (status {status}); {_LOG_IN} that may"
    return None
