"""Saved models in a repository of a hub. The manifest of the model decides what is downloaded, and verifies it.

A repository holds the files of a model folder. Its `checksums.json` does not list the card, `README.md`, so that people
may edit the card on the hub.
"""

import re
from pathlib import Path

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import json_text
from sparsecbm.base.outputs import CHECKSUMS
from sparsecbm.model.hub import CARD, HubAddress, Pushed, fetch_snapshot, push_files
from sparsecbm.model.saved_json import read_checksums

# Everything that a saved model consists of. There are no pickles and no Python files among them, and no texts.
_MODEL_FILE = re.compile(
    r"(config|concepts|training_means|checksums)\.json|(model|masks)\.safetensors|"
    r"tokenizer/[\w-][\w.-]*\.(json|txt|model|jinja)",
    re.ASCII,
)


def download_model(address: HubAddress) -> Path:
    """Download a saved model into the hub's cache; loading the folder verifies it.

    A branch or a tag is resolved once, to a commit, and all files come from this commit.

    Returns:
        the folder of the commit, whose name is the commit

    Raises:
        ModelError: as `fetch_snapshot`; the repository holds no model, or lists a file that is none of a model.
    """
    folder = fetch_snapshot(address, [CHECKSUMS])
    manifest = folder / CHECKSUMS
    if not manifest.is_file():
        raise ModelError(f"{address} is no model of sparsecbm: the repository has no {CHECKSUMS}")
    return fetch_snapshot(HubAddress(address.name, folder.name), [CHECKSUMS, *_listed(manifest, str(address))])


def push_model(folder: Path, name: str, card: str, public: bool) -> Pushed:
    """Push a verified model folder, in one commit. Nothing but the files of a model is pushed.

    Args:
        folder: that was verified
        card: becomes `README.md`

    Raises:
        ModelError: the folder lists another file than those of a model, or as `push_files`.
    """
    checksums = read_checksums(folder / CHECKSUMS)
    files: dict[str, Path | bytes] = {file: folder / file for file in _listed(folder / CHECKSUMS, str(folder))}
    files[CHECKSUMS] = json_text({file: checksums[file] for file in files}).encode()
    files[CARD] = card.encode()
    return push_files(name, files, "Publish a model of sparsecbm", public, _MODEL_FILE)


def _listed(manifest: Path, where: str) -> list[str]:
    """Files in a manifest, without the card.

    Raises:
        ModelError: one of them is not a file of a model.
    """
    files = [file for file in read_checksums(manifest) if file != CARD]
    foreign = sorted(file for file in files if not _MODEL_FILE.fullmatch(file) or file == CHECKSUMS)
    if foreign:
        raise ModelError(
            f"{where}: {CHECKSUMS} lists {foreign[0]!r:.80}, which is no file of a model (pickles and code never are); "
            "take a model that sparsecbm saved"
        )
    return files
