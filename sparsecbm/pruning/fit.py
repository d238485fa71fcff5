"""From a dense model and annotated tables to a sparse model."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sparsecbm.base.errors import ModelError
from sparsecbm.base.params import Finetune, Prune
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import activate
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.pruning.head_fit import refit_concept_heads
from sparsecbm.pruning.mask_sources import MaskSource, ShuffledMasks, make_mask_source
from sparsecbm.pruning.null_concepts import (
    NullConcept,
    choose_null_concepts,
    companions_of,
    copy_concept_heads,
    with_null_concepts,
    with_null_states,
    without_null_concepts,
)
from sparsecbm.pruning.own_weights import HeldOut, OwnWeights, PooledTexts, judge_own_weights, with_common_weights
from sparsecbm.pruning.random_control import matched_random_of
from sparsecbm.pruning.required_masks import require_masks
from sparsecbm.pruning.schedule import PruningEvents
from sparsecbm.pruning.training import MaskTraining
from sparsecbm.train.examples import Examples, build_examples, target_weight
from sparsecbm.train.loop import History, TrainingRun, train
from sparsecbm.train.modes import compute_training_means, fit_hard_head, refit_label_head
from sparsecbm.train.oom import SMALLER_BATCH_HINT, out_of_memory_hint
from sparsecbm.train.pooled import logits_of, pooled_under_masks
from sparsecbm.train.processes import wait_for_all, writes

Model = TypeVar("Model", bound=ConceptBottleneck)

FINAL = "final.safetensors"
JUDGED_ON = 800  # most training texts behind the heads with which own weights are judged


@dataclass(frozen=True)
class PruneOptions:
    """How masks are found.

    Attributes:
        prune: parameters of the masks
        finetune: all other parameters of the loop, as for the dense model
        control_of: `PruneResult.events` of a finished training; then its masks are shuffled and none are chosen
    """

    prune: Prune
    finetune: Finetune
    control_of: Path | None = None


@dataclass(frozen=True)
class PruneResult(Generic[Model]):
    """A sparse model and how it was made.

    Attributes:
        model: a copy of the dense model with masks, fitted heads and new training means, in eval mode
        history: of the training under masks; empty for a control in which nothing but heads would learn
        beside: the same model with null concepts, their masks and heads, if some were trained along; its label head is
            that before the last fit
        nulls: these null concepts
        own_weights: concept -> whether it has earned weights of its own; empty if that was not judged
        events: the folder with the masks of each pruning event, as `STEP.safetensors`, and with the final ones, as
            `final.safetensors`, if they differ from those of the last event; a control writes none
    """

    model: Model
    history: History
    events: Path
    beside: Model | None = None
    nulls: tuple[NullConcept, ...] = ()
    own_weights: Mapping[str, OwnWeights] = field(default_factory=dict)


@out_of_memory_hint(SMALLER_BATCH_HINT, "set prune.concepts to sampled")
def fit_masks(
    dense: Model, training: pd.DataFrame, validation: pd.DataFrame, options: PruneOptions, run: TrainingRun
) -> PruneResult[Model]:
    """Find a mask for each concept. The dense model stays as it is: the work is done on a deep copy.

    Args:
        dense: a trained model
        training, validation: annotated tables (columns as in `sparsecbm.data.tables`)
        run: the masks of each event are written next to its checkpoints

    Raises:
        ModelError: the model has no bottleneck, or the GPU is out of memory.
        ConfigError: a layer pattern matches nothing, or another setting does not fit the model.
    """
    if not dense.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts, so there is nothing to find masks for")
    params = options.prune
    nulls = choose_null_concepts(training, dense.concept_set, params.null_concepts, run.seed)
    model = with_null_concepts(dense, nulls) if nulls else copy.deepcopy(dense)
    layers = prunable_layers(model.backbone, params.layers, params.masked_from)
    # No average: masks change abruptly, and averaged heads would lag behind them.
    changes = {"epochs": params.epochs, "learning_rate": params.learning_rate, "ema_decay": 0.0}
    finetune = options.finetune.model_copy(update=changes)
    annotated, validation_examples = (
        build_examples(with_null_states(training, nulls), model, finetune.targets, finetune.noise),
        build_examples(validation, dense),  # null concepts have no say in which epoch is best
    )
    names = [null.name for null in nulls]
    if nulls:
        refit_concept_heads(model, annotated, pooled_under_masks(model, annotated, names), gamma=None)
    dense_logits = logits_of(dense, training["text"].tolist()).concepts
    train_examples = mix_targets(annotated, dense_logits, params.distill) if params.distill else annotated
    parameters = dict(model.backbone.named_parameters())
    shapes = {layer: tuple(parameters[f"{layer}.weight"].shape) for layer in layers}
    model.masks = MaskSet.dense(model.concept_set.names, shapes)

    updates = -(-len(train_examples) // (finetune.batch_size * finetune.accumulate)) * finetune.epochs
    folder = run.checkpoints.folder / "events"
    companions = companions_of(nulls)
    source: MaskSource = make_mask_source(params, train_examples, run.seed, folder, companions)
    if options.control_of is not None:
        source = ShuffledMasks(options.control_of, params.granularity, run.seed)
    events = PruningEvents.plan(params, updates)
    method = MaskTraining(params, finetune, train_examples.concept_targets, events, source, companions)
    fits_label = model.settings.mode != "joint" or finetune.refit_label_head
    if options.control_of is not None and not control_trains(params, fits_label):
        history = History([], [], [], 0, 0.0)
    else:
        history = train(model, train_examples, validation_examples, finetune, method, run)

    if options.control_of is not None:
        chosen = _last_masks(options.control_of)
        model.masks = matched_random_of(model, chosen, params.granularity, run.seed)
    pooled = pooled_under_masks(model, train_examples)
    own_weights: dict[str, OwnWeights] = {}
    if options.control_of is None and params.contrasts:
        texts = build_examples(with_null_states(validation, nulls), model)
        judged_on = HeldOut(texts, validation["group"].astype(str).to_numpy())
        families = [family for family in (dense.concept_set.names, names) if family]
        training_sample = _sample(annotated, pooled, run.seed)
        own_weights = judge_own_weights(model, training_sample, judged_on, families, params.granularity, run.seed + 1)
        earned = [name for name, own in own_weights.items() if own.earned]
        unearned = [name for name in own_weights if name not in earned]
        if params.contrast == "earned" and unearned:
            model.masks = with_common_weights(require_masks(model), earned, dense.concept_set.names)
            if writes():
                require_masks(model).save(folder / FINAL)
            wait_for_all()
            pooled |= pooled_under_masks(model, train_examples, unearned)
    beside = None
    if nulls:
        beside, model = model, without_null_concepts(model, dense.concept_set)
        refit_concept_heads(beside, annotated, {name: pooled.pop(name) for name in names}, gamma=None)
    refit_concept_heads(model, mix_targets(annotated, dense_logits, params.head_distill), pooled, params.head_gamma)
    logits = _logits_from_pooled(model, pooled)
    held_out = validation_examples, _logits_from_pooled(model, pooled_under_masks(model, validation_examples))
    if fits_label:
        refit_label_head(model, train_examples, logits, *held_out)
    fit_hard_head(model, train_examples, logits, *held_out)
    model.means = compute_training_means(model, train_examples, logits)
    if beside is not None:
        copy_concept_heads(model, beside)
    return PruneResult(model, history, folder, beside, nulls, own_weights)


def control_trains(params: Prune, fits_label: bool) -> bool:
    """Whether a training under random masks changes anything, so that it has to run.

    If weights are frozen, only heads learn, and concept heads are fitted anew after it.

    Args:
        fits_label: whether the label head is fitted anew, too
    """
    return params.weights == "trained" or not fits_label


def _last_masks(events: Path) -> MaskSet:
    """The final masks of a finished training.

    Raises:
        ModelError: the folder has no masks.
    """
    steps = sorted(int(path.stem) for path in events.glob("*.safetensors") if path.stem.isdigit())
    final = events / FINAL
    return MaskSet.load(final if final.is_file() else events / f"{steps[-1] if steps else 0}.safetensors")


def _sample(data: Examples, pooled: Mapping[str, Tensor], seed: int) -> PooledTexts:
    """A random sample of the examples, in their order, large enough to fit heads for a comparison."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data))[:JUDGED_ON])
    examples = Examples(
        [data.rows[i] for i in chosen],
        data.label[chosen],
        {name: gold[chosen] for name, gold in data.concepts.items()},
        data.label_target[chosen],
        {name: target[chosen] for name, target in data.concept_targets.items()},
    )
    return PooledTexts(examples, {name: texts[chosen] for name, texts in pooled.items()})


def _logits_from_pooled(model: ConceptBottleneck, pooled: Mapping[str, Tensor]) -> Logits:
    """Logits of pooled texts, without another pass through the backbone."""
    with inference_mode(model):
        output = model.output(model.concept_heads({name: texts.to(model.device) for name, texts in pooled.items()}))
    concepts = {name: logits.cpu().numpy() for name, logits in output.concept_logits.items()}
    return Logits(concepts, output.label_logits.cpu().numpy())


def mix_targets(data: Examples, logits: Mapping[str, np.ndarray], share: float) -> Examples:
    """Examples whose concept targets are mixed with the predictions of a (dense) model.

    Args:
        logits: concept -> [texts, states]; targets of other concepts stay
        share: of the prediction in each target; a text without a known state gets the prediction alone. Each target
            keeps its weight
    """
    mixed = {}
    for name, target in data.concept_targets.items():
        if name not in logits:
            mixed[name] = target
            continue
        prediction = activate(torch.from_numpy(logits[name]), "soft")
        weight = target_weight(target)
        mixed[name] = torch.where(weight > 0, (1 - share) * target + weight * (share * prediction), prediction)
    return replace(data, concept_targets=mixed)
