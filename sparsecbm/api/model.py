"""The model that users hold: predictions, explanations, corrections and scores, on texts and data frames."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pandas as pd

from sparsecbm.api.frames import annotated_table
from sparsecbm.api.options import PatchSettings
from sparsecbm.api.tables import prediction_table, score_table, square_table
from sparsecbm.base.params import Evaluate
from sparsecbm.display.model_card import model_card
from sparsecbm.evaluate.pooled import pooled_texts
from sparsecbm.evaluate.scores.scores import ScoredTable, score_split
from sparsecbm.evaluate.specificity.specificity import swap
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.explain.explanation import Explanation
from sparsecbm.explain.export import word_table
from sparsecbm.explain.methods import DEFAULT_METHOD, DEFAULT_OPTIONS, AttributionOptions
from sparsecbm.explain.variants import KINDS
from sparsecbm.intervene.edits import Edit, Setting, edited, intervene
from sparsecbm.intervene.patches.bits import bit_budget
from sparsecbm.intervene.patches.make import Safeguards, make_patch
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.intervene.patches.protection import protect
from sparsecbm.intervene.patches.stack import patched, patched_copy
from sparsecbm.intervene.reference import predict_reference
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.compact import CompactModel, compact
from sparsecbm.model.execution import AUTO, Execution, prediction_copy
from sparsecbm.model.hub import Pushed
from sparsecbm.model.hub_models import push_model
from sparsecbm.model.shared_mask import SharedMask, mask_of, under_mask
from sparsecbm.model.storage import load, save
from sparsecbm.train.loop import History

DEFAULT_PATCH = PatchSettings()


class SparseCBM(ConceptBottleneck):
    """A concept bottleneck over a transformer that explains its predictions and takes corrections.

    Attributes:
        history: the curves of the training that made the model; None for a loaded model
    """

    history: History | None = None

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a saved model; every file's sha256 is verified first.

        Args:
            path: of a folder, or `name@revision` of a repository on a Hugging Face hub: a branch, a tag or a commit.
                The attribute `origin` of the model names the commit.

        Raises:
            ModelError: the folder is missing, incomplete or altered; the hub has no such repository or revision, or
                cannot be reached, or the repository is no model of sparsecbm.
        """
        return load(Path(path), cls)

    def save_pretrained(self, path: str | Path) -> None:
        """Save to a folder that `from_pretrained` reads; it appears whole or not at all."""
        save(self, Path(path), model_card(self))

    def push_to_hub(self, name: str, *, public: bool = False, card: str | None = None) -> Pushed:
        """Push the model to a repository `OWNER/NAME` on a Hugging Face hub, in one commit.

        The token is that of `hf auth login`, or of the variable `HF_TOKEN`. Only the files of a model are pushed; they
        hold no texts.

        Args:
            public: whether everybody may read it; a repository that is created is private otherwise
            card: its `README.md`; by default one that describes the model and says that nothing was measured

        Raises:
            ModelError: no right to write there, no connection, the repository is public and `public` is false, or it
                holds something else than a model.
        """
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save(self, folder)
            return push_model(folder, name, model_card(self) if card is None else card, public)

    def compact(self) -> CompactModel:
        """Each concept's subnetwork cut out as a smaller dense network, with the same outputs, for inference.

        Raises:
            ModelError: no mask drops a whole head or neuron.
        """
        return compact(self)

    def prediction_copy(self, execution: Execution = AUTO, texts: int | None = None) -> ConceptBottleneck:
        """A copy that only predicts, as fast as this machine can; see `sparsecbm.model.execution`."""
        return prediction_copy(self, execution, texts)

    def predict_frame(self, texts: Sequence[str], batch_size: int = 32) -> pd.DataFrame:
        """Predictions as a data frame: `text`, the label, each concept, and the probability of each of these states."""
        return prediction_table(self.predict(list(texts), batch_size), self.concept_set)

    def score(self, data: Any, *, text: str = "text", group: str | None = None, seed: int = 0) -> pd.DataFrame:
        """Scores on labelled texts: a row for the label, for the label from plain states, and for each concept.

        Args:
            data: a data frame whose columns are named like the label and the concepts
            group: a column that is equal for texts that are not independent; intervals are drawn over groups
            seed: of the bootstrap

        Returns:
            columns texts, accuracy, low and high (95 %), macro_f1, majority, calibration_error
        """
        table = annotated_table(data, self.concept_set, text, group)
        return score_table(score_split(self, ScoredTable("given", table), Evaluate(), seed))

    def swap_matrix(self, data: Any, *, text: str = "text") -> pd.DataFrame:
        """Accuracy of each concept (row) under the mask of each concept (column), by the concept's trained head.

        Raises:
            ModelError: the model has no masks.
        """
        return square_table(swap(self, pooled_texts(self, annotated_table(data, self.concept_set, text))))

    def explain(
        self,
        texts: str | Sequence[str],
        concepts: Sequence[str] | None = None,
        states: Mapping[str, str] | None = None,
        method: str = DEFAULT_METHOD,
        options: AttributionOptions = DEFAULT_OPTIONS,
        units: Sequence[str] = KINDS,
    ) -> Explanation | list[Explanation]:
        """Explain the label of one text or several: by concepts, their subnetworks and words.

        Args:
            concepts: concepts whose words and subnetworks are explained; by default all
            states: concept -> the state to explain; by default the predicted one
            method: attribution method of the word scores, such as integrated_gradients or leave_one_out
            options: of the attribution method
            units: kinds of units to ablate: block | head | ffn; none if empty. `sufficient` among them searches the
                smallest set of heads and neurons that keeps each prediction, which takes some seconds for each text

        Returns:
            one explanation for one text, a list for a list

        Raises:
            ConfigError, ModelError: as `sparsecbm.explain.explainer.explain`.
        """
        how = ExplainOptions(concepts, states or {}, method, options, units)
        explanations = explain(self, [texts] if isinstance(texts, str) else texts, how)
        return explanations[0] if isinstance(texts, str) else explanations

    def attributions(self, texts: Sequence[str], **how: Any) -> pd.DataFrame:
        """Scores of words as a data frame: a row for each text, concept and word; arguments as in `explain`."""
        explanations = self.explain(list(texts), **how)
        assert isinstance(explanations, list)
        return word_table(explanations)

    def intervene(
        self, texts: str | Sequence[str], settings: Mapping[str, Setting], head: str = "soft"
    ) -> Edit | list[Edit]:
        """Set concepts of one or more texts and see what the label becomes; see `sparsecbm.intervene.edits`."""
        return intervene(self, texts, settings, head)

    def edited(self, settings: Mapping[str, Setting]) -> AbstractContextManager["SparseCBM"]:
        """Set concepts of every text that is predicted while a block runs; see `sparsecbm.intervene.edits`."""
        return edited(self, settings)

    def make_patch(
        self,
        texts: str | Sequence[str],
        concept: str,
        state: str,
        data: Any,
        *,
        text: str = "text",
        options: PatchSettings = DEFAULT_PATCH,
    ) -> MaskPatch:
        """Find bits of a concept's mask to flip so that texts get a state; the model stays as it is.

        Half of the groups of `data` protect their correct predictions; side effects are measured on the other half.

        Args:
            texts: one text, or several that share a mistake
            state: the state that the concept should have in them
            data: labelled texts, with columns named like the label and the concepts
            text: the column of the texts
            options: what the patch may cost, and how the data is used

        Raises:
            UnreachedError, HarmfulError: no patch within these bounds gives the texts that state.
        """
        reference = predict_reference(self, annotated_table(data, self.concept_set, text, options.group))
        protecting, held_out = reference.halves(0.5, options.seed)
        given = [texts] if isinstance(texts, str) else list(texts)
        protection = protect(self, protecting.without_texts(given), concept, options.protected)
        limits = PatchOptions(budget=bit_budget(self, options.max_flipped_share), max_harm=options.max_harm)
        return make_patch(self, given, concept, state, limits, Safeguards(protection, held_out))

    def patched(self, *patches: MaskPatch) -> AbstractContextManager["SparseCBM"]:
        """Flip the bits of mask patches while a block runs; see `sparsecbm.intervene.patches.stack`."""
        return patched(self, *patches)

    def mask_of(self, concept: str) -> SharedMask:
        """The mask of one concept, to save or share; see `sparsecbm.model.shared_mask`."""
        return mask_of(self, concept)

    def with_mask(self, mask: SharedMask) -> "SparseCBM":
        """A model of its own, with the same weights, in which one concept has another mask.

        Raises:
            ModelError: the mask belongs to other weights; the message names both checksums.
        """
        return under_mask(self, mask)

    def with_patches(self, *patches: MaskPatch) -> "SparseCBM":
        """A model of its own, with the same weights, in which patches are permanent; save it as any other."""
        return patched_copy(self, *patches)
