"""The training modes, from annotated tables to a finished model.

standard     the label directly from the text: the black box to compare with
joint        concepts and label in one loss; then, if configured, the label head is fitted once more by itself
sequential   concepts first; then the label head on the predicted concepts
independent  concepts first; then the label head on the gold concepts
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.params import Finetune
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import LabelHead, activate, concatenated_activations
from sparsecbm.train.adapters import add_adapters, merge_adapters
from sparsecbm.train.examples import MISSING, Examples, build_examples, one_hot
from sparsecbm.train.label_head import ABSENT_CLASS_BIAS, fit_label_head, fit_temperature
from sparsecbm.train.loop import History, TrainingRun, train
from sparsecbm.train.loss import ClassWeights, balanced_class_weights
from sparsecbm.train.method import DenseTraining
from sparsecbm.train.oom import SMALLER_BATCH_HINT, out_of_memory_hint
from sparsecbm.train.pooled import logits_of

MOST_UNKNOWN = 0.99  # of the words of a split


@out_of_memory_hint(SMALLER_BATCH_HINT)
def fit(
    model: ConceptBottleneck, training: pd.DataFrame, validation: pd.DataFrame, params: Finetune, run: TrainingRun
) -> History:
    """Train a model in place, by its mode. It gets new weights, both label heads and the training means.

    Args:
        training, validation: annotated tables (columns as in `sparsecbm.data.tables`)

    Raises:
        DataError: no text has a label, all training texts have the same one, or a concept has no labelled text.
        ConfigError: adapters do not fit the backbone.
        ModelError: the GPU is out of memory, or the tokenizer knows no word of the texts.
    """
    train_examples = build_examples(training, model, params.targets, params.noise)
    validation_examples = build_examples(validation, model)
    _check(train_examples, model, "train")
    _check(validation_examples, model, "validation")
    weights = ClassWeights()
    if params.class_weights == "balanced":
        states = {concept.name: len(concept) for concept in model.concept_set}
        weights = balanced_class_weights(train_examples, states, len(model.concept_set.label))
    if params.adapter == "lora":
        add_adapters(model.backbone, params.lora)
    history = train(model, train_examples, validation_examples, params, DenseTraining(params, weights), run)
    merge_adapters(model.backbone)
    logits = logits_of(model, training["text"].tolist())
    if model.has_bottleneck:
        held_out = validation_examples, logits_of(model, validation["text"].tolist())
        if model.settings.mode != "joint" or params.refit_label_head:
            refit_label_head(model, train_examples, logits, *held_out)
        fit_hard_head(model, train_examples, logits, *held_out)
    model.means = compute_training_means(model, train_examples, logits)
    return history


def compute_training_means(model: ConceptBottleneck, data: Examples, logits: Logits) -> dict[str, Any]:
    """Mean activation of each state over the training texts, and the share of each gold state among them."""
    variables = [("label", model.concept_set.label, data.label)]
    variables += [(c.name, c, data.concepts[c.name]) for c in model.concept_set]
    shares = {}
    for name, variable, gold in variables:
        counts = torch.bincount(gold[gold != MISSING], minlength=len(variable)).double()
        share = (counts / counts.sum().clamp(min=1)).tolist()
        shares[name] = dict(zip(variable.states, share, strict=True))
    means = {}
    for name, values in logits.concepts.items():
        mean = activate(torch.from_numpy(values).double(), model.settings.activation).mean(0).tolist()
        means[name] = dict(zip(model.concept_set[name].states, mean, strict=True))
    return {"activations": means, "label_share": shares.pop("label"), "concept_shares": shares}


def refit_label_head(
    model: ConceptBottleneck, data: Examples, logits: Logits, held_out: Examples, held_out_logits: Logits
) -> None:
    """Fit V and b on the predicted concepts of the training texts; in mode `independent`, on their gold concepts.

    The temperature is fitted on the predicted concepts of held-out texts.
    """
    if model.settings.mode != "independent":
        inputs = concatenated_activations(logits.concepts, model.settings.activation)
    else:
        inputs = np.concatenate([_gold_activations(data.concepts[c.name], len(c)) for c in model.concept_set], axis=1)
    _fit_head(model.label_head, inputs, data.label)
    _scale_head(
        model.label_head, concatenated_activations(held_out_logits.concepts, model.settings.activation), held_out.label
    )


def fit_hard_head(
    model: ConceptBottleneck, data: Examples, logits: Logits, held_out: Examples, held_out_logits: Logits
) -> None:
    """Fit `model.hard_head` in the same way, on the predicted concepts as one-hot states."""
    hard_head = model.add_hard_head()
    _fit_head(hard_head, concatenated_activations(logits.concepts, "hard"), data.label)
    _scale_head(hard_head, concatenated_activations(held_out_logits.concepts, "hard"), held_out.label)


def _fit_head(head: LabelHead, inputs: np.ndarray, label: torch.Tensor) -> None:
    """Set V and b from inputs, [texts, sum of states], and labels, [texts]; texts without a label are left out."""
    known = (label != MISSING).numpy()
    weight, bias = fit_label_head(inputs[known], label.numpy()[known], head.linear.out_features)
    head.set(torch.from_numpy(weight), torch.from_numpy(bias))


def _scale_head(head: LabelHead, inputs: np.ndarray, label: torch.Tensor) -> None:
    """Divide V and b by the temperature that suits held-out inputs, [texts, sum of states], and labels, [texts]."""
    known = (label != MISSING) & (head.linear.bias.detach().cpu()[label.clamp(min=0)] > ABSENT_CLASS_BIAS)
    with torch.no_grad():
        logits = head.linear(torch.from_numpy(inputs).to(head.linear.weight))
        temperature = fit_temperature(logits[known].double().cpu().numpy(), label[known].numpy())
        head.set(head.linear.weight / temperature, head.linear.bias / temperature)


def _gold_activations(gold: torch.Tensor, states: int) -> np.ndarray:
    """One-hot gold states, [texts, states], float64; a text without a known state gets the shares of the states."""
    known = gold != MISSING
    shares = torch.bincount(gold[known], minlength=states).double() / known.sum().clamp(min=1)
    return torch.where(known[:, None], one_hot(gold, states).double(), shares).numpy()


def _check(data: Examples, model: ConceptBottleneck, split: str) -> None:
    """Raises DataError unless the split can be trained on, or validated with, and ModelError if no word is known."""
    _check_words(data, model, split)
    labels = data.label[data.label != MISSING].unique()
    if not len(labels):
        raise DataError(f"split {split!r}: no text has a label; check the label column")
    if split == "train" and len(labels) == 1:
        only = model.concept_set.label.states[int(labels)]
        raise DataError(f"split 'train': every label is {only!r}; training needs at least two labels")
    for name, gold in data.concepts.items():
        if model.has_bottleneck and not bool((gold != MISSING).any()):
            raise DataError(
                f"split {split!r}: no text has a state for concept {name!r}; "
                "leave the concept out, or annotate it (annotate.blank: unknown fills empty cells)"
            )
        if model.has_bottleneck and not bool(data.concept_targets[name].any()):
            raise DataError(
                f"split {split!r}: every label of concept {name!r} has weight 0; "
                "raise finetune.noise.machine_weight, or label some texts by hand"
            )


def _check_words(data: Examples, model: ConceptBottleneck, split: str) -> None:
    unknown, special = model.tokenizer.unk_token_id, set(model.tokenizer.all_special_ids)
    words = [token for row in data.rows for token in row if token == unknown or token not in special]
    if unknown is not None and words and words.count(unknown) > MOST_UNKNOWN * len(words):
        raise ModelError(
            f"split {split!r}: the tokenizer of the backbone knows no word of the texts, so nothing can be learnt from "
            "them; set model.backbone to a model of their language, or give its folder the tokenizer that belongs to it"
        )
