"""What annotation must give before a model can be trained: two states of each concept among the training rows."""

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError


def require_states(training: pd.DataFrame, concept_set: ConceptSet) -> None:
    """Insist on two states of each concept.

    Args:
        training: annotated rows of the split `train`

    Raises:
        DataError: a concept has no state or one; the message counts, and names the ways on.
    """
    lines = []
    for concept in concept_set:
        states = training[f"concept.{concept.name}"].dropna()
        if states.nunique() < 2:
            found = f"{len(states)} of {len(training)} training rows have a state"
            found += f", all of them {states.iloc[0]!r}" if len(states) else ""
            lines.append(
                f"concept {concept.name!r}: {found}; it needs two. `sparsecbm annotate review --concept "
                f"{concept.name}` labels texts by hand; a machine in annotate.annotators and `sparsecbm annotate` "
                "label the rest"
            )
    if lines:
        lines.append("`--set model.mode=standard` trains the black box, which needs no concepts")
        raise DataError("\n".join(lines))
