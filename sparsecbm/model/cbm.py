"""The core network: texts in, concepts and a label out.

Users work with its subclass `sparsecbm.SparseCBM`, which adds explanations and interventions.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, overload

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.base.progress import progress
from sparsecbm.base.rich import Rich
from sparsecbm.base.terminal_text import one_line
from sparsecbm.model.backbone import build_backbone, hidden_size, load_backbone, plain_config
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.heads import HEADS, ConceptHeads, LabelHead, activate
from sparsecbm.model.in_context import Owner, changes_of
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import (
    MaskedLinear,
    attach_masks,
    is_masked,
    needs_separate_passes,
    packed_masks,
)
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import Overlap, compute_overlap
from sparsecbm.model.pooling import pool
from sparsecbm.model.positions import check_max_length
from sparsecbm.model.prediction import Prediction, state_predictions
from sparsecbm.model.routing import route_rows, routed


@dataclass(frozen=True)
class Settings:
    """What defines a model's forward pass, besides its backbone and its concepts.

    Attributes:
        mode: standard (no bottleneck) | joint | sequential | independent
        pooling: mean | cls | last_token
        activation: what the label head sees of a concept: soft | logits | hard (see `sparsecbm.model.heads`)
        max_length: tokens at which texts are cut
        dropout: before each head, in training
    """

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
    """Logits of texts, in their order; those of a single text have no axis for texts.

    Attributes:
        concepts: concept -> [texts, states]
        label: [texts, classes]
    """

    concepts: dict[str, np.ndarray]
    label: np.ndarray


def require_concepts(concept_set: ConceptSet, mode: str) -> None:
    """Insist that a bottleneck has something to go through.

    Raises:
        ConfigError: there is no concept, and the mode needs some.
    """
    if mode != "standard" and not concept_set.concepts:
        raise ConfigError(
            f"a model of mode {mode!r} needs concepts, and there are none yet: `sparsecbm concepts suggest` proposes "
            "some, or `--set model.mode=standard` trains the black box, which needs none"
        )


class ConceptBottleneck(nn.Module, Rich):
    """A concept bottleneck over a transformer.

    A model of mode `standard` has no bottleneck: it predicts the label from the pooled text directly, and no concepts.
    It is the black box to compare with.

    A trained bottleneck has two label heads of the same form. `label_head` computes the label from the activations.
    `hard_head` is fitted on predicted states, one-hot. If hard activations predict the label worse even through
    `hard_head`, the activations tell more than the states; a mismatch of the head is not the cause.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        concept_set: ConceptSet,
        settings: Settings = Settings(),
        means: dict[str, Any] | None = None,
    ):
        require_concepts(concept_set, settings.mode)
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.concept_set = concept_set
        self.settings = settings
        # Mean activation of each state over the training set, and the share of each gold state in it.
        self.means = means or {}
        # None until it is fitted, and always in mode `standard`.
        self.hard_head: LabelHead | None = None
        # Changes that hold in one context only, such as those of `edited` and `patched`, are kept under this key.
        self.owner = Owner()
        # Patches that were applied for good, oldest first. `intervene.patches.stack` keeps this record.
        self.applied_patches: tuple[Any, ...] = ()
        # `name@commit` of the repository on a hub that the model was loaded from; None for any other model.
        self.origin: str | None = None
        width = hidden_size(backbone)
        if settings.mode == "standard":
            self.dropout = nn.Dropout(settings.dropout)
            self.direct_head = nn.Linear(width, len(concept_set.label))
        else:
            self.concept_heads = ConceptHeads(concept_set, width, settings.dropout, self.owner)
            self.label_head = LabelHead(concept_set)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A model of its own: what is patched in this context is in its masks for good; edits stay with this model."""
        owner = memo.setdefault(id(self.owner), Owner())
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if owner is not self.owner:
            other.applied_patches += changes_of(self.owner).patches
            for name, bits in packed_masks(self.backbone).items():
                layer = other.backbone.get_submodule(name)
                assert isinstance(layer, MaskedLinear)
                layer.own_bits = bits.clone()
        return other

    @classmethod
    def build(cls, backbone: str, concept_set: ConceptSet, settings: Settings) -> Self:
        """A new model: a pretrained backbone, by name, with new heads.

        Raises:
            ModelError: there is no such backbone, or it cannot be one.
            ConfigError: it has fewer positions than `settings.max_length`, or a bottleneck has no concepts.
        """
        require_concepts(concept_set, settings.mode)
        model, tokenizer = load_backbone(backbone)
        check_max_length(model, settings.max_length)
        return cls(model, tokenizer, concept_set, settings)

    def __repr__(self) -> str:
        """What it predicts, on one line; `print(model.backbone)` shows the layers."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        concepts = ", ".join(map(one_line, self.concept_set.names)) if self.has_bottleneck else "none"
        label = f"label {one_line(self.concept_set.label.name)} from concepts {concepts}"
        masks = "dense" if self.masks is None else repr(self.masks)
        backbone = one_line(self.backbone.config.model_type)
        return f"<{type(self).__name__}: {label}; {backbone}, {parameters:,} parameters; {masks}>"

    @property
    def has_bottleneck(self) -> bool:
        """Whether the label is computed from concepts."""
        return self.settings.mode != "standard"

    @property
    def masked(self) -> bool:
        """Whether each concept has a subnetwork of its own."""
        return is_masked(self.backbone)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def masks(self) -> MaskSet | None:
        """The masks of the concepts, such as `model.masks["food"]`; None for a dense model. Assign to replace them."""
        bits = packed_masks(self.backbone)
        if not bits:
            return None
        layers = dict(self.backbone.named_modules())
        return MaskSet(self.concept_set.names, {name: tuple(layers[name].weight.shape) for name in bits}, bits)

    @masks.setter
    def masks(self, masks: MaskSet) -> None:
        if masks.concepts != self.concept_set.names:
            raise ModelError(
                f"these masks are for another model: they are for {list(masks.concepts)}, "
                f"but its concepts are {list(self.concept_set.names)}"
            )
        if not self.has_bottleneck:
            raise ModelError("a model of mode `standard` has no concepts, so it cannot have masks")
        if changes_of(self.owner).flips_bits:
            raise ModelError("masks cannot be replaced in a block in which patches are in force; do it after the block")
        attach_masks(self.backbone, masks, self.owner)

    def add_hard_head(self) -> LabelHead:
        """Add a label head for one-hot concepts, to be fitted or loaded. Training does not change it."""
        self.hard_head = LabelHead(self.concept_set).requires_grad_(False).to(self.device)
        return self.hard_head

    def density(self) -> dict[str, float]:
        """Share of the masked layers' weights that each concept keeps.

        Raises:
            ModelError: the model has no masks.
        """
        return self._masks_in_force().density()

    def overlap(self) -> Overlap:
        """Overlap of the masks of every two concepts, compared with chance; the core and the exclusive shares.

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
                "the model has no masks, because it is dense or compact; "
                "load a masked model, such as models/sparse, which `sparsecbm prune` writes"
            )
        return masks

    def represent(self, ids: Tensor, mask: Tensor, rows: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Pooled texts by concept, each through the concept's own subnetwork, all in one call.

        Args:
            ids: [batch, tokens]; or word embeddings instead, [batch, tokens, width], to take gradients of
            mask: [batch, tokens], 0 on padding
            rows: concept -> [rows], the rows that go through its subnetwork; by default all rows for every concept

        Returns:
            concept -> [rows, hidden]
        """
        if rows is None:
            rows = dict.fromkeys(self.concept_set.names, torch.arange(len(ids), device=ids.device))
        if not self.masked:
            pooled = pool(self._token_states(ids, mask), mask, self.settings.pooling)
            return {name: pooled[concept_rows] for name, concept_rows in rows.items()}
        if len(rows) > 1 and needs_separate_passes(self.backbone):
            return {name: self.represent(ids, mask, {name: rows[name]})[name] for name in rows}
        names = self.concept_set.names
        route = route_rows(len(ids), list(rows.values()), [names.index(name) for name in rows])
        with routed(route):
            states = self._token_states(ids, mask)
        pooled = pool(states, mask[route.rows], self.settings.pooling)
        return dict(zip(rows, pooled.split([len(concept_rows) for concept_rows in rows.values()]), strict=True))

    def _token_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = {"inputs_embeds" if ids.is_floating_point() else "input_ids": ids}
        states: Tensor = self.backbone(**tokens, attention_mask=mask).last_hidden_state
        return states

    def forward(self, ids: Tensor, mask: Tensor) -> Output:
        """Logits and activations of a batch: ids and mask, [batch, tokens]."""
        if not self.has_bottleneck:
            pooled = pool(self._token_states(ids, mask), mask, self.settings.pooling)
            return Output({}, {}, self.direct_head(self.dropout(pooled)))
        return self.output(self.concept_heads(self.represent(ids, mask)))

    def output(self, concept_logits: dict[str, Tensor]) -> Output:
        """Activations and label from the logits of all concepts. There is no other way to the label."""
        activations = {name: activate(values, self.settings.activation) for name, values in concept_logits.items()}
        return Output(concept_logits, activations, self.label_head(activations))

    def logits(self, texts: str | Sequence[str], batch_size: int = 32) -> Logits:
        """Logits of one text or many, in eval mode and in batches of texts of similar length."""
        if isinstance(texts, str):
            logits = self.logits([texts], batch_size)
            return Logits({name: values[0] for name, values in logits.concepts.items()}, logits.label[0])
        token_ids = encode(self.tokenizer, texts, self.settings.max_length)
        batches = batch_by_length([len(ids) for ids in token_ids], batch_size)
        return self.logits_in_batches(token_ids, progress(batches, "predict", "batch"))

    def logits_in_batches(self, token_ids: Sequence[Sequence[int]], batches: Iterable[Sequence[int]]) -> Logits:
        """Logits of texts, in eval mode.

        Args:
            token_ids: of each text, as `encode` gives them
            batches: row numbers of the texts of each forward pass; each text is in one of them
        """
        names = self.concept_set.names if self.has_bottleneck else ()
        concepts = {name: np.zeros((len(token_ids), len(self.concept_set[name])), np.float32) for name in names}
        label = np.zeros((len(token_ids), len(self.concept_set.label)), np.float32)
        with inference_mode(self):
            for rows in batches:
                ids, mask = pad([token_ids[row] for row in rows], self.tokenizer.pad_token_id)
                output = self(ids.to(self.device), mask.to(self.device))
                label[rows] = output.label_logits.float().cpu().numpy()
                for name in names:
                    concepts[name][rows] = output.concept_logits[name].float().cpu().numpy()
        return Logits(concepts, label)

    def label_logits(self, concept_logits: Mapping[str, np.ndarray], head: str = "soft") -> np.ndarray:
        """Label logits, [texts, classes], from the logits of all concepts, each [texts, states].

        Args:
            head: soft, the label head on the model's own activations; or hard, `hard_head` on hard activations

        Raises:
            ConfigError: unknown head; names the choices.
            ModelError: the model has no `hard_head`.
        """
        if head not in HEADS:
            raise ConfigError(unknown("label head", head, HEADS))
        if head == "hard" and self.hard_head is None:
            raise ModelError("the model has no `hard_head`, which training fits at its end; use the head `soft`")
        with inference_mode(self):
            logits = {name: torch.as_tensor(values).to(self.device) for name, values in concept_logits.items()}
            if self.hard_head is not None and head == "hard":
                label = self.hard_head({name: activate(values, "hard") for name, values in logits.items()})
            else:
                label = self.output(logits).label_logits
        values: np.ndarray = label.float().cpu().numpy()
        return values

    @overload
    def predict(self, texts: str, batch_size: int = 32) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[Prediction]: ...

    def predict(self, texts: str | Sequence[str], batch_size: int = 32) -> Prediction | list[Prediction]:
        """Label and concepts, with probabilities: one prediction for one text, a list for several."""
        if isinstance(texts, str):
            return self.predict([texts], batch_size)[0]
        return self.predictions(texts, self.logits(texts, batch_size))

    def too_long(self, text: str) -> bool:
        """Whether a text has more tokens than the model reads, so that a part of it counts for nothing."""
        limit = self.settings.max_length
        return len(encode(self.tokenizer, [text], limit + 1)[0]) > limit

    def predictions(self, texts: Sequence[str], logits: Logits) -> list[Prediction]:
        """Predictions for texts from their logits, as `logits` returns them for a list."""
        labels = state_predictions(self.concept_set.label, logits.label)
        concepts = {name: state_predictions(self.concept_set[name], values) for name, values in logits.concepts.items()}
        return [
            Prediction(text, labels[i], {name: predictions[i] for name, predictions in concepts.items()})
            for i, text in enumerate(texts)
        ]

    def config(self) -> dict[str, Any]:
        """Plain form of everything but weights and vocabulary, as in `config.json`."""
        return {"backbone": plain_config(self.backbone.config), **asdict(self.settings)}

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        concept_set: ConceptSet,
        means: dict[str, Any],
    ) -> Self:
        """A model of random weights with the given configuration, to load saved weights into."""
        settings = {name: value for name, value in config.items() if name != "backbone"}
        return cls(build_backbone(config["backbone"]), tokenizer, concept_set, Settings(**settings), means)
