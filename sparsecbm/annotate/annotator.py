"""The interface of annotators, and the annotator that a configuration names."""

from typing import Protocol

import pandas as pd

from sparsecbm.annotate.human import HumanAnnotator
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.params import Annotate


class Annotator(Protocol):
    """Gives each text a state for each concept, with the state's source and a confidence."""

    name: str

    def annotate(self, frame: pd.DataFrame, concept_set: ConceptSet) -> pd.DataFrame:
        """The same rows in the same order, with `concept.*`, `source.*` and `confidence.*` filled."""
        ...


def make_annotator(params: Annotate) -> Annotator:
    """The annotator that `params.yaml` names."""
    return HumanAnnotator(params.blank)
