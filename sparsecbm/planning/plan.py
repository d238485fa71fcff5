"""The plan of a training: memory by stage, disk and time, and what does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Params
from sparsecbm.data.ingest import divide
from sparsecbm.data.source_table import SourceTable
from sparsecbm.model.backbone import describe_backbone
from sparsecbm.model.batches import encode
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.model.masked import prunable_layers
from sparsecbm.planning.calibration import Calibration, calibrate
from sparsecbm.planning.memory import StageMemory, Texts, memory_of_stages
from sparsecbm.planning.saved_tensors import FLOAT, without_weights
from sparsecbm.pruning.fit import control_trains
from sparsecbm.pruning.saliency import get_saliency
from sparsecbm.train.reproducible import reproducible

POOLING_PASSES = 2  # of all training texts through all masks while heads are fitted and own weights are judged


@dataclass(frozen=True)
class Plan:
    """What a training needs.

    Attributes:
        concepts: that the model will have
        parameters: of the model
        masked: weights that get masks
        texts: to train on
        mean_tokens: of a training text
        stages: their memory
        disk: bytes of models, checkpoints, masks of events, and their copies in DVC's cache and in MLflow
    """

    concepts: ConceptSet
    parameters: int
    masked: int
    texts: Texts
    mean_tokens: int
    stages: tuple[StageMemory, ...]
    disk: int


def plan(params: Params, table: SourceTable, base: int) -> Plan:
    """Plan the training of a configuration. Nothing is trained, and the weights of the backbone are not loaded.

    Args:
        table: of the source, with all concepts that the model will have
        base: bytes of a process that has imported what a stage needs

    Raises:
        ModelError, ConfigError: the backbone or a setting cannot be used.
        DataError: there is no split `train`, or it holds no text.
    """
    training = divide(table, params.split, params.seed, training=True)["train"]["text"].dropna().tolist()
    if not training:
        raise DataError(f"{table.source}: the split `train` holds no text, so there is nothing to train on")
    concepts = table.concept_set
    backbone, tokenizer = describe_backbone(params.model.backbone)
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    model = without_weights(ConceptBottleneck(backbone, tokenizer, concepts, settings))
    lengths = sorted(len(row) for row in encode(tokenizer, training, settings.max_length))
    texts = Texts(len(lengths), lengths[-1])
    parameters = sum(weight.numel() for weight in model.parameters())
    masked = 0
    if model.has_bottleneck:
        layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
        masked = sum(prod(module.weight.shape) for module in layers.values())
    stages = memory_of_stages(model, params, texts, base)
    mean = max(1, round(sum(lengths) / len(lengths)))
    return Plan(
        concepts, parameters, masked, texts, mean, stages, _disk(parameters, masked, len(concepts.concepts), params)
    )


def measured_seconds(planned: Plan, params: Params) -> Mapping[str, float]:
    """How long the stages that train take: some updates are measured on the real weights.

    Raises:
        ModelError, ConfigError: the backbone cannot be loaded.
    """
    settings = Settings(**params.model.model_dump(exclude={"backbone"}))
    with reproducible(params.seed, params.threads):
        model = ConceptBottleneck.build(params.model.backbone, planned.concepts, settings)
        return seconds_of_stages(planned, params, calibrate(model, params, planned.mean_tokens))


def seconds_of_stages(planned: Plan, params: Params, calibration: Calibration) -> Mapping[str, float]:
    """The least time that the stages that train take: their updates, and passes of texts through all masks.

    What is left out: pruning events, fits of heads, what is measured after training, and the start of a process. At the
    default settings the stages took 1.6 (`finetune`) and 2.5 times (`prune`) as long.
    """
    finetune, prune = params.finetune, params.prune
    updates = -(-planned.texts.count // finetune.batch_size)
    seconds = {"finetune": finetune.epochs * updates * calibration.dense_update}
    if planned.masked:
        # Null concepts take turns with the real ones that they accompany, and get the same texts.
        masks = 1 + prune.null_concepts / len(planned.concepts)
        fits_label = params.model.mode != "joint" or finetune.refit_label_head
        trainings = 2 if prune.control and control_trains(prune, fits_label) else 1
        saliency = get_saliency(prune.first_scores if prune.saliency == "movement" else prune.saliency)
        gradients = prune.gradients * prune.gradient_batch / finetune.batch_size if saliency.needs_gradients else 0
        passes = (POOLING_PASSES + prune.control) * updates * masks * calibration.masked_pass
        training = trainings * prune.epochs * updates * masks * calibration.masked_update
        seconds["prune"] = training + passes + gradients * calibration.masked_update
    return seconds


def _disk(parameters: int, masked: int, concepts: int, params: Params) -> int:
    """Bytes on disk at the most: two models with their copies in DVC's cache, one in MLflow, and the checkpoints.

    A checkpoint holds weights, two moments and the running average, and beside it are the best weights.
    """
    model, masks = FLOAT * parameters, concepts * masked // 8
    models = 2 * model + masks
    checkpoints = (2 + 3) * model
    events = 2 * params.prune.events * (concepts + params.prune.null_concepts) * masked // 8
    return 2 * models + model + masks + checkpoints + events
