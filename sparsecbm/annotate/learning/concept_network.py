"""The project's own model, trained on concepts alone, as a labeller of texts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Params
from sparsecbm.data.splitting import EVALUATION
from sparsecbm.model.cbm import ConceptBottleneck, Settings
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import TrainingRun, train
from sparsecbm.train.loss import ClassWeights
from sparsecbm.train.method import DenseTraining
from sparsecbm.train.oom import SMALLER_BATCH_HINT, out_of_memory_hint
from sparsecbm.train.reproducible import reproducible

VALIDATION = "validation"
CONCEPTS_ALONE = "sequential"  # the mode whose loss leaves the label out, which would pull concepts towards itself


@out_of_memory_hint(SMALLER_BATCH_HINT)
def predict_by_network(
    texts: pd.DataFrame, targets: dict[str, np.ndarray], concepts: Sequence[ConceptDefinition], params: Params
) -> dict[str, np.ndarray]:
    """Train a new model on soft targets of the training texts, and predict all texts.

    The epoch whose states agree best with the targets on the split `validation` is kept; without this split, the best
    one on the training texts.

    Args:
        texts: see `Annotator`; evaluation splits are not trained on
        targets: concept -> probabilities of its states, [texts, states]
        params: `model` and `finetune`, where `annotate.few_shot` says how many epochs; seed and threads

    Returns:
        concept -> logits, [texts, states]

    Raises:
        DataError: the texts have fewer than two different labels.
        ModelError: the backbone cannot be loaded, or the GPU is out of memory.
    """
    labels = tuple(sorted(texts["label"].dropna().unique()))
    if len(labels) < 2:
        raise DataError(f"few_shot needs texts with at least two different labels; there are {len(labels)}")
    concept_set = ConceptSet(tuple(concept.concept for concept in concepts), Concept("label", labels))
    table = _with_targets(texts, targets, concepts)
    validation = texts["split"] == VALIDATION
    training = ~validation & ~texts["split"].isin(EVALUATION)
    finetune = params.finetune.model_copy(update={"epochs": params.annotate.few_shot.epochs})
    settings = Settings(**params.model.model_dump(exclude={"backbone"}) | {"mode": CONCEPTS_ALONE})
    with reproducible(params.seed, params.threads), tempfile.TemporaryDirectory(prefix="sparsecbm-") as folder:
        model = ConceptBottleneck.build(params.model.backbone, concept_set, settings)
        train(
            model,
            build_examples(table[training], model, "votes"),
            build_examples(table[validation if validation.any() else training], model),
            finetune,
            DenseTraining(finetune, ClassWeights()),
            TrainingRun(params.seed, Checkpoints(Path(folder))),
        )
        return model.to("cpu").logits(texts["text"].tolist()).concepts


def _with_targets(
    texts: pd.DataFrame, targets: dict[str, np.ndarray], concepts: Sequence[ConceptDefinition]
) -> pd.DataFrame:
    """The texts with their targets, as an annotated table (columns as in `sparsecbm.data.tables`)."""
    columns = {"text": texts["text"], "label": texts["label"]}
    for concept in concepts:
        values, states = targets[concept.name], np.array(list(concept.states), dtype=object)
        columns[f"concept.{concept.name}"] = states[values.argmax(1)]
        columns |= {f"share.{concept.name}.{state}": values[:, i] for i, state in enumerate(states)}
    return pd.DataFrame(columns)
