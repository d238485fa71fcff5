"""A store of corrections: which concept of which text a person corrected, and how.

    index.json         every correction, with the sha256 of its files; only what the index lists is in the store
    ID.safetensors     the corrected text as the concept's subnetwork pools it, [hidden]
    ID.patch           the mask patch, if the correction is one
    .lock              held while the index is read and written again

Files are written before the index that names them, each whole or not at all. So after a kill at any moment the store
holds either the old or the new state. Texts are identified by their sha256 and are not kept.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from filelock import FileLock, Timeout
from pydantic import Field, computed_field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.files import read_json, replacing, sha256_file, write_json
from sparsecbm.base.published import PUBLISHED
from sparsecbm.intervene.patches.bits import concept_index, mask_checksum
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import patches_in_force
from sparsecbm.intervene.reference import predict_concept_logits
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import text_checksum, weights_checksum

FORMAT = 1
INDEX, LOCK = "index.json", ".lock"
LOCK_TIMEOUT = 30  # seconds that a writer waits for another one


@dataclass(frozen=True, config=PUBLISHED)
class Correction:
    """One entry of the store. The published form leaves out the checksums.

    Attributes:
        concept, state: what was set, and to what
        weights, mask: checksums of the model's weights and of the concept's mask; the text's vector has a meaning for
            these only. `mask` is "dense" for a model without masks
        author, note: who made it, and why
    """

    concept: str
    state: str
    text: Annotated[str, Field(description="sha256 of the corrected text")]
    weights: Annotated[str, Field(exclude=True)]
    mask: Annotated[str, Field(exclude=True)]
    patch: Annotated[str | None, Field(description="id of the mask patch; null for a concept edit")] = None
    author: str = ""
    note: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> Literal["edit", "patch"]:
        """Whether it is a concept edit or a mask patch."""
        return "edit" if self.patch is None else "patch"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """sha256 over everything in it, as hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Memory:
    """A store in a folder. The folder is made when the first correction is added."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def __len__(self) -> int:
        return len(self._index())

    def corrections(self) -> list[Correction]:
        """Return all corrections, oldest first."""
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
        """Keep a concept edit, or a mask patch if one is given. The same correction is kept once.

        Raises:
            InterventionError: an unknown concept; a patch of another concept, state or model; or another writer holds
                the lock for too long.
            ConfigError: an unknown state.
        """
        concept_index(model, concept)
        model.concept_set[concept].index(state)
        weights, mask = correction_checksums(model, concept)
        if patch is not None and (patch.concept, patch.state, patch.weights, patch.mask) != (
            concept, state, weights, mask
        ):  # fmt: skip
            raise InterventionError(
                f"patch {patch.id[:12]} makes {patch.concept!r} predict {patch.state!r}; it belongs to another model, "
                f"or to another concept or state than {concept!r}, {state!r}"
            )
        patch_id = patch.id if patch else None
        correction = Correction(concept, state, text_checksum(text), weights, mask, patch_id, author, note)
        vector = predict_concept_logits(model, concept, [text])[1][0]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            writers = {f"{correction.id}.safetensors": lambda path: save_file({"vector": vector}, path)}
            if patch is not None:
                writers[f"{correction.id}.patch"] = patch.save
            checksums = {}
            for name, write in writers.items():
                with replacing(self.folder / name) as temporary:
                    write(temporary)
                checksums[name] = sha256_file(self.folder / name)
            entry = {"correction": asdict(correction), "files": checksums}
            self._write_index({**self._index(), correction.id: entry})
        return correction

    def remove(self, identity: str) -> Correction:
        """Remove one correction, named by its id or the start of it.

        Raises:
            InterventionError: no correction, or more than one, has such an id.
        """
        with self._lock():
            index = self._index()
            matches = [key for key in index if key.startswith(identity)]
            if len(matches) != 1:
                raise InterventionError(unknown("correction", identity, [key[:12] for key in index]))
            entry = index.pop(matches[0])
            self._write_index(index)
            for name in entry["files"]:
                (self.folder / name).unlink(missing_ok=True)
        return Correction(**entry["correction"])

    def vector(self, correction: Correction) -> np.ndarray:
        """Return the corrected text as the concept pools it, [hidden]."""
        path = self._verified_file(correction, f"{correction.id}.safetensors")
        try:
            return load_file(path)["vector"]
        except (SafetensorError, KeyError) as error:
            raise InterventionError(f"{path} holds no vector: {error}") from error

    def patch(self, correction: Correction) -> MaskPatch:
        """Return the mask patch of a correction.

        Raises:
            InterventionError: the correction is a concept edit.
        """
        if correction.patch is None:
            raise InterventionError(f"correction {correction.id[:12]} is a concept edit and has no patch")
        return MaskPatch.load(self._verified_file(correction, f"{correction.id}.patch"))

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

    def _index(self) -> dict[str, dict]:
        path = self.folder / INDEX
        if not path.is_file():
            return {}
        plain = read_json(path)
        if plain.get("format") != FORMAT:
            raise InterventionError(f"{path} has format {plain.get('format')}; this version reads format {FORMAT}")
        try:
            return {Correction(**entry["correction"]).id: entry for entry in plain["corrections"]}
        except (KeyError, TypeError, ValueError) as error:
            raise InterventionError(f"{path} is not an index of corrections: {error}") from error

    def _write_index(self, index: dict[str, dict]) -> None:
        write_json(self.folder / INDEX, {"format": FORMAT, "corrections": list(index.values())})

    def _verified_file(self, correction: Correction, name: str) -> Path:
        entry, path = self._index().get(correction.id), self.folder / name
        if entry is None or name not in entry["files"]:
            raise InterventionError(f"{self.folder} does not list {name}")
        if not path.is_file() or sha256_file(path) != entry["files"][name]:
            raise InterventionError(f"{path} is missing or was altered; restore it, or remove the correction")
        return path


def correction_checksums(model: ConceptBottleneck, concept: str) -> tuple[str, str]:
    """Return the checksums of the weights and of the concept's mask that a correction must have to fit this model.

    Raises:
        InterventionError: patches are in force on the concept, which change its vectors.
    """
    if patches_in_force(model, concept):
        raise InterventionError(f"patches of {concept!r} are in force; remove them before corrections are looked up")
    return weights_checksum(model), mask_checksum(model.masks[concept]) if model.masked else "dense"
