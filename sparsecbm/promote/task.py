"""Whether two versions have the same task; versions with different tasks do not compete."""

from sparsecbm.promote.artifacts import VersionPredictions
from sparsecbm.promote.registry import Registry, RegistryError

SHOWN = 6  # states or concepts in a message


def check_same_task(
    registry: Registry, champion: int, challenger: VersionPredictions, reference: VersionPredictions
) -> None:
    """Check that challenger and champion can be compared at all.

    The tasks differ if no concept is in both, or if both the labels' states and the concepts differ. Smaller changes,
    such as one more concept, are rows of the ledger that are not judged.

    Raises:
        RegistryError: the champion has another task.
    """
    labels = [set(version.label["states"]) for version in (challenger, reference)]
    concepts = [set(version.concepts) for version in (challenger, reference)]
    disjoint = all(concepts) and not concepts[0] & concepts[1]
    if disjoint or (labels[0] != labels[1] and (concepts[0] != concepts[1] or not concepts[0])):
        theirs, ours = (
            f"{_few(states)} from {_few(names)}" for states, names in zip(labels[::-1], concepts[::-1], strict=True)
        )
        raise RegistryError(
            f"version {champion}, the champion of model {registry.name!r}, has another task: it predicts the label "
            f"{theirs}, and this model predicts {ours}. Set promote.model in params.yaml to another name"
        )


def _few(names: set[str]) -> str:
    shown = sorted(names)[:SHOWN]
    return ", ".join(shown + ["..."] * (len(names) > SHOWN)) or "none"
