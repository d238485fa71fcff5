"""The texts that two versions read differently, those on which the challenger loses most first."""

from dataclasses import dataclass

import pandas as pd

LABEL = "label"


@dataclass(frozen=True)
class VariableChange:
    """The label or a concept that two versions read differently.

    Attributes:
        gold: what people say; None if nobody said anything
    """

    name: str
    champion: str
    challenger: str
    gold: str | None

    @property
    def worth(self) -> int:
        """1 if the challenger is right, -1 if the champion is, 0 if neither or nobody knows."""
        return (self.challenger == self.gold) - (self.champion == self.gold)


@dataclass(frozen=True)
class TextChange:
    """A text with all that differs."""

    text: str
    changes: tuple[VariableChange, ...]

    @property
    def worth(self) -> int:
        """Readings that the challenger wins, less those that it loses."""
        return sum(change.worth for change in self.changes)


def changed_texts(champion: pd.DataFrame, challenger: pd.DataFrame) -> list[TextChange]:
    """The texts whose label or concepts differ, the worst first; equal ones in the order of the table.

    Args:
        champion, challenger: the same texts, as `SplitTexts.predicted` gives them; concepts of both are compared
    """
    names = [LABEL, *(column[10:] for column in champion if column.startswith("predicted.") and column in challenger)]
    found = []
    for (_, old), (_, new) in zip(champion.iterrows(), challenger.iterrows(), strict=True):
        changes = []
        for name in names:
            column = LABEL if name == LABEL else f"predicted.{name}"
            if old[column] != new[column]:
                gold = old.get(f"gold.{name}")
                changes.append(VariableChange(name, old[column], new[column], gold if isinstance(gold, str) else None))
        if changes:
            found.append(TextChange(old["text"], tuple(changes)))
    return sorted(found, key=lambda change: change.worth)
