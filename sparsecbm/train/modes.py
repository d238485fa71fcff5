"""The training modes, from annotated tables to a finished model.

standard     the label straight from the text: the black box to compare with
joint        concepts and label in one loss; then, if so configured, the label head once more by itself
sequential   concepts first; then the label head on the concepts as the model reads them
independent  concepts first; the label head on the gold concepts
"""

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Finetune
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import LabelHead, activate
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import MISSING, Examples, build_examples
from sparsecbm.train.label_head import ABSENT_CLASS_BIAS, fit_label_head, fit_temperature
from sparsecbm.train.loop import History, OnStep, train
from sparsecbm.train.loss import ClassWeights, balanced_class_weights
from sparsecbm.train.method import DenseTraining
from sparsecbm.train.oom import SMALLER_BATCH_HINT, out_of_memory_hint


@out_of_memory_hint(SMALLER_BATCH_HINT)
def fit(
    model: ConceptBottleneck,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    params: Finetune,
    seed: int,
    checkpoints: Checkpoints,
    on_step: OnStep = lambda step, figures: None,
) -> History:
    """Train a model by its mode; weights, both label heads and training means are in the model afterwards.

    Args:
        training, validation: annotated tables (columns as in `sparsecbm.data.tables`)

    Raises:
        DataError: no text has a label, those to train on have all the same, or a concept has no labelled text.
        ModelError: the GPU is out of memory.
    """
    train_examples = build_examples(training, model, params.targets)
    validation_examples = build_examples(validation, model)
    _check(train_examples, model, "train")
    _check(validation_examples, model, "validation")
    weights = ClassWeights()
    if params.class_weights == "balanced":
        states = {concept.name: len(concept) for concept in model.concept_set}
        weights = balanced_class_weights(train_examples, states, len(model.concept_set.label))
    method = DenseTraining(params, weights)
    history = train(model, train_examples, validation_examples, params, seed, method, checkpoints, on_step)
    read = model.logits(training["text"].tolist())
    if model.has_bottleneck:
        held_out = validation_examples, model.logits(validation["text"].tolist())
        if model.settings.mode != "joint" or params.refit_label_head:
            refit_label_head(model, train_examples, read, *held_out)
        fit_hard_head(model, train_examples, read, *held_out)
    model.means = compute_training_means(model, train_examples, read)
    return history


def activations(model: ConceptBottleneck, read: Logits, kind: str) -> np.ndarray:
    """Activations of all concepts side by side, [texts, sum of states], from logits."""
    parts = [activate(torch.from_numpy(read.concepts[name]), kind) for name in model.concept_set.names]
    return torch.cat(parts, dim=-1).numpy()


def compute_training_means(model: ConceptBottleneck, data: Examples, read: Logits) -> dict:
    """Mean activation of each state over the training texts, and the share of each gold state among them."""
    variables = [("label", model.concept_set.label, data.label)]
    variables += [(c.name, c, data.concepts[c.name]) for c in model.concept_set]
    shares = {}
    for name, variable, gold in variables:
        counts = torch.bincount(gold[gold != MISSING], minlength=len(variable)).double()
        share = (counts / counts.sum().clamp(min=1)).tolist()
        shares[name] = dict(zip(variable.states, share, strict=True))
    means = {}
    for name, logits in read.concepts.items():
        mean = activate(torch.from_numpy(logits).double(), model.settings.activation).mean(0).tolist()
        means[name] = dict(zip(model.concept_set[name].states, mean, strict=True))
    return {"activations": means, "label_share": shares.pop("label"), "concept_shares": shares}


def refit_label_head(
    model: ConceptBottleneck, data: Examples, read: Logits, held_out: Examples, held_out_read: Logits
) -> None:
    """Fit V and b on training texts as the model reads them; in mode `independent`, on their gold concepts.

    Their temperature is fitted on the held-out texts as the model reads them.
    """
    if model.settings.mode != "independent":
        inputs = activations(model, read, model.settings.activation)
    else:
        inputs = np.concatenate([_one_hot(data.concepts[c.name], len(c)) for c in model.concept_set], axis=1)
    _fit_head(model.label_head, inputs, data.label)
    _scale(model.label_head, activations(model, held_out_read, model.settings.activation), held_out.label)


def fit_hard_head(
    model: ConceptBottleneck, data: Examples, read: Logits, held_out: Examples, held_out_read: Logits
) -> None:
    """Fit `model.hard_head` likewise on texts as the model reads them, each concept one-hot."""
    _fit_head(model.add_hard_head(), activations(model, read, "hard"), data.label)
    _scale(model.hard_head, activations(model, held_out_read, "hard"), held_out.label)


def _fit_head(head: LabelHead, inputs: np.ndarray, label: torch.Tensor) -> None:
    """Set V and b from inputs, [texts, sum of states], and labels, [texts]; texts without a label are left out."""
    known = (label != MISSING).numpy()
    weight, bias = fit_label_head(inputs[known], label.numpy()[known], head.linear.out_features)
    head.set(torch.from_numpy(weight), torch.from_numpy(bias))


def _scale(head: LabelHead, inputs: np.ndarray, label: torch.Tensor) -> None:
    """Divide V and b by the temperature that suits held-out inputs, [texts, sum of states], and labels, [texts]."""
    known = (label != MISSING) & (head.linear.bias.detach().cpu()[label.clamp(min=0)] > ABSENT_CLASS_BIAS)
    with torch.no_grad():
        logits = head.linear(torch.from_numpy(inputs).to(head.linear.weight))
        T = fit_temperature(logits[known].double().cpu().numpy(), label[known].numpy())
        head.set(head.linear.weight / T, head.linear.bias / T)


def _one_hot(gold: torch.Tensor, states: int) -> np.ndarray:
    """[texts, states]; a text whose state nobody knows gets the shares of those that are known."""
    known = gold != MISSING
    shares = torch.bincount(gold[known], minlength=states).double() / known.sum().clamp(min=1)
    rows = shares.repeat(len(gold), 1)
    rows[known] = torch.nn.functional.one_hot(gold[known], states).double()
    return rows.numpy()


def _check(data: Examples, model: ConceptBottleneck, split: str) -> None:
    labels = data.label[data.label != MISSING].unique()
    if not len(labels):
        raise DataError(f"split {split!r}: no text has a label; check the column that holds it")
    if split == "train" and len(labels) == 1:
        only = model.concept_set.label.states[int(labels)]
        raise DataError(f"split 'train': every label is {only!r}; training needs at least two, check the split's rows")
    for name, gold in data.concepts.items():
        if model.has_bottleneck and not bool((gold != MISSING).any()):
            raise DataError(
                f"split {split!r}: no text has a state for concept {name!r}; "
                "leave the concept out, or annotate it (annotate.blank: unknown fills empty cells)"
            )
