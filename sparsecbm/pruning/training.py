"""Training under masks: what an update and a pruning event do to a sparse model."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.optim import AdamW

from sparsecbm.base.params import Finetune, Prune
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import Leaves, masked_layers, weight_leaves
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.leakage import leakage_penalty, state_priors
from sparsecbm.pruning.mask_scores import MaskScores
from sparsecbm.pruning.mask_sources import MaskSource
from sparsecbm.pruning.moments import clear_moments_outside_masks
from sparsecbm.pruning.required_masks import require_masks
from sparsecbm.pruning.row_routing import route_batch
from sparsecbm.pruning.schedule import PruningEvents
from sparsecbm.train.examples import Batch
from sparsecbm.train.loss import ConceptLoss, Losses, cross_entropy
from sparsecbm.train.method import TrainingMethod, make_adamw, train_embeddings
from sparsecbm.train.oom import out_of_memory_hint


class MaskTraining(TrainingMethod):
    """Masks become sparser by a schedule, while heads, and weights if configured, are trained under them.

    The loop calls, in this order:

    1. `make_optimizer`, once: `MaskSource.start_scores` gives the learnt scores, if any; AdamW trains them, too.
    2. `before_update`, for each update. At an event of `PruningEvents`, `MaskSource.new_masks` gives new masks, and
       `clear_moments_outside_masks` stops the weights that no mask keeps.
    3. `compute_losses`, for each batch: `route_batch` assigns rows to masks, the model pools them, and
       `leakage_penalty` joins the losses of the concepts.
    4. `after_backward`, for each batch: `MaskScores.add_gradients` passes gradients on to scores and weights.
    5. `may_keep`, after each epoch. `state` goes into each checkpoint, and `restore` follows `make_optimizer`.

    Args:
        params: how masks are found
        finetune: parameters of the loop and the optimizer
        targets: concept -> [texts, states], the concept targets of the training examples
        events: when masks are pruned, and how sparse they become
        source: where their masks come from
        companions: null concept -> the real concept that it accompanies: both get the same texts
    """

    learning_rates = "prune.score_learning_rate, prune.learning_rate or finetune.head_learning_rate"
    scored = " (heads are fitted to the masks later)"

    def __init__(
        self,
        params: Prune,
        finetune: Finetune,
        targets: Mapping[str, Tensor],
        events: PruningEvents,
        source: MaskSource,
        companions: Mapping[str, str] = MappingProxyType({}),
    ):
        self.params, self.finetune, self.events, self.source = params, finetune, events, source
        self.companions = companions
        self.name = source.name
        self.priors = state_priors({name: target for name, target in targets.items() if name not in companions})
        self.scores: MaskScores | None = None
        self._optimizer: AdamW  # of `make_optimizer`
        self._leaves: Leaves = {}

    def make_optimizer(self, model: ConceptBottleneck) -> AdamW:
        """AdamW over the heads, the scores if they are learnt, and the backbone if it is not frozen."""
        trained = self.params.weights == "trained"
        model.backbone.requires_grad_(trained)
        if trained:
            train_embeddings(model, not self.finetune.freeze_embeddings)
        model.label_head.requires_grad_(self._trains_label(model))
        self.scores = self.source.start_scores(model)
        groups = []
        if self.scores is not None:
            groups = [{"params": self.scores.parameters(), "lr": self.params.score_learning_rate}]
        self._optimizer = make_adamw(model, self.finetune, *groups)
        return self._optimizer

    def before_update(self, model: ConceptBottleneck, step: int) -> dict[str, float]:
        """Prune the masks if this step has an event; returns its figures.

        Raises:
            ModelError: the GPU is out of memory.
        """
        if step not in self.events.steps:
            return {}
        with out_of_memory_hint("lower prune.gradient_batch", "lower prune.memory_mb"):
            masks, figures = self.source.new_masks(model, step, self.events.schedule.sparsity(step))
            model.masks = masks
        clear_moments_outside_masks(self._optimizer, masked_layers(model.backbone), require_masks(model).union())
        return figures

    def compute_losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Losses of the concepts in this batch, the leakage penalty, and the label's loss if all concepts take part."""
        every_row = torch.arange(len(batch.ids), device=batch.ids.device)
        rows = route_batch(self.params.concepts, list(self.priors), every_row, step)
        rows |= {null: rows[name] for null, name in self.companions.items() if name in rows}
        if self.scores is not None:
            with weight_leaves() as self._leaves:
                pooled = model.represent(batch.ids, batch.mask, rows)
        else:
            pooled = model.represent(batch.ids, batch.mask, rows)
        real = {name: texts for name, texts in pooled.items() if name not in self.companions}
        null = {name: texts for name, texts in pooled.items() if name in self.companions}
        logits = model.concept_heads(real)
        concept, total = self._concept_losses(model, batch, rows, real, logits)
        if null:  # apart, so that the gradients of real concepts stay as they are
            total = total + self._concept_losses(model, batch, rows, null, model.concept_heads(null))[1]
        label = concept.new_zeros(())
        if self._trains_label(model):
            label = cross_entropy(model.output(logits).label_logits, batch.label)
            total = total + label
        return Losses(total, label, concept)

    def _concept_losses(
        self,
        model: ConceptBottleneck,
        batch: Batch,
        rows: Mapping[str, Tensor],
        pooled: Mapping[str, Tensor],
        logits: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of some concepts, and the same with its weight and the leakage penalty; both are scalars."""
        settings = ConceptLoss.of(self.finetune)
        parts = [cross_entropy(logits[n], batch.concepts[n][rows[n]], settings=settings) for n in pooled]
        concept = torch.stack(parts).mean()
        total = self.finetune.gamma * concept
        if self.params.leakage_weight:
            total = total + self.params.leakage_weight * leakage_penalty(model, pooled, self.priors)
        return concept, total

    def after_backward(self, model: ConceptBottleneck) -> None:
        """Pass the gradients of masked weights on to the learnt scores and the trained weights."""
        if self.scores is not None:
            self.scores.add_gradients(masked_layers(model.backbone), self._leaves)
        self._leaves = {}

    def may_keep(self, updates: int) -> bool:
        """Only models at the final sparsity are candidates."""
        return updates > self.events.schedule.end

    def state(self, model: ConceptBottleneck) -> dict[str, Tensor]:
        """The learnt scores and the masks."""
        scores = self.scores.state() if self.scores is not None else {}
        state = {f"score.{name}": score for name, score in scores.items()}
        return state | {f"mask.{layer}": bits for layer, bits in require_masks(model).bits.items()}

    def restore(self, model: ConceptBottleneck, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        if self.scores is not None:
            self.scores.restore(_with_prefix(state, "score."))
        masks = require_masks(model)
        model.masks = MaskSet(masks.concepts, masks.shapes, _with_prefix(state, "mask."))

    def _trains_label(self, model: ConceptBottleneck) -> bool:
        """Whether the label takes part: every text goes through all concepts, and the mode trains both together."""
        return self.params.concepts == "all" and model.settings.mode == "joint"


def _with_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
