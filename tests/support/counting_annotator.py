"""An annotator without a model, for tests of what runs annotators."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import label_table


@dataclass
class CountingAnnotator:
    """Gives the first state, abstains on texts that end in "0.", and counts what it was asked; `fails` come first."""

    name: str = "counting"
    learns: bool = False
    in_parts: bool = True
    version: str = "v1"
    asked: Counter = field(default_factory=Counter)
    fails: list[Exception] = field(default_factory=list)

    def annotate(
        self, texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame
    ) -> pd.DataFrame:
        if self.fails:
            raise self.fails.pop(0)
        rows = []
        for text in texts.itertuples():
            for concept in concepts:
                self.asked[text.text, concept.name] += 1
                state = None if text.text.endswith("0.") else next(iter(concept.states))
                rows.append(
                    {"key": text.key, "concept": concept.name, "state": state, "definition": concept.hash}
                    | {"model": "m", "prompt": self.version}
                )
        return label_table(rows)
