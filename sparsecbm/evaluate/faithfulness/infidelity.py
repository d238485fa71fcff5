"""Infidelity and max-sensitivity of attributions (Yeh et al., arXiv 1901.09392), by captum.

Infidelity: do the scores of words predict the change when some words are removed? A random part of the words becomes
the baseline, and the sum of their scores is compared with the change of the value. captum scales the scores to the best
fit, so methods with different units can be compared. The unit is squared logits; less is better. It is 0 if the value
is a sum over the words.

Max-sensitivity: how far do the scores move, relative to their size, when the embeddings move a little? Less is
steadier. Only methods that take gradients on the embeddings have it; the others take token ids.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from sparsecbm.evaluate.faithfulness.aopc import Item
from sparsecbm.explain.methods import METHODS, AttributionOptions
from sparsecbm.explain.subject import Ends, ExplainedValue, SharedPasses, Subject
from sparsecbm.explain.words import TokenizedText
from sparsecbm.model.cbm import ConceptBottleneck, Logits

RADIUS = 0.1  # how far embeddings move at most, in standard deviations of the embedding matrix


def subject_of_predictions(
    model: ConceptBottleneck, texts: Sequence[TokenizedText], logits: Logits, options: AttributionOptions
) -> Subject:
    """What `attribute` explains by default: the predicted state of every concept.

    Args:
        model: prepared by `explain.subject.prepared`
        logits: of the texts
    """
    weights = {name: _centred(values) for name, values in logits.concepts.items()}
    return Subject(SharedPasses(model), texts, logits, ExplainedValue(weights), options.baseline, options.batch_tokens)


def measure_infidelity(
    subject: Subject, item: Item, scores: Mapping[str, Sequence[float]], samples: int, seed: int
) -> dict[str, float]:
    """Infidelity of the word scores of one item, by method. All methods face the same random parts of the words.

    Args:
        scores: method -> [words]
        samples: number of random parts of the words; the size of each part is random, too
    """
    text, concept = subject.texts[item.text_index], item.concept
    word_of_token = torch.from_numpy(text.word_indices)
    known_values: dict[bytes, Tensor] = {}

    def value(kept: Tensor) -> Tensor:
        """The value of the concept when some words are kept, [rows], from truth values as numbers, [rows, words]."""
        key = kept.numpy().tobytes()
        if key not in known_values:  # the first method fills the table
            rows = np.full(len(kept), item.text_index)
            ends = subject.ends(rows)
            present = torch.cat([kept, torch.ones(len(kept), 1)], dim=1)[:, word_of_token]  # tokens outside words stay
            tokens = torch.lerp(ends.start, ends.end, present.unsqueeze(-1).to(ends.end))
            known_values[key] = subject.compute_values(tokens, ends.mask, rows, [concept])[concept].cpu()
        return known_values[key]

    def method_infidelity(word_scores: Sequence[float]) -> float:
        generator = torch.Generator().manual_seed(seed)

        def remove_part(kept: Tensor) -> tuple[Tensor, Tensor]:
            share = torch.rand(len(kept), 1, generator=generator)
            removed = (torch.rand(kept.shape, generator=generator) < share).float()
            return removed, kept - removed

        whole, attribution = torch.ones(1, len(text.words)), torch.tensor([list(word_scores)], dtype=torch.float32)
        return float(infidelity(value, remove_part, whole, attribution, n_perturb_samples=samples, normalize=True))

    return {method: method_infidelity(word_scores) for method, word_scores in scores.items()}


def measure_sensitivity(
    subject: Subject, item: Item, method: str, options: AttributionOptions, samples: int, seed: int
) -> float:
    """Max-sensitivity of a method at one item, over random moves of its embeddings.

    Args:
        method: one that takes gradients (`explain.methods`)
        samples: number of moves
    """
    generator = torch.Generator().manual_seed(seed)
    radius = RADIUS * float(subject.model.backbone.get_input_embeddings().weight.std())

    def explained(embeddings: Tensor | tuple[Tensor]) -> tuple[Tensor]:
        rows = embeddings[0] if isinstance(embeddings, tuple) else embeddings
        with torch.enable_grad():
            scores = METHODS[method].compute(_MovedText(subject, item, rows, options), options)
        return (torch.from_numpy(subject.texts[item.text_index].merged(scores.tokens[:, 0])[0]),)

    def moved(embeddings: Tensor) -> Tensor:
        noise = torch.rand(embeddings.shape, generator=generator).to(embeddings) * 2 - 1
        return embeddings + radius * noise

    end = subject.ends(np.array([item.text_index])).end
    return float(sensitivity_max(explained, end, moved, n_perturb_samples=samples))


class _MovedText(Subject):
    """Copies of one text for one concept, each with its own embeddings, [rows, tokens, width]."""

    def __init__(self, subject: Subject, item: Item, embeddings: Tensor, options: AttributionOptions):
        self._embeddings = embeddings
        rows = len(embeddings)
        copies = np.repeat(subject.logits.concepts[item.concept][[item.text_index]], rows, axis=0)
        logits, value = Logits({item.concept: copies}, copies), ExplainedValue({item.concept: _centred(copies)})
        texts = [subject.texts[item.text_index]] * rows
        super().__init__(SharedPasses(subject.model), texts, logits, value, options.baseline, options.batch_tokens)
        self.values = self.values_at(np.arange(rows), np.ones(rows), np.ones((rows, 1), dtype=bool))

    def ends(self, numbers: np.ndarray) -> Ends:
        """Both ends of the paths of a batch of rows. Tokens outside words have moved at both ends."""
        ends = super().ends(numbers)
        end = self._embeddings[torch.as_tensor(numbers, device=self._embeddings.device)]
        outside = torch.from_numpy(self.texts[0].word_indices < 0).to(end.device)[None, :, None]
        return Ends(torch.where(outside, end, ends.start), end, ends.mask)


def _centred(logits: np.ndarray) -> np.ndarray:
    """Weights that give the predicted state's logit minus the mean logit; both are [texts, states]."""
    return np.eye(logits.shape[1])[logits.argmax(1)] - 1 / logits.shape[1]
