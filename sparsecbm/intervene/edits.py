"""Concept edits: a person sets the state of a concept, and the label follows through the bottleneck.

An edit replaces the concept's logits, so only the bottleneck carries it to the label: `u = sum_k V_k c_k + b` with the
edited c_k (Koh et al., arXiv 2007.04612; method, section 4).

The head `soft` (default) keeps the other activations as predicted and the label head as trained. The head `hard` makes
every concept one-hot, edited or not, and computes the label by `model.hard_head`, which was fitted on such concepts.
A soft head has learnt to use what activations leak beyond the states, so gold states alone make it worse.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.base.published import PUBLISHED, published_form
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.in_context import LogitEdit, changed
from sparsecbm.model.prediction import Prediction, state_predictions
from sparsecbm.model.prediction_form import PublishedPrediction

# A state by name, or a probability of each state: in their order, or by name (states not named have none).
Setting = str | Sequence[float] | Mapping[str, float]
Model = TypeVar("Model", bound=ConceptBottleneck)
HEADS = ("soft", "hard")
# Activations that are logits cannot express certainty: a state that is excluded keeps this probability.
FLOOR = 0.01


@dataclass(frozen=True, config=PUBLISHED)
class Edit:
    """The predictions of one text before and after its concepts were set.

    Attributes:
        before: holds the model's own predictions of the concepts that were set
    """

    text: str
    set_to: Annotated[dict[str, dict[str, float]], Field(description="concept -> probability of each state")]
    head: Annotated[Literal["soft", "hard"], Field(description="the label head of both predictions")]
    before: PublishedPrediction
    after: PublishedPrediction
    changed: Annotated[
        tuple[str, ...], Field(description="concepts whose state changed, and `label` if the label changed")
    ]

    def to_dict(self) -> dict[str, Any]:
        """Return the published form, as `sparsecbm/schemas/intervene.schema.json` describes it."""
        return published_form(self)


def intervene(
    model: ConceptBottleneck, texts: str | Sequence[str], settings: Mapping[str, Setting], head: str = "soft"
) -> Edit | list[Edit]:
    """Set concepts of one text, or of each of several, and predict the label again.

    Args:
        settings: concept -> state or probabilities
        head: soft | hard

    Returns:
        one edit for one text, a list for a list

    Raises:
        InterventionError: an unknown concept, values that are no probabilities, or no bottleneck.
        ConfigError: an unknown state or head. Messages list the choices.
        ModelError: a head that the model lacks.
    """
    resolve_settings(model, settings)  # fails at once, before the predictions, which take time
    text_list = [texts] if isinstance(texts, str) else list(texts)
    edits = edits_from_logits(model, text_list, model.logits(text_list), settings, head)
    return edits[0] if isinstance(texts, str) else edits


def edits_from_logits(
    model: ConceptBottleneck, texts: Sequence[str], logits: Logits, settings: Mapping[str, Setting], head: str = "soft"
) -> list[Edit]:
    """Set concepts of texts whose logits are known; as `intervene`.

    Args:
        logits: as `model.logits` returns them for a list of texts

    Raises:
        InterventionError, ConfigError, ModelError: as `intervene`.
    """
    targets = resolve_settings(model, settings)
    values = {name: torch.from_numpy(concept_logits) for name, concept_logits in logits.concepts.items()}
    new_values = _set_concepts(model, targets, values)
    before, after = _predict(model, texts, values, head), _predict(model, texts, new_values, head)
    set_to = {name: dict(zip(model.concept_set[name].states, p.tolist(), strict=True)) for name, p in targets.items()}
    return [
        Edit(text, set_to, head, old, new, _changed_names(old, new))
        for text, old, new in zip(texts, before, after, strict=True)
    ]


def set_in_logits(model: ConceptBottleneck, logits: Logits, settings: Mapping[str, Setting]) -> Logits:
    """The logits that `edited` would give, from those of the same texts without edits.

    Raises:
        InterventionError, ConfigError: as `intervene`.
    """
    targets = resolve_settings(model, settings)
    values = {name: torch.from_numpy(concept_logits) for name, concept_logits in logits.concepts.items()}
    concepts = {name: edited.numpy() for name, edited in _set_concepts(model, targets, values).items()}
    return Logits(concepts, model.label_logits(concepts))


@contextmanager
def edited(model: Model, settings: Mapping[str, Setting]) -> Iterator[Model]:
    """Set concepts of every text that the model predicts while the block runs, with the label head as trained.

    Only this thread or task sees the edit. Blocks may be nested; where two set the same concept, the inner one counts.

    Raises:
        InterventionError, ConfigError: as `intervene`.
    """
    targets = resolve_settings(model, settings)

    with changed(model.owner, LogitEdit(lambda logits: _set_concepts(model, targets, logits))):
        yield model


def resolve_settings(model: ConceptBottleneck, settings: Mapping[str, Setting]) -> dict[str, np.ndarray]:
    """Return the probabilities of each edited concept's states, [states].

    Raises:
        InterventionError: no bottleneck, no settings, an unknown concept, or values that are no probabilities.
        ConfigError: an unknown state.
    """
    if not model.has_bottleneck:
        raise InterventionError("a model of mode `standard` has no concepts to edit; train one in another mode")
    if not settings:
        raise InterventionError(f"no concept was set; choices: {', '.join(model.concept_set.names)}")
    for name in settings:
        if name not in model.concept_set.names:
            raise InterventionError(unknown("concept", name, model.concept_set.names))
    return {name: _probabilities(model.concept_set[name], setting) for name, setting in settings.items()}


def edited_logits(model: ConceptBottleneck, probabilities: np.ndarray, logits: Tensor) -> Tensor:
    """Return logits whose activation is the given one, [texts, states].

    Where activations are the logits themselves, their softmax gives the probabilities (none below `FLOOR`). The mean
    logit of each text stays, because probabilities do not determine it.

    Args:
        probabilities: [states] for all texts alike, or [texts, states]
        logits: as predicted, [texts, states]
    """
    target = torch.tensor(probabilities, dtype=logits.dtype, device=logits.device)
    if model.settings.activation == "logits":
        target = target.clamp(min=FLOOR)
        centred = target.log() - target.log().mean(-1, keepdim=True)
        return centred + logits.mean(-1, keepdim=True)
    return target.log().expand_as(logits)


def _probabilities(concept: Concept, setting: Setting) -> np.ndarray:
    if isinstance(setting, str):
        setting = {setting: 1.0}
    if isinstance(setting, Mapping):
        probabilities = np.zeros(len(concept))
        for state, probability in setting.items():
            probabilities[concept.index(state)] = probability
    else:
        probabilities = np.asarray(setting, dtype=float)
    right_shape = probabilities.shape == (len(concept),)
    if not right_shape or not (probabilities >= 0).all() or not np.isclose(probabilities.sum(), 1, atol=1e-3):
        raise InterventionError(
            f"{concept.name!r} cannot be set to {setting}: give a probability for each of its states "
            f"{', '.join(concept.states)}, none negative, that add up to 1"
        )
    return probabilities / probabilities.sum()


def _set_concepts(
    model: ConceptBottleneck, targets: Mapping[str, np.ndarray], logits: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    return {
        name: edited_logits(model, targets[name], values) if name in targets else values
        for name, values in logits.items()
    }


def _predict(model: ConceptBottleneck, texts: Sequence[str], logits: dict[str, Tensor], head: str) -> list[Prediction]:
    labels = state_predictions(model.concept_set.label, model.label_logits(logits, head))
    concepts = {
        name: state_predictions(model.concept_set[name], values.float().numpy()) for name, values in logits.items()
    }
    return [
        Prediction(text, labels[i], {name: states[i] for name, states in concepts.items()})
        for i, text in enumerate(texts)
    ]


def _changed_names(before: Prediction, after: Prediction) -> tuple[str, ...]:
    names = [name for name, new in after.concepts.items() if new.state != before.concepts[name].state]
    return (*names, "label") if after.label.state != before.label.state else tuple(names)
