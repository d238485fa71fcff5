"""Training under masks: what an update and a pruning event do to a sparse model."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from sparsecbm.base.params import Finetune, Prune
from sparsecbm.model.batches import shuffle_batches
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import Leaves, prunable_layers, weight_leaves
from sparsecbm.model.masks import MaskSet
from sparsecbm.prune.contrast import ranks
from sparsecbm.prune.event import choose_masks, score_weights
from sparsecbm.prune.random_control import matched_random
from sparsecbm.prune.schedule import Schedule
from sparsecbm.train.examples import Batch, Examples, batch
from sparsecbm.train.loss import Losses, cross_entropy
from sparsecbm.train.method import adamw
from sparsecbm.train.oom import memory_hint


class MaskTraining:
    """Masks that get sparser by a schedule, while heads, and weights if so configured, are trained under them.

    With saliency `movement` each concept has a score for every weight: first the weight's rank in its layer by
    another saliency, then learnt straight through the mask (dL/ds_k = dL/d(w m_k) * w; Sanh et al., arXiv
    2005.07683). An event keeps the best by score, pruned ones included; at the final sparsity events go on to the end
    of training. Other saliencies are computed at each event from gradients, and a pruned weight stays pruned.

    Args:
        params: how masks are found
        finetune: what the loop and the optimizer are told
        data: the training examples; events take their gradients from them
        updates: how many there will be
        seed: of the texts that gradients are taken from, and of random scores
        events: a folder that gets the masks of each event, as `STEP.safetensors`
    """

    name = "prune"

    def __init__(self, params: Prune, finetune: Finetune, data: Examples, updates: int, seed: int, events: Path):
        self.params, self.finetune, self.data, self.seed, self.folder = params, finetune, data, seed, events
        begin, end = int(params.begin * updates), int(params.end * updates)
        # A small data set has few updates: then there is an event at each of them.
        number = min(params.events, end - begin + 1) if begin < end else None
        self.schedule = Schedule(
            params.schedule, params.initial, params.sparsity, begin, end,
            interval=None if number else 1, events=number,
        )  # fmt: skip
        self.events = set(self.schedule.event_steps())
        self.priors = {name: _prior(target) for name, target in data.concept_targets.items()}
        self.learnt = params.saliency == "movement"
        if self.learnt and number:
            # Learnt scores are how masks recover: events go on at the final sparsity as long as training does.
            self.events |= set(range(end, updates, max(1, (end - begin) // max(1, number - 1))))
        self.scores: dict[tuple[str, int], nn.Parameter] = {}  # (layer, concept's place) -> [weight's shape]
        self._leaves: Leaves = {}

    def optimizer(self, model: ConceptBottleneck) -> AdamW:
        """AdamW over the heads, the scores if they are learnt, and the backbone if it is not frozen."""
        trained = self.params.weights == "trained"
        model.backbone.requires_grad_(trained)
        if trained:
            model.backbone.get_input_embeddings().weight.requires_grad_(not self.finetune.freeze_embeddings)
        model.label_head.requires_grad_(self._reads_label(model))
        groups = []
        if self.learnt:
            self.scores = self.scores or self._first_scores(model)
            groups = [{"params": list(self.scores.values()), "lr": self.params.score_learning_rate}]
        self._optimizer = adamw(model, self.finetune, *groups)
        return self._optimizer

    def before(self, model: ConceptBottleneck, step: int) -> dict[str, float]:
        """A pruning event, if one is due at this step: new masks; returns sparsity and densities.

        Raises:
            ModelError: the GPU is out of memory.
        """
        if step not in self.events:
            return {}
        with memory_hint("lower prune.gradient_batch", "lower prune.memory_mb"):
            model.masks, figures = self._event(model, step)
        self._halt(model)
        return figures

    def _event(self, model: ConceptBottleneck, step: int) -> tuple[MaskSet, dict[str, float]]:
        """New masks, and figures for the curves."""
        sparsity = self.schedule.sparsity(step)
        correlations = {}
        if self.learnt:
            scores = self._by_concept(model)
        else:
            scored = score_weights(model, self.params, self._batches(model, step), self.seed + step)
            scores, correlations = scored.scores, scored.correlations
        masks = choose_masks(model, self.params, scores, sparsity, regrow=self.learnt)
        masks.save(self.folder / f"{step}.safetensors")
        figures = {"prune.sparsity": sparsity}
        figures |= {f"prune.density.{name}": share for name, share in masks.density().items()}
        return masks, figures | {f"prune.magnitude_correlation.{name}": r for name, r in correlations.items()}

    def _halt(self, model: ConceptBottleneck) -> None:
        """Clear the optimizer's moments of weights outside every mask: by what they hold, it would move them on."""
        union = model.masks.union()
        for layer, module in prunable_layers(model.backbone, self.params.layers, self.params.masked_from).items():
            moments = self._optimizer.state.get(module.weight, {})
            for name in moments.keys() & {"exp_avg", "exp_avg_sq"}:
                moments[name].masked_fill_(~union[layer], 0.0)

    def losses(self, model: ConceptBottleneck, batch: Batch, step: int) -> Losses:
        """Losses of the concepts that read in this batch, what keeps masks apart, and the label's if all read all."""
        rows = self._rows(model, batch, step)
        if self.learnt:
            with weight_leaves() as self._leaves:
                pooled = model.represent(batch.ids, batch.mask, rows)
        else:
            pooled = model.represent(batch.ids, batch.mask, rows)
        logits = model.concept_heads(pooled)
        smoothing = self.finetune.label_smoothing
        parts = [cross_entropy(logits[n], batch.concepts[n][rows[n]], smoothing=smoothing) for n in rows]
        concept = torch.stack(parts).mean()
        total = self.finetune.gamma * concept
        if self.params.others:
            total = total + self.params.others * self._others(model, pooled)
        label = concept.new_zeros(())
        if self._reads_label(model):
            label = cross_entropy(model.output(logits).label_logits, batch.label)
            total = total + label
        return Losses(total, label, concept)

    def after_backward(self, model: ConceptBottleneck) -> None:
        """Hand the gradients of masked weights on: to the scores, straight through, and to the weights, masked."""
        layers = prunable_layers(model.backbone, self.params.layers, self.params.masked_from)
        for (layer, place), leaf in self._leaves.items():
            module, score = layers[layer], self.scores[layer, place]
            change = leaf.grad * module.weight.detach()
            score.grad = change if score.grad is None else score.grad + change
            if module.weight.requires_grad:
                masked = leaf.grad * module.mask(place)
                module.weight.grad = masked if module.weight.grad is None else module.weight.grad + masked
        self._leaves = {}

    def keeps(self, updates: int) -> bool:
        """Only models at the final sparsity may be kept."""
        return updates > self.schedule.end

    def state(self, model: ConceptBottleneck) -> dict[str, Tensor]:
        """The learnt scores and the masks."""
        scores = {f"score.{place}.{layer}": score for (layer, place), score in self.scores.items()}
        return scores | {f"mask.{layer}": bits for layer, bits in model.masks.bits.items()}

    def restore(self, model: ConceptBottleneck, state: Mapping[str, Tensor]) -> None:
        """Put scores and masks back."""
        with torch.no_grad():
            for (layer, place), score in self.scores.items():
                score.copy_(state[f"score.{place}.{layer}"])
        bits = {name.removeprefix("mask."): value for name, value in state.items() if name.startswith("mask.")}
        model.masks = MaskSet(model.masks.concepts, model.masks.shapes, bits)

    def _reads_label(self, model: ConceptBottleneck) -> bool:
        """Whether the label takes part: all concepts must read, and the mode let the label shape them."""
        return self.params.concepts == "all" and model.settings.mode == "joint"

    def _rows(self, model: ConceptBottleneck, batch: Batch, step: int) -> dict[str, Tensor]:
        """Which rows go through which mask: all through all, all through one in turn, or each through one."""
        names = model.concept_set.names
        every = torch.arange(len(batch.ids), device=batch.ids.device)
        if self.params.concepts == "all":
            return dict.fromkeys(names, every)
        if self.params.concepts == "sampled":
            return {names[step % len(names)]: every}
        parts = {name: every[(every + step) % len(names) == place] for place, name in enumerate(names)}
        return {name: rows for name, rows in parts.items() if len(rows)}

    def _others(self, model: ConceptBottleneck, pooled: Mapping[str, Tensor]) -> Tensor:
        """Mean KL(prior_i || what concept i's head reads under m_k) over i other than k; heads are not moved by it."""
        terms = []
        for name, texts in pooled.items():
            for other, prior in self.priors.items():
                if other != name:
                    head = model.concept_heads.head(other)
                    logits = nn.functional.linear(texts, head.weight.detach(), head.bias.detach())
                    prior = prior.to(logits.device)
                    terms.append((prior * (prior.log() - logits.float().log_softmax(-1))).sum(-1).mean())
        return torch.stack(terms).mean() if terms else next(iter(pooled.values())).sum() * 0.0

    def _batches(self, model: ConceptBottleneck, step: int) -> list[Batch]:
        """Small batches of training texts, drawn anew at each event; fewer than configured if there are not so many."""
        drawn = shuffle_batches(self.data.lengths, self.params.gradient_batch, self.seed * 1_009 + step)
        chosen = drawn[: self.params.gradients]
        return [batch(self.data, members, model.tokenizer.pad_token_id, model.device) for members in chosen]

    def _first_scores(self, model: ConceptBottleneck) -> dict[tuple[str, int], nn.Parameter]:
        """Ranks in each layer, from 0 to 1, by a saliency of the dense model: where the learning of scores starts."""
        params = self.params.model_copy(update={"saliency": self.params.first_scores})
        first = score_weights(model, params, self._batches(model, 0), self.seed).scores
        return {
            (layer, place): nn.Parameter(ranks(values.to(model.device)))
            for place, name in enumerate(model.concept_set.names)
            for layer, values in first[name].items()
        }

    def _by_concept(self, model: ConceptBottleneck) -> dict[str, dict[str, Tensor]]:
        scores: dict[str, dict[str, Tensor]] = {name: {} for name in model.concept_set.names}
        for (layer, place), score in self.scores.items():
            scores[model.concept_set.names[place]][layer] = score.detach().cpu()
        return scores


class ControlTraining(MaskTraining):
    """The same training under random masks: at each event those of a finished one, shuffled within each layer.

    So densities, cores and overlaps are the same at every step, and nothing but the choice of weights differs.

    Args:
        chosen: the folder with the masks of the finished training's events
    """

    name = "control"

    def __init__(
        self, params: Prune, finetune: Finetune, data: Examples, updates: int, seed: int, events: Path, chosen: Path
    ):
        super().__init__(params, finetune, data, updates, seed, events)
        self.learnt = False
        self.chosen = chosen

    def _event(self, model: ConceptBottleneck, step: int) -> tuple[MaskSet, dict[str, float]]:
        """The masks of the finished training's event, shuffled."""
        masks = matched_random(MaskSet.load(self.chosen / f"{step}.safetensors"), self.seed)
        return masks, {"control.sparsity": self.schedule.sparsity(step)}


def _prior(target: Tensor) -> Tensor:
    """Share of each state among the texts whose state is known, [states]; none is 0."""
    shares = target.sum(0) + 1e-6
    return shares / shares.sum()
