"""A model as it is served: loaded, verified and warmed once, and never changed.

It has two forms that predict the same. One has packed masks, for patches. The other has its masks multiplied with the
weights where that is faster, for predictions and explanations without patches.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import sha256_file
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum, weights_checksum
from sparsecbm.model.execution import Execution
from sparsecbm.model.storage import CHECKSUMS
from sparsecbm.promote.request_limits import release_memory
from sparsecbm.promote.request_options import patch_files

# Not bf16, where `auto` may choose it: a prediction must be the one that its explanation explains.
PREDICTION = Execution(precision="float32")
WARMING_TEXTS = ("The ramen was superb, though you could hardly hear yourself think.", "", "a " * 1000)


@dataclass(frozen=True)
class ModelVersion:
    """What an answer says of the model that gave it.

    Attributes:
        name: of the registered model, or of the model folder
        version: number in the registry; for a folder, the first 12 characters of the checksum of weights and masks,
            by which reports and cards name a model
        sha256: of the model folder's `checksums.json`
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model and its version. Requests take a snapshot along, so it lives until the last of them ends.

    Attributes:
        model: for requests with patches
        predictor: for all others; the model itself, or a faster copy of it that `accelerated` makes
        patches: by id
    """

    model: SparseCBM
    predictor: ConceptBottleneck
    version: ModelVersion
    patches: Mapping[str, MaskPatch]

    @property
    def is_accelerated(self) -> bool:
        """Whether predictions have a copy of the model for themselves."""
        return self.predictor is not self.model

    def without_copies(self) -> "Snapshot":
        """The same snapshot, whose predictions take the model itself."""
        return replace(self, predictor=self.model)


def load_snapshot(
    folder: Path, name: str, number: int | None = None, patches: Path | None = None, expected: str | None = None
) -> Snapshot:
    """Load a model folder with its patches, and let it predict.

    Args:
        number: of the version in the registry
        patches: folder of patches
        expected: sha256 that `checksums.json` must have

    Raises:
        ModelError: the folder is altered or incomplete, or its predictions are no probabilities.
        InterventionError: a patch is damaged.
    """
    model = SparseCBM.from_pretrained(folder)
    sha256 = sha256_file(folder / CHECKSUMS)
    if expected is not None and sha256 != expected:
        raise ModelError(f"{folder} is not the model that was registered: the sha256 of {CHECKSUMS} differs")
    loaded = {patch.id: patch for patch in map(MaskPatch.load, patch_files(patches))} if patches else {}
    version = ModelVersion(name, model_checksum(model)[:12] if number is None else str(number), sha256)
    snapshot = Snapshot(model, model, version, MappingProxyType(loaded))
    _warm(snapshot)
    release_memory()  # what loading needed, so that a switch takes little more than two models
    return snapshot


def accelerated(snapshot: Snapshot) -> Snapshot:
    """The same snapshot with a predictor that is as fast as this machine can.

    Both forms share the memory of what no mask cuts, such as embeddings. Copies of the masked weights for each concept
    may take more memory than the model itself, so a switch makes them when the old model is freed.
    """
    predictor = snapshot.model.prediction_copy(PREDICTION)
    weights = dict(snapshot.model.named_parameters())
    for name, parameter in predictor.named_parameters():
        if name in weights:
            parameter.data = weights[name].data
    release_memory()
    return replace(snapshot, predictor=predictor)


def _warm(snapshot: Snapshot) -> None:
    """Predict some texts, so that the first request waits for nothing, and check the answers."""
    weights_checksum(snapshot.model)  # which patches compare
    for prediction in snapshot.predictor.predict(WARMING_TEXTS):
        for variable in (prediction.label, *prediction.concepts.values()):
            total = sum(variable.probabilities.values())
            if not math.isclose(total, 1, abs_tol=1e-3):
                raise ModelError(f"the model predicts probabilities that add up to {total}, not to 1")
