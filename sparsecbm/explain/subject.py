"""The value to explain for each text and concept, as a function of the embeddings of the text's words.

    value_k(x) = sum_s w_k[s] g(logits_k(f(x; W * m_k)))[s]

Each text has its own weights w_k. g is the identity (for a concept's logit) or the activation (for what a concept adds
to a class). The path of a text goes from its baseline to its embeddings.

The baseline is the text without its words: the tokens of words get the embedding of the pad token or the mask token, or
zero. Tokens that belong to no word (special tokens, space) stay. So special tokens, which say nothing about the text,
get no share of the effect of its words.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.errors import ConfigError, ModelError, unknown
from sparsecbm.explain.words import TokenizedText
from sparsecbm.model.batches import pad
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.execution import Execution, can_multiply, existing_copy, prediction_copy
from sparsecbm.model.heads import activate
from sparsecbm.model.onednn import use_onednn

BASELINES = ("pad", "mask", "zero")


@dataclass(frozen=True)
class Ends:
    """Both ends of the paths of a batch of texts.

    Attributes:
        start, end: embeddings at the baseline and at the text, [batch, tokens, width]
        mask: [batch, tokens], 0 on padding
    """

    start: Tensor
    end: Tensor
    mask: Tensor

    def between(self, at: np.ndarray) -> Tensor:
        """Points of the paths, one for each text, from 0 at the start to 1 at the end, [batch, tokens, width]."""
        return torch.lerp(
            self.start, self.end, torch.as_tensor(at, dtype=self.end.dtype, device=self.end.device)[:, None, None]
        )


@contextmanager
def prepared(model: ConceptBottleneck) -> Iterator[ConceptBottleneck]:
    """A copy of the model in eval mode, frozen, with its masks multiplied out if its family allows it.

    It is the copy that the context has (see `using_copy`), or else a new one.

    Masks are then multiplied once and not in every pass. Frozen weights also allow products by oneDNN. The model itself
    is not changed, so others can use it meanwhile.

    Raises:
        ModelError: the model has no concepts.
    """
    if not model.has_bottleneck:
        raise ModelError("a model of mode `standard` has no concepts to explain; train one with another mode")
    copied = existing_copy(model)
    if copied is None:
        copied = prediction_copy(model, Execution("multiplied" if can_multiply(model) else "packed", "float32"))
    with use_onednn(copied.backbone):
        yield copied


@dataclass(frozen=True, eq=False)
class ExplainedValue:
    """Which value of each text is explained, for each concept.

    Attributes:
        weights: concept -> w_k of each text, [texts, states]
        activation: g, a kind that `activate` knows
        summed: whether the values of all concepts are added up, so that the exactness of their sum counts
    """

    weights: Mapping[str, np.ndarray]
    activation: str = "logits"
    summed: bool = False


@dataclass(frozen=True)
class TokenScores:
    """Scores of a method for all texts and concepts of a subject.

    Attributes:
        tokens: [texts, concepts, tokens of the longest text]
        steps: gradients taken along each path, [texts, concepts]; 0 for a method that takes none
    """

    tokens: np.ndarray
    steps: np.ndarray


class SharedPasses:
    """Forward passes of one model. Equal ones without gradients run once, whatever value is taken from their logits.

    The words of concepts and those of the label come from the same left-out words and the same baselines.

    Attributes:
        model: prepared by `prepared`
    """

    def __init__(self, model: ConceptBottleneck) -> None:
        self.model = model
        self._known: dict[bytes, dict[str, Tensor]] = {}

    def concept_logits(self, tokens: Tensor, mask: Tensor, concepts: Sequence[str]) -> dict[str, Tensor]:
        """The logits of concepts, [batch, states] each, every row through the subnetworks of all of them.

        Args:
            tokens, mask: arguments of `ConceptBottleneck.represent`
        """
        if torch.is_grad_enabled():
            return self._run(tokens, mask, concepts)
        digest = hashlib.sha256(repr((tuple(concepts), tuple(tokens.shape), tokens.dtype)).encode())
        for part in (tokens, mask):
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        key = digest.digest()
        if key not in self._known:
            self._known[key] = self._run(tokens, mask, concepts)
        return self._known[key]

    def _run(self, tokens: Tensor, mask: Tensor, concepts: Sequence[str]) -> dict[str, Tensor]:
        rows = torch.arange(len(mask), device=mask.device)
        pooled = self.model.represent(tokens, mask, dict.fromkeys(concepts, rows))
        logits: dict[str, Tensor] = self.model.concept_heads(pooled)
        return logits


class Subject:
    """Texts, and the value to explain for each text and concept.

    Attributes:
        model: prepared by `prepared`
        texts: in the order of all results
        logits: of the texts
        concepts: names, in the order of all results
        values: value of each text, [texts, concepts]
        baseline_values: value of each text's baseline, [texts, concepts]
    """

    def __init__(
        self,
        passes: SharedPasses,
        texts: Sequence[TokenizedText],
        logits: Logits,
        value: ExplainedValue,
        baseline: str,
        batch_tokens: int,
    ):
        """
        Args:
            logits: of the texts
            value: to explain
            baseline: pad | mask | zero
            batch_tokens: maximum number of tokens in one pass, padding included

        Raises:
            ConfigError: the baseline is unknown, or it is `mask` and the tokenizer has no mask token.
        """
        self._passes, self.model = passes, passes.model
        self.texts, self.logits, self.concepts = list(texts), logits, tuple(value.weights)
        self.activation, self.summed, self.batch_tokens = value.activation, value.summed, batch_tokens
        self.lengths = np.array([len(text.ids) for text in self.texts], dtype=int)
        self._weights = {
            name: torch.tensor(weights, dtype=torch.float32, device=self.model.device)
            for name, weights in value.weights.items()
        }
        self._embed = self.model.backbone.get_input_embeddings()
        self._void = self._void_embedding(baseline)
        rows = torch.arange(len(self.texts), device=self.model.device)
        values = [
            self._weighted_value(name, torch.tensor(logits.concepts[name], device=self.model.device), rows)
            for name in self.concepts
        ]
        self.values = torch.stack(values, dim=1).double().cpu().numpy()
        needed = np.ones(self.values.shape, dtype=bool)
        self.baseline_values = self.values_at(np.arange(len(self.texts)), np.zeros(len(self.texts)), needed)

    @property
    def changes(self) -> np.ndarray:
        """The effect of all words of each text on its value, [texts, concepts]."""
        return self.values - self.baseline_values

    def no_scores(self) -> np.ndarray:
        """Zero for each token, [texts, concepts, tokens of the longest text]."""
        return np.zeros((len(self.texts), len(self.concepts), max(self.lengths, default=1)))

    def no_steps(self) -> np.ndarray:
        """Zero for each text and concept, [texts, concepts]."""
        return np.zeros(self.values.shape, dtype=int)

    def batches(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of texts, given by their numbers: positions in `numbers`, longest texts first."""
        remaining = np.argsort(-self.lengths[numbers], kind="stable")
        while len(remaining):
            count = max(1, self.batch_tokens // max(1, self.lengths[numbers[remaining[0]]]))
            yield remaining[:count]
            remaining = remaining[count:]

    def ends(self, numbers: np.ndarray) -> Ends:
        """Both ends of the paths of a batch of texts."""
        ids, mask = pad([self.texts[i].ids for i in numbers], self.model.tokenizer.pad_token_id)
        kept = torch.ones_like(ids, dtype=torch.bool)
        for row, i in enumerate(numbers):
            kept[row, : self.lengths[i]] = torch.from_numpy(self.texts[i].word_indices < 0)
        ids, mask, kept = (values.to(self.model.device) for values in (ids, mask, kept))
        with torch.no_grad():
            end = self._embed(ids)
            return Ends(torch.where(kept.unsqueeze(-1), end, self._void), end, mask)

    def compute_values(
        self, tokens: Tensor, mask: Tensor, numbers: np.ndarray, concepts: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """The value of a batch for each concept, by default for all: [batch] each, all subnetworks in one call.

        Args:
            tokens, mask: arguments of `ConceptBottleneck.represent`
            numbers: the text that each row belongs to, [batch]
        """
        logits = self._passes.concept_logits(tokens, mask, concepts or self.concepts)
        texts = torch.as_tensor(numbers, device=mask.device)
        return {name: self._weighted_value(name, values, texts) for name, values in logits.items()}

    @torch.no_grad()
    def values_at(self, numbers: np.ndarray, at: np.ndarray, needed: np.ndarray) -> np.ndarray:
        """Values at points of paths, [points, concepts]; NaN where none is needed.

        Args:
            numbers: text of each point, [points]
            at: position of each point on the path of its text, from 0 to 1, [points]
            needed: [points, concepts]
        """
        values = np.full(needed.shape, np.nan)
        for names, rows in self.group_by_concepts(needed):
            for batch in self.batches(numbers[rows]):
                points = rows[batch]
                ends = self.ends(numbers[points])
                batch_values = self.compute_values(ends.between(at[points]), ends.mask, numbers[points], names)
                for name, concept_values in batch_values.items():
                    values[points, self.concepts.index(name)] = concept_values.double().cpu().numpy()
        return values

    def group_by_concepts(self, needed: np.ndarray) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """Groups of rows that need the same concepts, and these, so that no row is computed needlessly.

        Args:
            needed: [rows, concepts]
        """
        patterns, groups = np.unique(needed, axis=0, return_inverse=True)
        for group, pattern in enumerate(patterns):
            names = tuple(name for name, is_needed in zip(self.concepts, pattern, strict=True) if is_needed)
            if names:
                yield names, np.flatnonzero(groups == group)

    def _weighted_value(self, name: str, logits: Tensor, texts: Tensor) -> Tensor:
        return (activate(logits.float(), self.activation) * self._weights[name][texts]).sum(-1)

    def _void_embedding(self, baseline: str) -> Tensor:
        """The embedding that replaces the tokens of words in the baseline, [width]."""
        tokenizer = self.model.tokenizer
        if baseline not in BASELINES:
            raise ConfigError(unknown("baseline", baseline, BASELINES))
        token = {"pad": tokenizer.pad_token_id, "mask": tokenizer.mask_token_id, "zero": tokenizer.pad_token_id}[
            baseline
        ]
        if token is None:
            raise ConfigError("the tokenizer has no mask token, so the baseline cannot be `mask`; choices: pad, zero")
        with torch.no_grad():
            void = self._embed(torch.tensor([token], device=self.model.device))[0]
        return torch.zeros_like(void) if baseline == "zero" else void
