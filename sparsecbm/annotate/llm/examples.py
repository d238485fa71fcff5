"""Which texts that people labelled are shown in the prompt."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.llm.question import Example

_LONGEST = 1000  # characters; a long example costs tokens in every request


def choose_examples(
    texts: pd.DataFrame, concepts: Sequence[ConceptDefinition], people: pd.DataFrame, number: int
) -> tuple[Example, ...]:
    """Texts that people labelled for all concepts, chosen so that each state is shown about equally often.

    The choice depends on the texts and their labels, not on the order of the rows. At most one text of a group is
    taken, so that its other texts cost one example when they are labelled themselves.

    Args:
        texts: columns `key`, `text`, `group`
        people: columns `key`, `concept`, `state`
    """
    wanted = {concept.name: concept.states for concept in concepts}
    labels: dict[str, dict[str, str]] = {}
    for key, name, state in zip(people["key"], people["concept"], people["state"], strict=True):
        if name in wanted and state in wanted[name]:
            labels.setdefault(key, {})[name] = state
    candidates = {
        key: Example(key, str(group), text, labels[key])
        for key, text, group in zip(texts["key"], texts["text"], texts["group"], strict=True)
        if len(labels.get(key, ())) == len(wanted) and 0 < len(text.strip()) <= _LONGEST
    }
    chosen: list[Example] = []
    shown: Counter[tuple[str, str]] = Counter()
    while candidates and len(chosen) < number:
        best = min(candidates, key=lambda key: (sum(shown[cell] for cell in candidates[key].states.items()), key))
        example = candidates[best]
        chosen.append(example)
        shown.update(example.states.items())
        candidates = {key: other for key, other in candidates.items() if other.group != example.group}
    return tuple(chosen)


def examples_for(chosen: Sequence[Example], group: str) -> tuple[Example, ...]:
    """The examples that a text of a group may see: those of other groups, or it would see its own labels."""
    return tuple(example for example in chosen if example.group != group)
