"""What patches are made from in a workspace: safeguards from its annotated splits, and a model that is fast on them.

Half of a split and some training texts protect. Side effects are measured on the other half. Predictions of these
texts, and the hidden states with which they enter the blocks that a patch may change, are kept in a cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split, split_names
from sparsecbm.intervene.patches.bits import concept_index
from sparsecbm.intervene.patches.layers import first_block
from sparsecbm.intervene.patches.make import Safeguards
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.reference import Reference, predict_concept_logits, predict_reference
from sparsecbm.intervene.reference_cache import load_or_predict
from sparsecbm.intervene.tensor_cache import RenewedCache, TensorCache, cache_key
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum, text_checksum
from sparsecbm.model.masked import first_masked_block
from sparsecbm.model.remembered_states import RememberedStates, remembering_copy

MAX_CACHE_BYTES = 2**30


def patch_cache(workspace: Workspace) -> TensorCache:
    """Return the cache of a workspace's patches; everything in it is computed again if it is gone."""
    return TensorCache(workspace.patch_cache, MAX_CACHE_BYTES)


def renewed_patch_cache(workspace: Workspace) -> TensorCache:
    """Return the same cache for a stage, which computes everything anew and leaves it for the patches that follow."""
    return RenewedCache(workspace.patch_cache, MAX_CACHE_BYTES)


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """What a model predicts for the texts that patches are made from.

    Attributes:
        model: a copy that remembers the hidden states of these texts
        whole: all concepts of the split
        training: some concepts of some training texts; None without a training split beside it
    """

    model: ConceptBottleneck
    whole: Reference
    training: Reference | None


@dataclass(frozen=True, eq=False)
class PatchBase:
    """What patches of one concept are made from.

    Attributes:
        model: a copy that remembers hidden states; give it to `make_patch`, which leaves all masks as they are
        safeguards: predictions of this model
    """

    model: ConceptBottleneck
    safeguards: Safeguards


@dataclass(frozen=True, eq=False)
class SplitSource:
    """Where safeguards come from.

    Attributes:
        annotated: folder of the annotated splits
        split: that protects with one half, and measures with the other
        cache: None keeps nothing
    """

    annotated: Path
    split: str
    params: Params
    cache: TensorCache | None = None

    def prepare(self, model: ConceptBottleneck, concept: str, texts: Sequence[str], layers: Sequence[str]) -> PatchBase:
        """Protect a concept's correct predictions, and predict the texts for side effects.

        Args:
            texts: that a patch is made for; their groups do not protect
            layers: shell patterns over the masked layers whose bits the patch may flip

        Raises:
            DataError: there is no such split.
            InterventionError: the concept is unknown, or the model is dense.
            ConfigError: a pattern matches no masked layer.
        """
        predictions, settings = self.predict(model, [concept], layers), self.params
        protecting, held_out = predictions.whole.halves(0.5, settings.seed)
        protecting = protecting.only(concept)
        if predictions.training is not None:
            protecting = protecting.joined(predictions.training)
        protecting = protecting.without_texts(texts)
        protection = protect(predictions.model, protecting, concept, settings.intervene.protect)
        return PatchBase(predictions.model, Safeguards(protection, held_out))

    def predict(
        self, model: ConceptBottleneck, concepts: Sequence[str], layers: Sequence[str] = ("*",)
    ) -> SplitPredictions:
        """Predict the split and the training texts that protect, and keep all of it in the cache.

        Args:
            concepts: of the training texts; one alone where the layers leave out the first masked block, since states
                then depend on the concept
            layers: as in `prepare`

        Raises:
            DataError: there is no such split.
            InterventionError: a concept is unknown, or the model is dense.
            ConfigError: a pattern matches no masked layer.
        """
        for concept in concepts:
            concept_index(model, concept)
        frame, training = read_split(self.annotated, self.split), self._training()
        checksums = [text_checksum(text) for part in (frame, training) if part is not None for text in part["text"]]
        block = first_block(model, layers)
        shared = block == first_masked_block(model.backbone)  # then the states are the same for all concepts
        key = cache_key("states", model_checksum(model), block, None if shared else concepts[0], checksums)
        kept = None if self.cache is None else self.cache.load(key)
        remembered = RememberedStates(block) if kept is None else RememberedStates.from_tensors(block, kept)
        fast = remembering_copy(model, remembered)
        whole = load_or_predict(fast if shared else model, frame, None, self.cache)
        protecting: Reference | None = None
        for concept in concepts if training is not None else ():
            # One entry for each concept, since a patch needs one alone.
            of_concept = load_or_predict(fast, training, (concept,), self.cache)
            protecting = of_concept if protecting is None else protecting.with_concepts_of(of_concept)
        if self.cache is not None and kept is None:
            predict_concept_logits(fast, concepts[0], whole.texts.tolist())  # so that their states are kept, too
            self.cache.store(key, remembered.to_tensors(), checksums)
        return SplitPredictions(fast, whole, protecting)

    def _training(self) -> pd.DataFrame | None:
        """The training texts that protect; None if there are none, or if they are the split itself."""
        if self.split == "train" or "train" not in split_names(self.annotated):
            return None
        frame, most = read_split(self.annotated, "train"), self.params.intervene.training_texts
        return frame.sample(most, random_state=self.params.seed) if most < len(frame) else frame


def predict_split(
    model: ConceptBottleneck, folder: Path, split: str, max_texts: int | None = None, seed: int = 0
) -> Reference:
    """Predict a split, or a sample of its texts.

    Raises:
        DataError: there is no such split.
        InterventionError: the model has no concepts.
    """
    frame = read_split(folder, split)
    if max_texts is not None and max_texts < len(frame):
        frame = frame.sample(max_texts, random_state=seed)
    return predict_reference(model, frame)
