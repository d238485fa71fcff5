"""The texts of the splits with what a model predicts for them, and how a person finds one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split, split_names
from sparsecbm.promote.request_options import Options
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.questions import Row, ask_predictions

PAGE = 20  # texts on a page of the list
AT_ONCE = 500  # texts of one question, which has to be answered in time
UNSURE = 0.5  # a label below this probability is unsure


@dataclass(frozen=True)
class TextFilter:
    """What a text must be like to be listed; empty fields do not matter.

    Attributes:
        search: words that occur in the text, in any case
        label: predicted label
        concept, state: a concept and its predicted state
        kind: wrong (label or a concept differs from what people say) | unsure
        page: from 0
    """

    split: str = ""
    search: str = ""
    label: str = ""
    concept: str = ""
    state: str = ""
    kind: str = ""
    page: int = 0


class SplitTexts:
    """The splits of a workspace, and the predictions of the model that answers."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.annotated
        names = split_names(self._folder)
        self.names = (*(name for name in names if name != "train"), *(name for name in names if name == "train"))
        self._predicted: dict[tuple[str, str], pd.DataFrame] = {}

    async def predicted(self, batcher: Batcher, split: str) -> pd.DataFrame:
        """The texts of a split: `text`, `group`, `label`, `confidence`, `predicted.NAME`, by people `gold.NAME`."""
        key = (batcher.current.version.sha256, split)
        if key not in self._predicted:
            self._predicted[key] = await self._predict(batcher, read_split(self._folder, split))
        return self._predicted[key]

    async def _predict(self, batcher: Batcher, frame: pd.DataFrame) -> pd.DataFrame:
        rows = []
        for start in range(0, len(frame), AT_ONCE):
            texts = frame["text"][start : start + AT_ONCE].tolist()
            rows += (await batcher.ask(ask_predictions(texts, Options()))).rows
        return prediction_frame(frame, rows)


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
        **{f"gold.{name}": frame[f"concept.{name}"] for name in concepts if f"concept.{name}" in frame},
    }
    return pd.DataFrame(columns)


def wrong(frame: pd.DataFrame) -> pd.Series:
    """Whether the label or a concept of each text differs from what people say."""
    differs = frame["gold.label"].notna() & (frame["gold.label"] != frame["label"])
    for column in frame.columns:
        name = column.removeprefix("predicted.")
        if name != column and f"gold.{name}" in frame:
            differs |= frame[f"gold.{name}"].notna() & (frame[f"gold.{name}"] != frame[column])
    return differs


def choose(frame: pd.DataFrame, wanted: TextFilter) -> pd.DataFrame:
    """The texts that a filter lets through, in the order of the table; of unsure texts, the least sure first."""
    kept = pd.Series(True, frame.index)
    for word in wanted.search.split():
        kept &= frame["text"].str.contains(word, case=False, regex=False)
    if wanted.label:
        kept &= frame["label"] == wanted.label
    if wanted.concept and wanted.state:
        kept &= frame[f"predicted.{wanted.concept}"] == wanted.state
    if wanted.kind == "wrong":
        kept &= wrong(frame)
    if wanted.kind == "unsure":
        kept &= frame["confidence"] < UNSURE
        return frame[kept].sort_values("confidence", kind="stable")
    return frame[kept]
