"""A store of corrections: which concept of which text a person set right, and by what.

    index.json         every correction, with the sha256 of its files; the store is what the index lists
    ID.safetensors     the corrected text as the concept's subnetwork pools it, [hidden]
    ID.patch           the mask patch, of a correction that is one
    .lock              held while the index is read and written anew

Files are written before the index that names them, each whole or not at all, so a kill at any moment leaves the store
as it was or as it was to be. Texts are known by their sha256 and are not kept.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.files import read_json, replacing, sha256_file, write_json
from sparsecbm.intervene.patches.bits import concept_index, mask_checksum
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patches_of
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum, weights_checksum

FORMAT = 1
INDEX, LOCK = "index.json", ".lock"
PATIENCE = 30  # seconds that a writer waits for another one


@dataclass(frozen=True)
class Correction:
    """One entry of the store.

    Attributes:
        concept, state: what was set, and to what
        text: sha256 of the corrected text
        weights, mask: checksums of the model's weights and of the concept's mask; a text's vector means something
            under these alone. `mask` is "dense" for a model without masks
        patch: id of the mask patch that does it; None for a concept edit
        author, note: who made it, and why
    """

    concept: str
    state: str
    text: str
    weights: str
    mask: str
    patch: str | None = None
    author: str = ""
    note: str = ""

    @property
    def kind(self) -> str:
        """edit | patch."""
        return "edit" if self.patch is None else "patch"

    @property
    def id(self) -> str:
        """sha256 over everything in it, as hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Memory:
    """A store in a folder, which is made when the first correction is added."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __len__(self) -> int:
        return len(self._index())

    def corrections(self) -> list[Correction]:
        """All corrections, oldest first."""
        return [Correction(**entry["correction"]) for entry in self._index().values()]

    def add(
        self,
        model: ConceptBottleneck,
        text: str,
        concept: str,
        state: str,
        patch: MaskPatch | None = None,
        author: str = "",
        note: str = "",
    ) -> Correction:
        """Keep a concept edit, or a mask patch if one is given; what is there already is not kept twice.

        Raises:
            InterventionError: an unknown concept, a patch of another concept, state or model, or another writer does
                not come to an end.
            ConfigError: an unknown state.
        """
        concept_index(model, concept)
        model.concept_set[concept].index(state)
        weights, mask = fits(model, concept)
        if patch is not None and (patch.concept, patch.state, patch.weights, patch.mask) != (
            concept, state, weights, mask
        ):  # fmt: skip
            raise InterventionError(
                f"patch {patch.id[:12]} makes {patch.concept!r} read {patch.state!r} in another model, or is of "
                f"another concept or state than {concept!r}, {state!r}"
            )
        made = Correction(concept, state, text_checksum(text), weights, mask, patch.id if patch else None, author, note)
        vector = predict_concept_logits(model, concept, [text])[1][0]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            files = {f"{made.id}.safetensors": lambda path: save_file({"vector": vector}, path)}
            if patch is not None:
                files[f"{made.id}.patch"] = patch.save
            sums = {}
            for name, write in files.items():
                with replacing(self.folder / name) as temporary:
                    write(temporary)
                sums[name] = sha256_file(self.folder / name)
            index = {**self._index(), made.id: {"correction": asdict(made), "files": sums}}
            write_json(self.folder / INDEX, {"format": FORMAT, "corrections": list(index.values())})
        return made

    def remove(self, identity: str) -> Correction:
        """Forget one correction, named by its id or the start of it.

        Raises:
            InterventionError: no correction, or more than one, has such an id.
        """
        with self._lock():
            index = self._index()
            found = [key for key in index if key.startswith(identity)]
            if len(found) != 1:
                raise InterventionError(unknown("correction", identity, [key[:12] for key in index]))
            entry = index.pop(found[0])
            write_json(self.folder / INDEX, {"format": FORMAT, "corrections": list(index.values())})
            for name in entry["files"]:
                (self.folder / name).unlink(missing_ok=True)
        return Correction(**entry["correction"])

    def vector(self, correction: Correction) -> np.ndarray:
        """The corrected text as the concept pools it, [hidden]."""
        path = self._verified(correction, f"{correction.id}.safetensors")
        try:
            return load_file(path)["vector"]
        except (SafetensorError, KeyError) as error:
            raise InterventionError(f"{path} holds no vector: {error}") from error

    def patch(self, correction: Correction) -> MaskPatch:
        """The mask patch of a correction that is one."""
        if correction.patch is None:
            raise InterventionError(f"correction {correction.id[:12]} is a concept edit and has no patch")
        return MaskPatch.load(self._verified(correction, f"{correction.id}.patch"))

    def fitting(self, model: ConceptBottleneck, concept: str) -> list[Correction]:
        """Corrections of one concept whose vectors this model's own can be compared with."""
        own = fits(model, concept)
        return [c for c in self.corrections() if c.concept == concept and (c.weights, c.mask) == own]

    def _lock(self) -> FileLock:
        lock = FileLock(self.folder / LOCK, timeout=PATIENCE)
        try:
            return lock.acquire()
        except Timeout:
            raise InterventionError(
                f"{self.folder} has been written to by another process for {PATIENCE} s; try again"
            ) from None

    def _index(self) -> dict[str, dict]:
        path = self.folder / INDEX
        if not path.is_file():
            return {}
        plain = read_json(path)
        if plain.get("format") != FORMAT:
            raise InterventionError(f"{path} has format {plain.get('format')}; this version reads {FORMAT}")
        try:
            return {Correction(**entry["correction"]).id: entry for entry in plain["corrections"]}
        except (KeyError, TypeError) as error:
            raise InterventionError(f"{path} is no index of corrections: {error}") from error

    def _verified(self, correction: Correction, name: str) -> Path:
        entry, path = self._index().get(correction.id), self.folder / name
        if entry is None or name not in entry["files"]:
            raise InterventionError(f"{self.folder} knows nothing of {name}")
        if not path.is_file() or sha256_file(path) != entry["files"][name]:
            raise InterventionError(f"{path} is missing or was altered; restore it, or remove the correction")
        return path


def fits(model: ConceptBottleneck, concept: str) -> tuple[str, str]:
    """Checksums of the weights and of the concept's mask, which a correction must have to fit.

    Raises:
        InterventionError: patches are in force on the concept, so that texts look different to it.
    """
    if patches_of(model, concept):
        raise InterventionError(f"patches of {concept!r} are in force; take them off before corrections are looked up")
    return weights_checksum(model), mask_checksum(model.masks[concept]) if model.masked else "dense"
