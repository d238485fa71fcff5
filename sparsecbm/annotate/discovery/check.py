"""What is wrong with a file of concepts, and which concepts need new labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Literal

import numpy as np
import pandas as pd
import regex

from sparsecbm.annotate.clauses import split_texts
from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile
from sparsecbm.annotate.discovery.draft import is_template
from sparsecbm.annotate.discovery.training_texts import TrainingTexts
from sparsecbm.annotate.machine_labels import separate_outdated
from sparsecbm.annotate.sentence_encoder import Encode
from sparsecbm.base.concepts import RESERVED
from sparsecbm.data.blanks import UNKNOWN
from sparsecbm.data.lookalikes import normal_form, visible_form

ALIKE_CONCEPTS = 0.9  # cosine of the definitions of two concepts
ALIKE_STATES = 0.97  # cosine of the definitions of two states of one concept
NEAR = 0.3  # cosine from which a clause may speak of a concept
LEAST_COVERAGE = 0.02
KNOWN_WORDS = 0.3  # least share of the words of a definition that occur in the texts


@dataclass(frozen=True)
class Finding:
    """One fault of a concept; an `error` must be corrected, a `warning` should be read."""

    level: Literal["error", "warning"]
    concept: str
    message: str


@dataclass(frozen=True)
class CheckResult:
    """The check of a file of concepts.

    Attributes:
        coverage: concept -> about how large a share of the texts has a clause near its definitions
        outdated: concept -> annotator -> labels that were given for another definition
    """

    findings: tuple[Finding, ...]
    coverage: dict[str, float]
    outdated: dict[str, dict[str, int]]

    @property
    def has_errors(self) -> bool:
        return any(finding.level == "error" for finding in self.findings)


def check_concepts(
    file: ConceptFile,
    training: TrainingTexts,
    sample: Sequence[str],
    encode: Encode,
    labels: Mapping[str, pd.DataFrame],
) -> CheckResult:
    """Check concepts against each other, the texts, and the labels that machines gave.

    Args:
        sample: some of the texts, which are embedded to estimate the coverage of the concepts
        labels: annotator -> its table of labels
    """
    findings: list[Finding] = []
    if not file.concepts:
        findings.append(Finding("error", "", "the file has no concept; `sparsecbm concepts suggest` proposes some"))
    known = set(_words(" ".join(training.frame["text"])))
    texts = "\n".join(visible_form(text) for text in training.frame["text"])
    for definition in file.concepts:
        faults = [
            *_name_faults(definition.name, training),
            *_state_faults(definition),
            *_wording_faults(definition, known, texts),
        ]
        findings += [Finding(level, definition.name, message) for level, message in faults]
    vectors = {definition.name: encode(_sentences(definition)) for definition in file.concepts}
    findings += _alike(file, vectors)
    coverage = _coverage(vectors, sample, encode)
    for name, share in coverage.items():
        if share < LEAST_COVERAGE:
            message = f"hardly any text is near its definitions ({share:.1%}); is it spoken of at all?"
            findings.append(Finding("warning", name, message))
    return CheckResult(tuple(findings), coverage, outdated_labels(file, labels))


def outdated_labels(file: ConceptFile, labels: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, int]]:
    """Concept -> annotator -> number of its labels that were given for another definition; without zeros."""
    counts = {annotator: separate_outdated(table, file.hashes)[1] for annotator, table in labels.items()}
    by_concept = {name: {who: given[name] for who, given in counts.items() if name in given} for name in file.names}
    return {name: by_annotator for name, by_annotator in by_concept.items() if by_annotator}


_Fault = tuple[Literal["error", "warning"], str]


def _name_faults(name: str, training: TrainingTexts) -> Iterator[_Fault]:
    form = name.casefold()
    if form in RESERVED:
        yield "error", "metrics use this name for something else; rename the concept"
    elif form == training.label.casefold():
        yield "error", "it has the name of the label; rename the concept"
    elif form in {column.casefold() for column in training.columns}:
        yield (
            "error",
            "the table has a column of this name; rename the concept, or map the column in source.columns.concepts of "
            "params.yaml if it holds the states",
        )


def _state_faults(definition: ConceptDefinition) -> Iterator[_Fault]:
    forms: dict[str, str] = {}
    sentences: dict[str, str] = {}
    for state, sentence in definition.states.items():
        if (other := forms.setdefault(normal_form(state), state)) != state:
            yield "error", f"states {other!r} and {state!r} look alike; rename one"
        if (other := sentences.setdefault(visible_form(sentence), state)) != state:
            yield "error", f"states {other!r} and {state!r} have the same definition; say how they differ"


def _wording_faults(definition: ConceptDefinition, known: set[str], texts: str) -> Iterator[_Fault]:
    if not definition.description.strip():
        yield "warning", "it has no description; say in one sentence what it is about"
    templates = [state for state, sentence in definition.states.items() if is_template(sentence)]
    if templates not in ([], [UNKNOWN]):  # "says nothing about ..." is what a person would write as well
        yield "warning", f"{', '.join(templates)}: still the suggested template; say in your own words when it holds"
    words = _words(" ".join(_sentences(definition)))
    if words and sum(word in known for word in words) < KNOWN_WORDS * len(words):
        yield "warning", "few words of its definitions occur in the texts; are they in the language of the texts?"
    foreign = [text for text, _ in definition.examples if visible_form(text) not in texts]
    if foreign:
        yield (
            "warning",
            f"{len(foreign)} of its examples are in none of the training texts, which is right if you wrote them: "
            f"{shorten(foreign[0], 60, placeholder=' ...')!r}",
        )


def _alike(file: ConceptFile, vectors: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    """Concepts, and states of a concept, whose definitions say nearly the same."""
    means = {name: rows.mean(0) / np.linalg.norm(rows.mean(0)) for name, rows in vectors.items()}
    for i, first in enumerate(file.names):
        for second in file.names[i + 1 :]:
            if (cosine := float(means[first] @ means[second])) > ALIKE_CONCEPTS:
                message = (
                    f"its definitions are very like those of {second!r} (cosine {cosine:.2f}); are they one concept?"
                )
                yield Finding("warning", first, message)
    for definition in file.concepts:
        rows, states = vectors[definition.name][1:], list(definition.states)
        for i, first in enumerate(states):
            for j in range(i + 1, len(states)):
                if (cosine := float(rows[i] @ rows[j])) > ALIKE_STATES:
                    message = f"the definitions of {first!r} and {states[j]!r} are very alike (cosine {cosine:.2f})"
                    yield Finding("warning", definition.name, message)


def _coverage(vectors: Mapping[str, np.ndarray], sample: Sequence[str], encode: Encode) -> dict[str, float]:
    clauses, owners = split_texts(sample)
    embedded = encode(clauses)
    return {
        name: len(np.unique(owners[(embedded @ rows.T).max(1) >= NEAR])) / len(sample) for name, rows in vectors.items()
    }


def _sentences(definition: ConceptDefinition) -> list[str]:
    """What a definition says: name and description first, then a sentence for each state."""
    return [f"{definition.name}. {definition.description}".strip(), *definition.states.values()]


def _words(text: str) -> list[str]:
    return regex.findall(r"\p{L}{2,}", text.casefold())
