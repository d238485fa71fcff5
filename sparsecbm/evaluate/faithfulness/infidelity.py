"""Infidelity and max-sensitivity of attributions (Yeh et al., arXiv 1901.09392), by captum.

Infidelity: do the scores of words foretell what happens when some of them go? Words become the baseline, a random part
of them at a time, and the sum of their scores is held against the change of the value. captum scales the scores to
the best fit, so methods of other units can be compared. In squared logits; less is better, 0 where the value is the
sum of what its words say.

Max-sensitivity: how far do the scores move, relative to their size, when the embeddings move a little? Less is
steadier. It is defined for methods that take gradients on the embeddings; the others read token ids.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from sparsecbm.explain.methods import METHODS, AttributionOptions
from sparsecbm.explain.subject import Ends, Subject
from sparsecbm.explain.words import TokenizedText
from sparsecbm.model.cbm import ConceptBottleneck, Logits

RADIUS = 0.1  # of the ball in which embeddings move, in standard deviations of the table of embeddings


def subject_of_predictions(
    model: ConceptBottleneck, texts: Sequence[TokenizedText], logits: Logits, options: AttributionOptions
) -> Subject:
    """What `attribute` explains by default: every concept, and the state that it was read as.

    Args:
        model: as `explain.subject.prepared` gives it
        logits: of the texts
    """
    weights = {name: _centred(read) for name, read in logits.concepts.items()}
    return Subject(model, texts, logits, weights, "logits", options.baseline, options.batch_tokens)


def measure_infidelity(
    subject: Subject, number: int, concept: str, scores: Mapping[str, Sequence[float]], samples: int, seed: int
) -> dict[str, float]:
    """Infidelity of the scores of the words of one text, by method; all methods face the same parts of the words.

    Args:
        number: of the text
        scores: method -> [words]
        samples: how many random parts of the words go; each part's size is random, too
    """
    text = subject.texts[number]
    places, read = torch.from_numpy(text.word_indices), {}

    def value(kept: Tensor) -> Tensor:
        key = kept.numpy().tobytes()
        if key not in read:  # for the first method
            numbers = np.full(len(kept), number)
            ends = subject.ends(numbers)
            present = torch.cat([kept, torch.ones(len(kept), 1)], dim=1)[:, places]  # what belongs to no word stays
            tokens = torch.lerp(ends.start, ends.end, present.unsqueeze(-1).to(ends.end))
            read[key] = subject.compute_values(tokens, ends.mask, numbers, [concept])[concept].cpu()
        return read[key]

    def of_method(values: Sequence[float]) -> float:
        generator = torch.Generator().manual_seed(seed)

        def part(kept: Tensor) -> tuple[Tensor, Tensor]:
            share = torch.rand(len(kept), 1, generator=generator)
            gone = (torch.rand(kept.shape, generator=generator) < share).float()
            return gone, kept - gone

        whole, found = torch.ones(1, len(text.words)), torch.tensor([list(values)], dtype=torch.float32)
        return float(infidelity(value, part, whole, found, n_perturb_samples=samples, normalize=True))

    return {method: of_method(values) for method, values in scores.items()}


def measure_sensitivity(
    subject: Subject,
    logits: Logits,
    number: int,
    concept: str,
    method: str,
    options: AttributionOptions,
    samples: int,
    seed: int,
) -> float:
    """Max-sensitivity of a method at one text, over random moves of its embeddings.

    Args:
        logits: of the texts of the subject
        number: of the text
        method: one that takes gradients
        samples: how many moves
    """
    generator = torch.Generator().manual_seed(seed)
    radius = RADIUS * float(subject.model.backbone.get_input_embeddings().weight.std())

    def explained(embeddings: Tensor | tuple[Tensor]) -> tuple[Tensor]:
        rows = embeddings[0] if isinstance(embeddings, tuple) else embeddings
        with torch.enable_grad():
            scores = METHODS[method].compute(_Moved(subject, logits, number, concept, rows, options), options)
        return (torch.from_numpy(subject.texts[number].merged(scores.tokens[:, 0])[0]),)

    def moved(embeddings: Tensor) -> Tensor:
        noise = torch.rand(embeddings.shape, generator=generator).to(embeddings) * 2 - 1
        return embeddings + radius * noise

    end = subject.ends(np.array([number])).end
    return float(sensitivity_max(explained, end, moved, n_perturb_samples=samples))


class _Moved(Subject):
    """One text several times, each time with embeddings of its own, [rows, tokens, width], and one concept."""

    def __init__(
        self,
        subject: Subject,
        logits: Logits,
        number: int,
        concept: str,
        embeddings: Tensor,
        options: AttributionOptions,
    ):
        self._embeddings = embeddings
        rows = len(embeddings)
        read = np.repeat(logits.concepts[concept][[number]], rows, axis=0)
        texts, weights = [subject.texts[number]] * rows, {concept: _centred(read)}
        super().__init__(
            subject.model,
            texts,
            Logits({concept: read}, read),
            weights,
            "logits",
            options.baseline,
            options.batch_tokens,
        )
        self.values = self.values_at(np.arange(rows), np.ones(rows), np.ones((rows, 1), dtype=bool))

    def ends(self, numbers: np.ndarray) -> Ends:
        """Both ends of the paths of a batch of rows; what belongs to no word has moved at both."""
        ends = super().ends(numbers)
        end = self._embeddings[torch.as_tensor(numbers, device=self._embeddings.device)]
        apart = torch.from_numpy(self.texts[0].word_indices < 0).to(end.device)[None, :, None]
        return Ends(torch.where(apart, end, ends.start), end, ends.mask)


def _centred(read: np.ndarray) -> np.ndarray:
    """What makes the logit of the state that is read, less the mean logit, of logits, [texts, states] both."""
    return np.eye(read.shape[1])[read.argmax(1)] - 1 / read.shape[1]
