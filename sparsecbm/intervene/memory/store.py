"""A store of corrections: which concept of which text a person corrected, and how.

    index.json         every correction, with the sha256 of its files; only what the index lists is in the store
    ID.safetensors     the corrected text as the concept's subnetwork pools it, [hidden]
    ID.patch           the mask patch, if the correction is one
    .lock              held while the index is read and written again

Files are written before the index that names them, each whole or not at all. So after a kill at any moment the store
holds either the old or the new state. Texts are identified by their sha256 and are not kept.
"""

from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.files import replacing, sha256_file
from sparsecbm.intervene.memory.index import (
    DENSE,
    Correction,
    Entry,
    patch_file,
    read_index,
    vector_file,
    write_index,
)
from sparsecbm.intervene.patches.bits import concept_index, mask_checksum
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patches_in_force
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum, weights_checksum

LOCK = ".lock"
LOCK_TIMEOUT = 30  # seconds that a writer waits for another one
MIN_ID = 4  # characters that name a correction


class Memory:
    """A store in a folder. The folder is made when the first correction is added."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __len__(self) -> int:
        return len(self._index())

    def corrections(self) -> list[Correction]:
        """Return all corrections, oldest first."""
        return [entry.correction for entry in self._index().values()]

    def add(
        self, model: ConceptBottleneck, text: str, concept: str, state: str, author: str = "", note: str = ""
    ) -> Correction:
        """Keep a concept edit. The same correction is kept once.

        Raises:
            InterventionError: an unknown concept, or another writer holds the lock for too long.
            ConfigError: an unknown state.
        """
        concept_index(model, concept)
        model.concept_set[concept].index(state)
        checksums = correction_checksums(model, concept)
        return self._add(model, text, Correction(concept, state, text_checksum(text), *checksums, None, author, note))

    def add_patch(
        self, model: ConceptBottleneck, text: str, patch: MaskPatch, author: str = "", note: str = ""
    ) -> Correction:
        """Keep a mask patch as the correction of a text. The same correction is kept once.

        Raises:
            InterventionError: the patch belongs to another model, or another writer holds the lock for too long.
        """
        concept_index(model, patch.concept)
        weights, mask = correction_checksums(model, patch.concept)
        if (patch.weights, patch.mask) != (weights, mask):
            raise InterventionError(f"patch {patch.id[:12]} belongs to another model or to another mask")
        correction = Correction(patch.concept, patch.state, text_checksum(text), weights, mask, patch.id, author, note)
        return self._add(model, text, correction, patch)

    def _add(
        self, model: ConceptBottleneck, text: str, correction: Correction, patch: MaskPatch | None = None
    ) -> Correction:
        vector = predict_concept_logits(model, correction.concept, [text])[1][0]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            writers = {vector_file(correction): lambda path: save_file({"vector": vector}, path)}
            if patch is not None:
                writers[patch_file(correction)] = patch.save
            checksums = {}
            for name, write in writers.items():
                with replacing(self.folder / name) as temporary:
                    write(temporary)
                checksums[name] = sha256_file(self.folder / name)
            write_index(self.folder, {**self._index(), correction.id: Entry(correction, checksums)})
        return correction

    def remove(self, identity: str) -> Correction:
        """Remove one correction, named by its id or by the start of it. Files outside the store are never touched.

        Args:
            identity: at least `MIN_ID` characters

        Raises:
            InterventionError: no correction, or more than one, has such an id.
        """
        if len(identity) < MIN_ID:
            raise InterventionError(f"give at least the first {MIN_ID} characters of the correction's id")
        if not self._index():
            raise InterventionError(f"{self.folder} holds no corrections")
        with self._lock():
            index = self._index()
            matches = [key for key in index if key.startswith(identity)]
            if len(matches) != 1:
                raise InterventionError(unknown("correction", identity, [key[:12] for key in index]))
            entry = index.pop(matches[0])
            write_index(self.folder, index)
            for name in entry.files:  # `read_index` lets no other names through than those that follow from the id
                (self.folder / name).unlink(missing_ok=True)
        return entry.correction

    def vector(self, correction: Correction) -> np.ndarray:
        """Return the corrected text as the concept pools it, [hidden].

        Raises:
            InterventionError: the file is missing, was altered or holds no vector.
        """
        path = self._verified_file(correction, vector_file(correction))
        try:
            vector = load_file(path)["vector"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InterventionError(f"{path} holds no vector: {error}") from error
        if vector.ndim != 1 or vector.dtype != np.float32 or not np.isfinite(vector).all():
            raise InterventionError(f"{path} holds no vector of finite numbers")
        return vector

    def patch(self, correction: Correction) -> MaskPatch:
        """Return the mask patch of a correction.

        Raises:
            InterventionError: the correction is a concept edit; or its file is missing, was altered or holds another
                patch.
        """
        if correction.patch is None:
            raise InterventionError(f"correction {correction.id[:12]} is a concept edit and has no patch")
        path = self._verified_file(correction, patch_file(correction))
        patch = MaskPatch.load(path)
        if patch.id != correction.patch:
            raise InterventionError(f"{path} holds another patch than the one that the correction names")
        return patch

    def corrections_for(self, model: ConceptBottleneck, concept: str) -> list[Correction]:
        """Return the corrections of one concept whose vectors are comparable with this model's."""
        checksums = correction_checksums(model, concept)
        return [c for c in self.corrections() if c.concept == concept and (c.weights, c.mask) == checksums]

    def _lock(self) -> FileLock:
        lock = FileLock(self.folder / LOCK, timeout=LOCK_TIMEOUT)
        try:
            return lock.acquire()
        except Timeout:
            raise InterventionError(
                f"another process has been writing to {self.folder} for {LOCK_TIMEOUT} s; try again"
            ) from None

    def _index(self) -> dict[str, Entry]:
        return read_index(self.folder)

    def _verified_file(self, correction: Correction, name: str) -> Path:
        entry, path = self._index().get(correction.id), self.folder / name
        if entry is None:
            raise InterventionError(f"{self.folder} does not list {name}")
        if path.is_symlink() or not path.is_file() or sha256_file(path) != entry.files[name]:
            raise InterventionError(f"{path} is missing or was altered; restore it, or remove the correction")
        return path


def correction_checksums(model: ConceptBottleneck, concept: str) -> tuple[str, str]:
    """Return the checksums of the weights and of the concept's mask that a correction must have to fit this model.

    Raises:
        InterventionError: patches are in force on the concept, which change its vectors.
    """
    if patches_in_force(model, concept):
        raise InterventionError(f"patches of {concept!r} are in force; remove them before corrections are looked up")
    return weights_checksum(model), mask_checksum(model.masks[concept]) if model.masked else DENSE
