"""How much memory each stage takes, by arithmetic: a list of parts, each with the parameter that makes it smaller.

Bytes of a float32 number: 4. AdamW keeps two moments for each trained number, and the running average one more.
"""

from dataclasses import dataclass
from math import prod

import torch

from sparsecbm.base.params import Params
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masked import prunable_layers
from sparsecbm.planning.saved_tensors import FLOAT, bytes_of_dense_update, bytes_of_masked_update
from sparsecbm.pruning.score_forms import start_scores
from sparsecbm.train.adapters import add_adapters, remove_adapters

WORK = 250 * 2**20  # that tables and the libraries' own buffers take, whatever the model; measured with MiniLM
SORTED = 16  # bytes of a weight while scores are ranked: an integer key and what the sort needs
MEGABYTE = 2**20
# Copies of the masked weights while the dry run unfolds two concepts; measured with a Llama of 110M.
DRY_RUN_COPIES = 5
DRY_RUN = "what the dry run on the CPU takes beyond that"
BEST = "the best trained weights, when they are loaded back"
FEWER_MASKS = "prune.masked_from: a later block"
SMALLER_BACKBONE = "model.backbone: a smaller one"


@dataclass(frozen=True)
class MemoryPart:
    """A part of a stage's memory.

    Attributes:
        name: what it holds
        size: in bytes
        smaller: what to change for a smaller one; empty if nothing helps
    """

    name: str
    size: int
    smaller: str = ""


@dataclass(frozen=True)
class StageMemory:
    """The memory of a stage at its peak."""

    stage: str
    parts: tuple[MemoryPart, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.size for part in self.parts)

    @property
    def largest(self) -> MemoryPart:
        """The largest part that a parameter makes smaller."""
        return max((part for part in self.parts if part.smaller), key=lambda part: part.size)


@dataclass(frozen=True)
class Texts:
    """The sizes of the texts to train on.

    Attributes:
        count: of training texts
        longest: tokens of the longest texts, as many as fill a batch
    """

    count: int
    longest: int


def memory_of_stages(model: ConceptBottleneck, params: Params, texts: Texts, base: int) -> tuple[StageMemory, ...]:
    """The memory of the stages that train, and of those that only predict.

    Args:
        model: as `without_weights` gives it
        base: bytes of a process that has imported what a stage needs, and computed nothing
    """
    process = MemoryPart("Python, libraries and tables", base + WORK)
    parameters = sum(weight.numel() for weight in model.parameters())
    weights = MemoryPart("weights", FLOAT * parameters, SMALLER_BACKBONE)
    stages = [StageMemory("finetune", (process, weights, *_finetune(model, params, texts)))]
    if model.has_bottleneck:
        stages.append(StageMemory("prune", (process, weights, *_prune(model, params, texts))))
    return tuple(stages)


def _finetune(model: ConceptBottleneck, params: Params, texts: Texts) -> list[MemoryPart]:
    if params.finetune.adapter == "lora":
        add_adapters(model.backbone, params.finetune.lora)
    activations = bytes_of_dense_update(model, params, params.finetune.batch_size, texts.longest)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    remove_adapters(model.backbone)
    fewer = "" if params.finetune.adapter == "lora" else "finetune.adapter: lora"
    parts = [
        MemoryPart(BEST, FLOAT * trained, fewer),
        MemoryPart("gradients", FLOAT * trained, fewer),
        MemoryPart("AdamW's moments", 2 * FLOAT * trained, fewer),
        MemoryPart("running average", FLOAT * trained, fewer),
        MemoryPart(
            "activations",
            activations,
            _fewer_activations(params, "finetune.batch_size, with a larger finetune.accumulate; or model.max_length"),
        ),
    ]
    if model.has_bottleneck:
        layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from).values()
        copies = DRY_RUN_COPIES * FLOAT * sum(layer.weight.numel() for layer in layers)
        beyond = copies - sum(part.size for part in parts)
        parts += [MemoryPart(DRY_RUN, beyond, FEWER_MASKS)] if beyond > 0 else []
    return parts


def _prune(model: ConceptBottleneck, params: Params, texts: Texts) -> list[MemoryPart]:
    layers = prunable_layers(model.backbone, params.prune.layers, params.prune.masked_from)
    shapes = [tuple(module.weight.shape) for module in layers.values()]
    masked, largest = sum(map(prod, shapes)), max(map(prod, shapes))
    concepts = len(model.concept_set.names) + params.prune.null_concepts
    parameters = sum(weight.numel() for weight in model.parameters())
    trained = parameters if params.prune.weights == "trained" else 0
    learnt = start = 0
    if params.prune.saliency == "movement":
        learnt = concepts * sum(_learnt(shape, params) for shape in shapes)
        start = 0 if params.prune.scores == "full" else concepts * masked
    gradients = 0
    if {params.prune.saliency, params.prune.first_scores} & {"obert", "fisher_diagonal"}:
        gradients = min(int(params.prune.memory_mb * MEGABYTE), FLOAT * params.prune.gradients * masked)
        # Each comes from a backward pass, which adds those of its layers to what it keeps.
        gradients += gradients // params.prune.gradients
        gradients += bytes_of_masked_update(model, params, params.prune.gradient_batch, texts.longest)
    cheaper_scores = "prune.scores: low_rank" if params.prune.scores == "full" else FEWER_MASKS
    # Learnt scores start from a layer at a time; a saliency that is computed anew stays whole until masks are chosen.
    saliency = SORTED * largest if learnt else FLOAT * concepts * masked
    beginning = MemoryPart("first saliency and its gradients", saliency + gradients, "prune.memory_mb")
    update = bytes_of_masked_update(model, params, params.finetune.batch_size, texts.longest) + FLOAT * masked
    smaller_update = _fewer_activations(params, "finetune.batch_size, or " + FEWER_MASKS)
    update_part = MemoryPart("activations and masked weights of an update", update, smaller_update)
    ranked = (FLOAT * (2 * concepts + 3) + concepts) * (masked if params.prune.threshold == "global" else largest)
    common_units = masked if params.prune.granularity == "hierarchical" else 0  # a byte for each weight
    event = ranked + SORTED * largest + common_units
    event_part = MemoryPart("ranks of scores at a pruning event", event, "prune.threshold: layer")
    return [
        MemoryPart("the dense model beside it", FLOAT * parameters, SMALLER_BACKBONE),
        MemoryPart("masks", concepts * masked // 8, FEWER_MASKS),
        MemoryPart("scores", FLOAT * learnt + start, cheaper_scores),
        *(
            [
                MemoryPart(BEST, FLOAT * trained, "prune.weights: frozen"),
                MemoryPart("gradients and moments of the weights", 3 * FLOAT * trained, "prune.weights: frozen"),
            ]
            if trained
            else []
        ),
        *_largest(beginning, 3 * FLOAT * learnt, update_part, event_part),
    ]


def _fewer_activations(params: Params, otherwise: str) -> str:
    """What to change for fewer activations."""
    return (
        otherwise if params.finetune.gradient_checkpointing else f"finetune.gradient_checkpointing: true; {otherwise}"
    )


def _largest(beginning: MemoryPart, moments: int, update: MemoryPart, event: MemoryPart) -> list[MemoryPart]:
    """What is there at once: the first saliency, or gradients and moments of the scores with an update or an event."""
    training = max(update, event, key=lambda part: part.size)
    if beginning.size > moments + training.size:
        return [beginning]
    return [
        MemoryPart("gradients and moments of the scores", moments, "prune.scores: low_rank" if moments else ""),
        training,
    ]


def _learnt(shape: tuple[int, ...], params: Params) -> int:
    """Numbers that are learnt for a layer and a concept."""
    scores = start_scores(torch.zeros(shape), params.prune, seed=0)
    return sum(value.numel() for value in scores.parameters.values())
