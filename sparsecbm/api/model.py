"""What users hold: the model with its explanations, interventions and files."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from sparsecbm.display.model_card import model_card
from sparsecbm.explain.explainer import explain
from sparsecbm.explain.explanation import Explanation
from sparsecbm.intervene.edits import Edit, Setting, edited, intervene
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.stack import apply_patch, patched
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import CompactModel, compact
from sparsecbm.model.storage import load, save


class SparseCBM(ConceptBottleneck):
    """A concept bottleneck over a transformer that explains its predictions and takes corrections."""

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a saved model; every file's sha256 is verified first.

        Raises:
            ModelError: the folder is missing, incomplete or altered.
        """
        return load(Path(path), cls)

    def save_pretrained(self, path: str | Path) -> None:
        """Save to a folder that `from_pretrained` reads; it appears whole or not at all."""
        save(self, Path(path), model_card(self))

    def compact(self) -> CompactModel:
        """Each concept's subnetwork cut out as a smaller dense network, with the same outputs, for inference.

        Raises:
            ModelError: the masks are not of whole heads and neurons.
        """
        return compact(self)

    def explain(self, texts: str | Sequence[str], **how: object) -> Explanation | list[Explanation]:
        """Why one or more texts are read as they are: words, subnetworks, concepts.

        Args:
            how: concepts, states, method, options and what else `sparsecbm.explain.explainer.explain` takes
        """
        explanations = explain(self, [texts] if isinstance(texts, str) else texts, **how)
        return explanations[0] if isinstance(texts, str) else explanations

    def intervene(
        self, texts: str | Sequence[str], settings: Mapping[str, Setting], head: str = "soft"
    ) -> Edit | list[Edit]:
        """Set concepts of one or more texts and see what the label becomes; see `sparsecbm.intervene.edits`."""
        return intervene(self, texts, settings, head)

    def edited(self, settings: Mapping[str, Setting]) -> AbstractContextManager["SparseCBM"]:
        """Set concepts of every text that is read while a block runs; see `sparsecbm.intervene.edits`."""
        return edited(self, settings)

    def patched(self, *patches: MaskPatch) -> AbstractContextManager["SparseCBM"]:
        """Flip the bits of mask patches while a block runs; see `sparsecbm.intervene.patches.stack`."""
        return patched(self, *patches)

    def with_patches(self, *patches: MaskPatch) -> "SparseCBM":
        """A model of its own, with the same weights, in which patches are permanent; save it as any other."""
        return apply_patch(self, *patches)
