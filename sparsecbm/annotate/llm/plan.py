"""What one call has to ask, and the labels that follow from the answers."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import label_table
from sparsecbm.annotate.llm.cache import AnswerCache
from sparsecbm.annotate.llm.cutting import cut
from sparsecbm.annotate.llm.examples import examples_for
from sparsecbm.annotate.llm.prompt import PROMPT_VERSION
from sparsecbm.annotate.llm.question import Example, Question
from sparsecbm.annotate.llm.votes import count_votes
from sparsecbm.base.numbers import six_decimals
from sparsecbm.base.params.annotate import Llm


@dataclass(frozen=True)
class Instructions:
    """What the model is told besides the concepts.

    Attributes:
        task: what the texts are, in one sentence; may be empty
        redact: replaces personal data in a text before it leaves this machine
        redaction: names what `redact` does, since answers depend on it
    """

    task: str = ""
    redact: Callable[[str], str] = str
    redaction: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The texts and concepts of one call.

    Attributes:
        model: name of the model
        texts: columns `key`, `text`, `group`; each key once
        shown: texts with their labels by people, shown in the prompt
    """

    settings: Llm
    model: str
    instructions: Instructions
    texts: pd.DataFrame
    concepts: tuple[ConceptDefinition, ...]
    shown: tuple[Example, ...]

    @property
    def hashes(self) -> dict[str, str]:
        """Concept -> hash of its definition."""
        return {concept.name: concept.hash for concept in self.concepts}

    def rows(self) -> Iterator[tuple[str, str, tuple[Example, ...]]]:
        """Key, text and examples of each text. No text sees an example of its own group."""
        for key, text, group in zip(self.texts["key"], self.texts["text"], self.texts["group"], strict=True):
            yield key, text, examples_for(self.shown, group)

    def questions(self, cache: AnswerCache) -> Iterator[Question]:
        """What the cache does not know: for each text and vote, the concepts that lack an answer.

        An empty text is not asked about.
        """
        hashes, prompts = self.hashes, self._prompts()
        for key, text, examples in self.rows():
            if not text.strip():
                continue
            prompt = prompts(examples)
            known = cache.cells(self.model, prompt, key)
            for vote in range(self.settings.votes):
                lacking = tuple(concept for concept in self.concepts if (vote, hashes[concept.name]) not in known)
                if lacking:
                    sent = cut(self.instructions.redact(text), self.settings.max_words)
                    yield Question(key, sent, vote, lacking, prompt, examples)

    def _prompts(self) -> Callable[[tuple[Example, ...]], str]:
        """The hash of the prompt with some examples; most texts share their examples, so each is computed once."""
        known: dict[tuple[str, ...], str] = {}

        def of(examples: tuple[Example, ...]) -> str:
            keys = tuple(example.key for example in examples)
            if keys not in known:
                known[keys] = prompt_hash(self.settings, self.instructions, examples)
            return known[keys]

        return of

    def labels(self, cache: AnswerCache, refused: AbstractSet[str], version: str | None) -> pd.DataFrame:
        """A row for each text and concept that all votes answered, or that never will be.

        Args:
            refused: keys of texts that the endpoint refuses
            version: what stands in the column `prompt`; None for the hash of the text's own prompt
        """
        rows, hashes, prompts = [], self.hashes, self._prompts()
        for key, text, examples in self.rows():
            prompt = prompts(examples)
            known = cache.cells(self.model, prompt, key)
            hopeless = not text.strip() or key in refused
            for concept in self.concepts:
                definition = hashes[concept.name]
                cells = [known.get((vote, definition)) for vote in range(self.settings.votes)]
                answered = [cell for cell in cells if cell is not None]
                if len(answered) < len(cells) and not hopeless:
                    continue
                verdict = count_votes(answered, tuple(concept.states))
                rows.append(
                    {
                        "key": key,
                        "concept": concept.name,
                        "state": verdict.state,
                        "confidence": six_decimals(verdict.confidence),
                        "probabilities": _plain(verdict.probabilities),
                        "definition": definition,
                        "model": self.model,
                        "prompt": version or prompt,
                    }
                )
        return label_table(rows)


def prompt_hash(settings: Llm, instructions: Instructions, examples: Sequence[Example]) -> str:
    """Hash of all that an answer depends on besides model, text, definitions and vote."""
    shown = [[example.key, sorted(example.states.items())] for example in examples]
    options = [settings.wire, settings.temperature, settings.max_words, settings.answer_tokens]
    return short_hash([PROMPT_VERSION, instructions.task, instructions.redaction, options, shown])


def short_hash(parts: object) -> str:
    """Twelve hex digits over a plain value."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "replace")).hexdigest()[:12]


def _plain(shares: dict[str, float] | None) -> str | None:
    if shares is None:
        return None
    return json.dumps({state: six_decimals(share) for state, share in shares.items()}, ensure_ascii=False)
