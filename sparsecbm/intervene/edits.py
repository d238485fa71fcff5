"""Concept edits: a concept is set to what a person says, and the label follows through the bottleneck.

An edit stands in the place of the concept's logits, so that nothing but the bottleneck carries it: the label is
`u = sum_k V_k c_k + b` with the edited c_k (Koh et al., arXiv 2007.04612; method, section 4).

`soft` (default) keeps the other activations as the model reads them and the label head as trained. `hard` makes every
concept one-hot, edited or not, and reads the label by `model.hard_head`, which was fitted on such concepts: a soft head
has learnt to read what activations leak beyond the states, and gold states alone make it worse.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import InterventionError, unknown
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.heads import activate
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.prediction import Prediction, StatePrediction, state_predictions

# A state by name, or a probability for each state: in their order, or by name (states not named have none).
Setting = str | Sequence[float] | Mapping[str, float]
HEADS = ("soft", "hard")
# Activations that are logits know no certainty: a state that is excluded keeps this probability.
FLOOR = 0.01


@dataclass(frozen=True)
class Edit:
    """What one text read before and after its concepts were set.

    Attributes:
        set_to: concept -> probability of each state that it was set to
        head: soft | hard, which label head read both
        before, after: all readings; the concept's own reading is in `before`
        changed: names of the concepts whose state is another now, and `label` if the label is
    """

    text: str
    set_to: dict[str, dict[str, float]]
    head: str
    before: Prediction
    after: Prediction
    changed: tuple[str, ...]

    def to_dict(self) -> dict:
        """Plain form, as JSON holds it."""
        return {
            "text": self.text,
            "set_to": self.set_to,
            "head": self.head,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "changed": list(self.changed),
        }


def intervene(
    model: ConceptBottleneck, texts: str | Sequence[str], settings: Mapping[str, Setting], head: str = "soft"
) -> Edit | list[Edit]:
    """Set concepts of one text, or of each of several, and see what becomes of the label.

    Args:
        settings: concept -> state or probabilities
        head: soft | hard

    Returns:
        one edit for one text, a list for a list

    Raises:
        InterventionError: an unknown concept, no probabilities, no bottleneck, or a head that the model lacks.
        ConfigError: an unknown state; both name the choices.
    """
    wanted = resolved(model, settings)
    each = [texts] if isinstance(texts, str) else list(texts)
    logits = {name: torch.from_numpy(values) for name, values in model.logits(each).concepts.items()}
    edited = {name: edited_logits(model, wanted[name], v) if name in wanted else v for name, v in logits.items()}
    before, after = _predictions(model, each, logits, head), _predictions(model, each, edited, head)
    set_to = {name: dict(zip(model.concept_set[name].states, p.tolist(), strict=True)) for name, p in wanted.items()}
    edits = [
        Edit(text, set_to, head, old, new, _changed(old, new))
        for text, old, new in zip(each, before, after, strict=True)
    ]
    return edits[0] if isinstance(texts, str) else edits


@contextmanager
def edited(model: ConceptBottleneck, settings: Mapping[str, Setting]) -> Iterator[ConceptBottleneck]:
    """Set concepts for every text that the model reads while the block runs, by the label head as trained.

    Blocks may be nested; where two set the same concept, the inner one counts.

    Raises:
        InterventionError, ConfigError: as `intervene`.
    """
    wanted = resolved(model, settings)

    def set_concepts(heads: nn.Module, pooled: tuple, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: edited_logits(model, wanted[name], v) if name in wanted else v for name, v in logits.items()}

    handle = model.concept_heads.register_forward_hook(set_concepts)
    try:
        yield model
    finally:
        handle.remove()


def resolved(model: ConceptBottleneck, settings: Mapping[str, Setting]) -> dict[str, np.ndarray]:
    """Probabilities of each edited concept's states, [states].

    Raises:
        InterventionError: no bottleneck, no settings, an unknown concept, or values that are no probabilities.
        ConfigError: an unknown state.
    """
    if not model.has_bottleneck:
        raise InterventionError("a model of mode `standard` has no concepts to edit; train one with another mode")
    if not settings:
        raise InterventionError(f"no concept was set; choices: {', '.join(model.concept_set.names)}")
    for name in settings:
        if name not in model.concept_set.names:
            raise InterventionError(unknown("concept", name, model.concept_set.names))
    return {name: _probabilities(model.concept_set[name], setting) for name, setting in settings.items()}


def edited_logits(model: ConceptBottleneck, probabilities: np.ndarray, read: Tensor) -> Tensor:
    """Logits whose activation is the given one ([states] for all texts alike, or [texts, states]), [texts, states].

    Where activations are the logits themselves, softmax gives the probabilities (none below `FLOOR`), and the mean
    logit of each text stays, about which probabilities say nothing.
    """
    given = torch.tensor(probabilities, dtype=read.dtype, device=read.device)
    if model.settings.activation == "logits":
        given = given.clamp(min=FLOOR)
        centred = given.log() - given.log().mean(-1, keepdim=True)
        return centred + read.mean(-1, keepdim=True)
    return given.log().expand_as(read)


def _probabilities(concept: Concept, setting: Setting) -> np.ndarray:
    if isinstance(setting, str):
        found = np.zeros(len(concept))
        found[concept.index(setting)] = 1.0
        return found
    if isinstance(setting, Mapping):
        found = np.zeros(len(concept))
        for state, probability in setting.items():
            found[concept.index(state)] = probability
    else:
        found = np.asarray(setting, dtype=float)
    if found.shape != (len(concept),) or not (found >= 0).all() or not np.isclose(found.sum(), 1, atol=1e-3):
        raise InterventionError(
            f"{concept.name!r} cannot be set to {setting}: give a probability for each of its states "
            f"{', '.join(concept.states)}, none negative, that add up to 1"
        )
    return found / found.sum()


def label_logits(model: ConceptBottleneck, logits: Mapping[str, np.ndarray], head: str = "soft") -> np.ndarray:
    """Label logits, [texts, classes], from the logits of all concepts, each [texts, states].

    Args:
        head: soft, the label head as trained; or hard, `hard_head` on one-hot concepts

    Raises:
        InterventionError: an unknown head, or one that the model lacks.
    """
    if head not in HEADS:
        raise InterventionError(unknown("head", head, HEADS))
    if head == "hard" and model.hard_head is None:
        raise InterventionError("the model has no head for one-hot concepts, it was not finished; use the soft one")
    with inference_mode(model):
        given = {name: torch.as_tensor(values).to(model.device) for name, values in logits.items()}
        if head == "soft":
            label = model.output(given).label_logits
        else:
            label = model.hard_head({name: activate(values, "hard") for name, values in given.items()})
    return label.float().cpu().numpy()


def _predictions(model: ConceptBottleneck, texts: list[str], logits: dict[str, Tensor], head: str) -> list[Prediction]:
    of_label = state_predictions(model.concept_set.label, label_logits(model, logits, head))
    by_concept = {name: _read(model.concept_set[name], values) for name, values in logits.items()}
    return [
        Prediction(text, of_label[i], {name: read[i] for name, read in by_concept.items()})
        for i, text in enumerate(texts)
    ]


def _read(concept: Concept, logits: Tensor) -> list[StatePrediction]:
    return state_predictions(concept, logits.float().numpy())


def _changed(before: Prediction, after: Prediction) -> tuple[str, ...]:
    names = [name for name, read in after.concepts.items() if read.state != before.concepts[name].state]
    return (*names, "label") if after.label.state != before.label.state else tuple(names)
