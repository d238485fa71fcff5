"""What the registry and this workspace know of promotions: the history, the ledgers, and the versions themselves."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import require
from sparsecbm.base.files import read_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_split
from sparsecbm.promote.history_record import HistoryRecord, load_history
from sparsecbm.promote.registry import CHAMPION, MODEL_TAG
from sparsecbm.promote.request_options import Options
from sparsecbm.promote.service import PromotionService
from sparsecbm.serve.batcher import PART, Batcher
from sparsecbm.serve.passes import QuestionPart, answer_parts
from sparsecbm.serve.questions import Row, ask_predictions
from sparsecbm.serve.snapshot import Snapshot
from sparsecbm.track.store import database, translated_errors
from sparsecbm.workbench.split_texts import SplitTexts, prediction_frame


@dataclass(frozen=True)
class Versions:
    """The numbers of all registered versions, and which of them is the champion."""

    numbers: tuple[int, ...]
    champion: int | None

    @property
    def challengers(self) -> tuple[int, ...]:
        """All but the champion, the newest first."""
        return tuple(number for number in reversed(self.numbers) if number != self.champion)


class Promotions:
    """Reads the registry of a workspace; nothing is written to it.

    The predictions of a version are kept, and its model is not.
    """

    def __init__(self, workspace: Workspace, texts: SplitTexts) -> None:
        self._workspace, self._texts = workspace, texts
        self._lock = asyncio.Lock()
        self._predicted: dict[tuple[str, str], pd.DataFrame] = {}

    def record(self) -> HistoryRecord:
        """The history, verified.

        Raises:
            ConfigError: there is no registry, or MLflow is not installed.
            SparseCBMError: the registry does not answer, or has no such model.
        """
        return load_history(self._service())

    def versions(self) -> Versions:
        """The registered versions.

        Raises:
            SparseCBMError: as `record`.
        """
        service = self._service()
        with translated_errors(service.store.uri):
            return Versions(tuple(service.registry.version_numbers()), service.registry.alias(CHAMPION))

    def ledgers(self) -> list[dict[str, Any]]:
        """The ledgers that this workspace wrote, as `ledger.json` holds them, the newest version first."""
        files = (self._workspace.state / "promotion").glob("version-*/ledger.json")
        return sorted(map(read_json, files), key=lambda ledger: -ledger["challenger"])

    async def predicted(self, number: int, split: str, batcher: Batcher, max_tokens: int) -> pd.DataFrame:
        """What a version predicts for a split, in the form of `SplitTexts.predicted`.

        The model that answers is asked if the version is that model. Else the version is loaded, and let go again.

        Args:
            max_tokens: of one pass

        Raises:
            SparseCBMError: the version cannot be loaded.
        """
        sha256 = await asyncio.to_thread(self._sha256, number)
        if sha256 == batcher.current.version.sha256:
            return await self._texts.predicted(batcher, split)
        async with self._lock:
            if (sha256, split) not in self._predicted:
                predict = asyncio.to_thread(self._predict, number, split, max_tokens)
                self._predicted[sha256, split] = await predict
        return self._predicted[sha256, split]

    def _sha256(self, number: int) -> str:
        service = self._service()
        with translated_errors(service.store.uri):
            return service.registry.version(number).tags.get(MODEL_TAG, f"version {number}")

    def _predict(self, number: int, split: str, max_tokens: int) -> pd.DataFrame:
        from sparsecbm.serve.alias import Alias  # needs MLflow

        snapshot = Alias(self._service().registry, CHAMPION).load(number)
        frame = read_split(self._workspace.annotated, split)
        return prediction_frame(frame, _rows(snapshot, frame["text"].tolist(), max_tokens))

    def _service(self) -> PromotionService:
        require("mlflow")
        if not os.environ.get("MLFLOW_TRACKING_URI") and not os.path.isfile(database(self._workspace)):
            raise ConfigError("no model is registered here yet; `sparsecbm promote` registers and judges one")
        return PromotionService.open(self._workspace, load_params(self._workspace.params))


def _rows(snapshot: Snapshot, texts: Sequence[str], max_tokens: int) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(texts), PART):
        part = tuple(texts[start : start + PART])
        (result,) = answer_parts(snapshot, [QuestionPart(ask_predictions(part, Options()), part)], max_tokens)
        if isinstance(result, Exception):
            raise result
        rows += result
    return rows
