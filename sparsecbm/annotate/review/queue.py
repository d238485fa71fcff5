"""The review queue: what a person labels next. The terminal and the workbench both use it.

Decisions go to `data/annotations/human.jsonl` one by one, and nothing else is stored. So a review can stop at any
moment, even by a kill, and goes on where it was. Several people may label at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sparsecbm.annotate.human_labels import (
    HUMAN_FILE,
    Decision,
    append_decisions,
    current_labels,
    disputed_cells,
    read_decisions,
    standing_decisions,
    time_now,
)
from sparsecbm.annotate.labelled_texts import LabelledTexts, load_labelled_texts
from sparsecbm.annotate.review.leases import Leases
from sparsecbm.annotate.review.machine_opinion import label_suspicion, machine_opinion, source_probabilities
from sparsecbm.annotate.review.order import order_at_random, order_by_turns, order_by_worth
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace

LEARNING_SPLIT = "train"  # in every other split cells are drawn at random, since scores are measured there
LEASES = "review-leases.json"
TAKEN_BACK, DISPUTED = "taken back", "people disagree, and you have not said anything yet"
LOOK_AHEAD = 100  # cells

Cell = tuple[str, str]  # key of the text, name of the concept


@dataclass(frozen=True)
class Question:
    """A text, and the concepts of it that somebody should label.

    Attributes:
        key, text: of the text
        concepts: names, most worth first
        reason: why this text comes now
    """

    key: str
    text: str
    concepts: tuple[str, ...]
    reason: str


class ReviewQueue:
    """The cells of one split in the order of their worth, for one author.

    The order comes from the machine labels at the start. Run `sparsecbm annotate` again, and open a new queue, to have
    it follow the new labels.

    Attributes:
        texts: the texts of the split
        opinions: concept -> what machines say about it, rows as in `texts.frame`
        at_random: whether cells are drawn at random
        decisions: all decisions in the workspace
        session: the author's decisions since the queue was opened that are not taken back
    """

    def __init__(self, texts: LabelledTexts, path: Path, leases: Leases, author: str, seed: int) -> None:
        self.texts, self.path, self.leases, self.author, self.seed = texts, path, leases, author, seed
        keys = texts.frame["key"].tolist()
        self.opinions = {c.name: machine_opinion(texts.machines, keys, c.concept) for c in texts.concepts}
        self.at_random = set(texts.frame["split"]) != {LEARNING_SPLIT}
        self.decisions: list[Decision] = []
        self.session: list[Decision] = []
        self._version: tuple[int, int] | None = None
        self.refresh()
        self._skipped: set[Cell] = set()
        self._looks_at_start = self._looks()
        self._text_of = dict(zip(keys, texts.frame["text"], strict=True))
        order = self._ordered()
        self._order = list(zip(order["key"], order["concept"], strict=True))
        self._reasons = dict(zip(self._order, order["reason"], strict=True))
        self._taken_back: list[Cell] = []  # they come next

    @classmethod
    def open(cls, workspace: Workspace, split: str, author: str, concepts: Sequence[str] = ()) -> "ReviewQueue":
        """Open the queue of a workspace.

        Args:
            concepts: names of the concepts to label; all by default

        Raises:
            DataError: there are no texts, or there is no such split.
            ConfigError: there is no such concept.
        """
        texts = load_labelled_texts(workspace, [split])
        if concepts:
            texts = LabelledTexts(texts.frame, tuple(texts.concept(name) for name in concepts), texts.machines)
        seed = load_params(workspace.params).seed
        return cls(texts, workspace.annotations / HUMAN_FILE, Leases(workspace.state / LEASES), author, seed)

    def next(self) -> Question | None:
        """The next text, held for this author; None if nothing is left to label.

        Its other cells come along if they are among the next `LOOK_AHEAD`, since the text is read anyway. Cells that
        somebody labelled meanwhile are left out, and so are texts that somebody else holds.
        """
        left = self.left()
        held = set()
        for position, (key, concept) in enumerate(left):
            if key not in held and self.leases.take(key, self.author):
                ahead = left[position : position + LOOK_AHEAD]
                concepts = tuple(name for other, name in ahead if other == key)
                return Question(key, self._text_of[key], concepts, self._reason((key, concept)))
            held.add(key)
        return None

    def left(self) -> list[Cell]:
        """The cells that are left to label, in order, those that others hold included.

        Cells on which others disagree come early, to anybody who did not label them yet.
        """
        self.refresh()
        looks, disputes = self._looks(), self._disputes()
        others = [cell for cell, authors in disputes.items() if self.author not in authors]
        cells = dict.fromkeys((*reversed(self._taken_back), *others, *self._order))
        return [
            cell
            for cell in cells
            if cell not in self._skipped and (cell in others or looks[cell] <= self._looks_at_start[cell])
        ]

    def waiting(self) -> list[Cell]:
        """The cells that the author labelled otherwise than others, so that somebody else has to decide."""
        self.refresh()
        return [cell for cell, authors in self._disputes().items() if self.author in authors]

    def machine_states(self, key: str, concept: str) -> dict[str, dict[str, float]]:
        """What each machine says about a cell: annotator -> state -> probability; no state where it abstained."""
        definition = self.texts.concept(concept).concept
        said = {}
        for source, table in self.texts.machines.items():
            row = source_probabilities(table, [key], definition)[0]
            said[source] = {} if np.isnan(row[0]) else dict(zip(definition.states, row.tolist(), strict=True))
        return said

    def decide(self, key: str, concept: str, state: str | None) -> Decision:
        """Store a decision; it is on disk when the function returns.

        Args:
            state: None if the text cannot be decided

        Raises:
            ConfigError: an unknown concept or state.
            DataError: an unknown text, or the decision cannot be written.
        """
        return self.decide_text(key, {concept: state})[0]

    def decide_text(self, key: str, states: Mapping[str, str | None]) -> list[Decision]:
        """Store decisions on several concepts of a text, all or none.

        Args:
            states: concept -> its state, None if the text cannot be decided

        Raises:
            ConfigError, DataError: as `check`, or the decisions cannot be written.
        """
        self.check(key, states)
        at = time_now()
        decisions = [Decision(key, concept, state, self.author, at) for concept, state in states.items()]
        append_decisions(self.path, decisions)
        self.refresh()
        self.session += decisions
        return decisions

    def check(self, key: str, states: Mapping[str, str | None]) -> None:
        """Check decisions on a text; nothing is stored.

        Raises:
            ConfigError: an unknown concept or state.
            DataError: an unknown text.
        """
        for concept, state in states.items():
            definition = self.texts.concept(concept).concept
            if state is not None:
                definition.index(state)
        if key not in self._text_of:
            raise DataError(f"no text of this queue has the key {key!r}")

    def decided(self, key: str) -> list[Decision]:
        """What people say of a text now: the decisions on the concepts of this queue that stand."""
        self.refresh()
        concepts = {concept.name for concept in self.texts.concepts}
        standing = standing_decisions(self.decisions)
        return [decision for decision in standing if decision.key == key and decision.concept in concepts]

    def skip(self, key: str, concepts: Sequence[str]) -> None:
        """Leave cells out until the queue is opened again. Nothing is stored."""
        self._skipped |= {(key, concept) for concept in concepts}

    def undo(self) -> Decision | None:
        """Take back the author's latest decision on these texts and concepts, from an earlier session, too.

        Returns:
            the decision that was taken back; None if there is none
        """
        self.refresh()
        concepts = {concept.name for concept in self.texts.concepts}
        mine = [
            decision
            for decision in standing_decisions(self.decisions)
            if decision.author == self.author and decision.key in self._text_of and decision.concept in concepts
        ]
        if not mine:
            return None
        latest = mine[-1]
        append_decisions(self.path, [Decision(latest.key, latest.concept, None, self.author, time_now(), "undo")])
        self.refresh()
        if latest in self.session:
            self.session.remove(latest)
        cell = (latest.key, latest.concept)
        self._looks_at_start[cell] = self._looks()[cell]
        self._taken_back = [*(other for other in self._taken_back if other != cell), cell]
        self._skipped.discard(cell)
        return latest

    def close(self) -> None:
        """Give back the text that the author holds."""
        self.leases.release(self.author)

    def labels(self) -> pd.DataFrame:
        """The states that people gave, rows as in `texts.frame`, a column for each concept; null without one.

        Decisions in the workspace come before the source.
        """
        self.refresh()
        people = current_labels(self.decisions).pivot(index="key", columns="concept", values="state")
        return pd.DataFrame({name: self._states(name, people).to_numpy() for name in self.opinions})

    def refresh(self) -> None:
        """Read what others decided meanwhile."""
        try:
            status = self.path.stat()
            version = (status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            version = (0, 0)
        if version != self._version:
            self.decisions, self._version = read_decisions(self.path), version

    def _disputes(self) -> dict[Cell, tuple[str, ...]]:
        concepts = {concept.name for concept in self.texts.concepts}
        disputes = disputed_cells(self.decisions)
        return {cell: authors for cell, authors in disputes.items() if cell[0] in self._text_of and cell[1] in concepts}

    def _reason(self, cell: Cell) -> str:
        return DISPUTED if cell in self._disputes() else self._reasons.get(cell, TAKEN_BACK)

    def _looks(self) -> Counter[Cell]:
        """How often people labelled each cell, less what was taken back."""
        looks: Counter[Cell] = Counter()
        for decision in self.decisions:
            looks[decision.key, decision.concept] += 1 if decision.action == "label" else -1
        return looks

    def _states(self, concept: str, people: pd.DataFrame) -> pd.Series:
        keys, source = self.texts.frame["key"], self.texts.frame[f"concept.{concept}"]
        return keys.map(people[concept]).fillna(source) if concept in people else source

    def _cells(self) -> pd.DataFrame:
        """The table of cells that `order` describes."""
        frame, people = self.texts.frame, self.labels()
        parts = []
        for concept in self.texts.concepts:
            opinion, source = self.opinions[concept.name], frame[f"concept.{concept.name}"].notna()
            looks = pd.Series([self._looks_at_start[key, concept.name] for key in frame["key"]], dtype=int)
            suspicion = label_suspicion(opinion.probabilities, people[concept.name], concept.concept)
            parts.append(
                frame[["key", "group", "label"]].assign(
                    concept=concept.name,
                    margin=opinion.margin,
                    disagreement=opinion.disagreement,
                    # People look at most twice at a cell: the second time because machines contradict them.
                    suspicion=np.where(looks + source <= 1, suspicion, np.nan),
                    labelled=source | (looks > 0),
                )
            )
        return pd.concat(parts, ignore_index=True)

    def _ordered(self) -> pd.DataFrame:
        cells = self._cells()
        if self.at_random:
            return order_at_random(cells, self.seed)
        if cells["margin"].notna().any():
            return order_by_worth(cells)
        return order_by_turns(cells, self.seed)
