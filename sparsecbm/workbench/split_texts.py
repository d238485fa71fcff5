"""The texts of the splits with what a model predicts for them, and how a person finds one of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sparsecbm.annotate.disputes import is_disputed
from sparsecbm.base.files import read_parquet
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.source_table import BLANK, HUMAN
from sparsecbm.data.subgroups import MOST, PREFIX, read_subgroups
from sparsecbm.data.tables import read_split, split_names
from sparsecbm.promote.request_options import Options
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.questions import Row, ask_predictions
from sparsecbm.workbench.stale import StaleError

PAGE = 20  # texts on a page of the list
AT_ONCE = 50  # texts of one question: the readings of people come between two of them
UNSURE = 0.5  # a label below this probability is unsure
LABEL, CONCEPT, SOURCE = "label", "concept.", "source."  # columns of a split, or their beginnings
SLICE = "slice."  # before the name of a column by which texts can be filtered
COLUMNS = ("edit_type", "file", SOURCE)  # columns of a split, or their beginnings, beside the subgroups


@dataclass(frozen=True)
class TextFilter:
    """What a text must be like to be listed; empty fields do not matter.

    Attributes:
        search: words that occur in the text, in any case
        label: predicted label
        concept, state: a concept and its predicted state
        kind: wrong (label or a concept differs from what people say) | misread (a concept does) | unsure
            | disputed (sources of labels disagree)
        column, value: a column of `slice_columns`, and its value
        page: from 0
    """

    split: str = ""
    search: str = ""
    label: str = ""
    concept: str = ""
    state: str = ""
    kind: str = ""
    column: str = ""
    value: str = ""
    page: int = 0


class SplitTexts:
    """The splits of a workspace, and the predictions of the model that answers."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder, self._subgroups = workspace.annotated, workspace.subgroups
        self._annotations = workspace.annotations
        names = split_names(self._folder)
        self.names = (*(name for name in names if name != "train"), *(name for name in names if name == "train"))
        self._people: dict[str, dict[str, Any]] | None = None  # text -> variable -> state
        self._tasks: dict[tuple[str, str], asyncio.Task[pd.DataFrame]] = {}

    def first(self) -> str:
        """The text that a page begins with: the first one of the first split. Nothing is predicted for it."""
        return str(read_split(self._folder, self.names[0])["text"].iloc[0])

    def people_states(self, text: str) -> dict[str, str]:
        """What people say of a text of the data: concept -> state, and `label`; empty for any other text."""
        if self._people is None:
            self._people = {}
            for name in reversed(self.names):
                frame = read_split(self._folder, name)
                concepts = [column.removeprefix(CONCEPT) for column in frame if column.startswith(CONCEPT)]
                states = {LABEL: frame[LABEL], **{concept: human_states(frame, concept) for concept in concepts}}
                self._people |= dict(zip(frame["text"], pd.DataFrame(states).to_dict("records"), strict=True))
        return {name: state for name, state in self._people.get(text, {}).items() if isinstance(state, str)}

    async def predicted(self, batcher: Batcher, split: str) -> pd.DataFrame:
        """The texts of a split with `group`, `label`, `confidence`, `predicted.NAME`, `gold.NAME`, `slice.COLUMN`.

        `gold.NAME` is what people say.

        Raises:
            StaleError: the model was replaced meanwhile.
        """
        # A client that leaves does not end what others wait for.
        return await asyncio.shield(self._task(batcher, split))

    def prepare(self, batcher: Batcher) -> None:
        """Begin to predict the first split, so that its list is there when somebody asks."""
        self._task(batcher, self.names[0])

    def _task(self, batcher: Batcher, split: str) -> "asyncio.Task[pd.DataFrame]":
        """The predictions of a split, which all who ask wait for together; begun anew if they failed."""
        key = (batcher.current.version.sha256, split)
        task = self._tasks.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._tasks[key] = asyncio.create_task(self._predict(batcher, read_split(self._folder, split)))
        return task

    def disputed(self, split: str, concepts: Sequence[str]) -> pd.Series:
        """Whether the sources of labels disagree on each text; people may have labelled since the last call."""
        return is_disputed(read_split(self._folder, split), self._annotations, concepts)

    async def _predict(self, batcher: Batcher, frame: pd.DataFrame) -> pd.DataFrame:
        rows, versions = [], set()
        for start in range(0, len(frame), AT_ONCE):
            texts = frame["text"][start : start + AT_ONCE].tolist()
            answered = await batcher.ask(ask_predictions(texts, Options()))
            rows += answered.rows
            versions.add(answered.version.sha256)
        if len(versions) > 1:
            raise StaleError("the model was replaced while these texts were read; reload the page")
        predicted = prediction_frame(frame, rows)
        return predicted.assign(**{SLICE + name: values for name, values in self._slices(frame).items()})

    def _slices(self, frame: pd.DataFrame) -> dict[str, pd.Series]:
        path = self._subgroups
        columns = list(read_parquet(path).columns.drop("id")) if path.is_file() else []
        names = [name.removeprefix(PREFIX) for name in columns]
        return slice_columns(frame, read_subgroups(path, frame["id"], names))


def slice_columns(frame: pd.DataFrame, subgroups: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """The columns by which the texts of a split can be filtered: those with two values or more, and not too many.

    Args:
        frame: a split
        subgroups: column -> the subgroup of each row
    """
    own = {name: frame[name].fillna(BLANK) for name in frame if name.startswith(COLUMNS)}
    columns = {**own, **{name: values.set_axis(frame.index) for name, values in subgroups.items()}}
    return {name: values.astype(str) for name, values in columns.items() if 2 <= values.nunique() <= MOST}


def human_states(frame: pd.DataFrame, concept: str) -> pd.Series:
    """The states of a concept that people gave; empty where a machine gave one, or a policy filled a blank cell."""
    return frame[CONCEPT + concept].where(frame[SOURCE + concept] == HUMAN)


def prediction_frame(frame: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """The texts of a split with what a model predicts for them, in the form of `SplitTexts.predicted`."""
    concepts = list(rows[0]["concepts"]) if rows else []
    columns = {
        "text": frame["text"],
        "group": frame["group"],
        "label": [row["label"] for row in rows],
        "confidence": [row["confidence"] for row in rows],
        "gold.label": frame["label"],
        **{f"predicted.{name}": [row["concepts"][name]["state"] for row in rows] for name in concepts},
        **{f"gold.{name}": human_states(frame, name) for name in concepts if CONCEPT + name in frame},
    }
    return pd.DataFrame(columns)


def wrong(frame: pd.DataFrame) -> pd.Series:
    """Whether the label or a concept of each text differs from what people say."""
    return misread(frame) | (frame["gold.label"].notna() & (frame["gold.label"] != frame["label"]))


def misread(frame: pd.DataFrame) -> pd.Series:
    """Whether a concept of each text differs from what people say."""
    differs = pd.Series(False, frame.index)
    for column in frame.columns:
        name = column.removeprefix("predicted.")
        if name != column and f"gold.{name}" in frame:
            differs |= frame[f"gold.{name}"].notna() & (frame[f"gold.{name}"] != frame[column])
    return differs


def choose(frame: pd.DataFrame, wanted: TextFilter) -> pd.DataFrame:
    """The texts that a filter lets through, in the order of the table; of unsure texts, the least sure first.

    Args:
        frame: as from `SplitTexts.predicted`; with the column `disputed` for that kind
    """
    kept = pd.Series(True, frame.index)
    for word in wanted.search.split():
        kept &= frame["text"].str.contains(word, case=False, regex=False)
    if wanted.label:
        kept &= frame["label"] == wanted.label
    if wanted.concept and wanted.state:
        kept &= frame[f"predicted.{wanted.concept}"] == wanted.state
    if wanted.column:
        kept &= frame[SLICE + wanted.column] == wanted.value
    if wanted.kind == "wrong":
        kept &= wrong(frame)
    if wanted.kind == "misread":
        kept &= misread(frame)
    if wanted.kind == "disputed":
        kept &= frame["disputed"]
    if wanted.kind == "unsure":
        kept &= frame["confidence"] < UNSURE
        return frame[kept].sort_values("confidence", kind="stable")
    return frame[kept]
