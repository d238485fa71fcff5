"""The core network: texts in, concepts and a label out.

Users hold its subclass `sparsecbm.SparseCBM`, which adds explanations and interventions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ModelError
from sparsecbm.model.backbone import build_backbone, hidden_size, load_backbone, plain_config
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.heads import ConceptHeads, LabelHead, activate
from sparsecbm.model.masked import attach_masks, is_masked, needs_separate_passes, packed_masks
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import Overlap, compute_overlap
from sparsecbm.model.pooling import pool
from sparsecbm.model.prediction import Prediction, state_predictions
from sparsecbm.model.routing import route_rows, routed


@dataclass(frozen=True)
class Settings:
    """What makes a model's forward pass, besides its backbone and its concepts."""

    mode: str = "joint"
    pooling: str = "mean"
    activation: str = "soft"
    max_length: int = 128
    dropout: float = 0.1


@dataclass(frozen=True)
class Output:
    """One forward pass: logits and activations by concept, [batch, states]; label logits, [batch, classes]."""

    concept_logits: dict[str, Tensor]
    activations: dict[str, Tensor]
    label_logits: Tensor


@dataclass(frozen=True)
class Logits:
    """Raw results for many texts, in their order: [texts, states] by concept and [texts, classes]."""

    concepts: dict[str, np.ndarray]
    label: np.ndarray


class ConceptBottleneck(nn.Module):
    """A concept bottleneck over a transformer.

    In mode `standard` there is no bottleneck: the label is read off the pooled text directly (the
    black box to compare with), and no concept is predicted.

    A trained bottleneck has two label heads of one form. `label_head` computes the label from the activations.
    `hard_head` is fitted on one-hot concepts, for questions about plain states: then a loss in the label is what the
    activations told beyond the states, and no mismatch of the head.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        concept_set: ConceptSet,
        settings: Settings = Settings(),
        means: dict[str, dict[str, float]] | None = None,
    ):
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.concept_set = concept_set
        self.settings = settings
        # Mean activation of each state over the training set, and the share of each gold state there.
        self.means = means or {}
        # V and b fitted on one-hot concepts of the training texts; None before that and in mode `standard`.
        self.hard_head: LabelHead | None = None
        width = hidden_size(backbone)
        if settings.mode == "standard":
            self.dropout = nn.Dropout(settings.dropout)
            self.direct_head = nn.Linear(width, len(concept_set.label))
        else:
            self.concept_heads = ConceptHeads(concept_set, width, settings.dropout)
            self.label_head = LabelHead(concept_set)

    @classmethod
    def build(cls, backbone: str, concept_set: ConceptSet, settings: Settings) -> Self:
        """A new model: a pretrained backbone by name and fresh heads."""
        model, tokenizer = load_backbone(backbone)
        return cls(model, tokenizer, concept_set, settings)

    @property
    def has_bottleneck(self) -> bool:
        """Whether the label is computed from concepts."""
        return self.settings.mode != "standard"

    @property
    def masked(self) -> bool:
        """Whether each concept reads through a subnetwork of its own."""
        return is_masked(self.backbone)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def masks(self) -> MaskSet | None:
        """The masks of the concepts, `model.masks["food"]`; None for a dense model. Assign to replace them."""
        bits = packed_masks(self.backbone)
        if not bits:
            return None
        layers = dict(self.backbone.named_modules())
        return MaskSet(self.concept_set.names, {name: tuple(layers[name].weight.shape) for name in bits}, bits)

    @masks.setter
    def masks(self, masks: MaskSet) -> None:
        if masks.concepts != self.concept_set.names:
            raise ModelError(
                f"these masks are for another model: they are of {list(masks.concepts)}, "
                f"its concepts are {list(self.concept_set.names)}"
            )
        if not self.has_bottleneck:
            raise ModelError("a model of mode `standard` has no concepts, so it cannot have their masks")
        attach_masks(self.backbone, masks)

    def add_hard_head(self) -> LabelHead:
        """Give the model a label head for one-hot concepts, to be fitted or loaded; no training changes it."""
        self.hard_head = LabelHead(self.concept_set).requires_grad_(False).to(self.device)
        return self.hard_head

    def density(self) -> dict[str, float]:
        """Share of the weights under masks that each concept keeps.

        Raises:
            ModelError: the model has no masks.
        """
        return self._masks_in_force().density()

    def overlap(self) -> Overlap:
        """How much the masks of every two concepts share, against what chance gives; the core and the exclusive shares.

        Raises:
            ModelError: the model has no masks.
        """
        return compute_overlap(self._masks_in_force())

    def _masks_in_force(self) -> MaskSet:
        masks = self.masks
        if masks is None and not self.has_bottleneck:
            raise ModelError(
                "a model of mode `standard` has no concepts, so it cannot have masks; train one with another mode"
            )
        if masks is None:
            raise ModelError(
                "the model has no masks, as a dense or compact one has none; "
                "`sparsecbm prune` writes a model that has them, models/sparse: load that one"
            )
        return masks

    def represent(self, ids: Tensor, mask: Tensor, rows: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Pooled texts by concept, each through its own subnetwork, all in one call.

        Args:
            ids: [batch, tokens]; or embeddings of words, [batch, tokens, width], in their place, for gradients
            mask: [batch, tokens]
            rows: concept -> [rows], which rows go through it; by default all rows through every concept

        Returns:
            concept -> [rows, hidden]
        """
        if rows is None:
            rows = dict.fromkeys(self.concept_set.names, torch.arange(len(ids), device=ids.device))
        if not self.masked:
            pooled = pool(self._states(ids, mask), mask, self.settings.pooling)
            return {name: pooled[members] for name, members in rows.items()}
        if len(rows) > 1 and needs_separate_passes(self.backbone):
            return {name: self.represent(ids, mask, {name: members})[name] for name, members in rows.items()}
        names = self.concept_set.names
        route = route_rows(len(ids), list(rows.values()), [names.index(name) for name in rows])
        with routed(route):
            states = self._states(ids, mask)
        pooled = pool(states, mask[route.rows], self.settings.pooling)
        return dict(zip(rows, pooled.split([len(members) for members in rows.values()]), strict=True))

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = {"inputs_embeds" if ids.is_floating_point() else "input_ids": ids}
        return self.backbone(**tokens, attention_mask=mask).last_hidden_state

    def forward(self, ids: Tensor, mask: Tensor) -> Output:
        """Read a batch: ids and mask, [batch, tokens]."""
        if not self.has_bottleneck:
            pooled = pool(self._states(ids, mask), mask, self.settings.pooling)
            return Output({}, {}, self.direct_head(self.dropout(pooled)))
        return self.output(self.concept_heads(self.represent(ids, mask)))

    def output(self, concept_logits: dict[str, Tensor]) -> Output:
        """Activations and label from the logits of all concepts: the only way to the label."""
        activations = {name: activate(values, self.settings.activation) for name, values in concept_logits.items()}
        return Output(concept_logits, activations, self.label_head(activations))

    @torch.inference_mode()
    def logits(self, texts: Sequence[str], batch_size: int = 32) -> Logits:
        """Read many texts, in eval mode and batches of similar length; results keep the texts' order."""
        rows = encode(self.tokenizer, texts, self.settings.max_length)
        names = self.concept_set.names if self.has_bottleneck else ()
        concepts = {name: np.zeros((len(rows), len(self.concept_set[name])), np.float32) for name in names}
        label = np.zeros((len(rows), len(self.concept_set.label)), np.float32)
        training = self.training
        self.eval()
        try:
            for members in batch_by_length([len(row) for row in rows], batch_size):
                ids, mask = pad([rows[i] for i in members], self.tokenizer.pad_token_id)
                output = self(ids.to(self.device), mask.to(self.device))
                label[members] = output.label_logits.float().cpu().numpy()
                for name in names:
                    concepts[name][members] = output.concept_logits[name].float().cpu().numpy()
        finally:
            self.train(training)
        return Logits(concepts, label)

    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[Prediction]:
        """Label and concepts of each text, with probabilities."""
        if isinstance(texts, str):
            raise TypeError("predict takes a list of texts; wrap the one text: predict([text])")
        return self.predictions(texts, self.logits(texts, batch_size))

    def predictions(self, texts: Sequence[str], raw: Logits) -> list[Prediction]:
        """Label and concepts of texts that were read already: `raw` is what `logits` gave."""
        labels = state_predictions(self.concept_set.label, raw.label)
        concepts = {name: state_predictions(self.concept_set[name], values) for name, values in raw.concepts.items()}
        return [
            Prediction(text, labels[i], {name: read[i] for name, read in concepts.items()})
            for i, text in enumerate(texts)
        ]

    def config(self) -> dict:
        """Plain form of everything but weights and vocabulary, as `config.json` holds it."""
        return {"backbone": plain_config(self.backbone.config), **asdict(self.settings)}

    @classmethod
    def from_config(
        cls, config: dict, tokenizer: PreTrainedTokenizerBase, concept_set: ConceptSet, means: dict
    ) -> Self:
        """A model of random weights with the given configuration, to load saved weights into."""
        config = dict(config)
        backbone = build_backbone(config.pop("backbone"))
        return cls(backbone, tokenizer, concept_set, Settings(**config), means)
