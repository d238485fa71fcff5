"""The promotion service, for the command line and the flow: register, judge, promote, roll back."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import Params, load_run_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.promote import transaction
from sparsecbm.promote.artifacts import EXAMPLE, fetched_version, predict_in_subprocess
from sparsecbm.promote.history import Entry
from sparsecbm.promote.intent import Decision
from sparsecbm.promote.ledger import PROMOTE, Ledger
from sparsecbm.promote.ledger_page import ledger_page
from sparsecbm.promote.lock import promotion_lock
from sparsecbm.promote.model_name import model_name
from sparsecbm.promote.registry import CHAMPION, MODEL_TAG, REASONS_TAG, VERDICT_TAG, Registry
from sparsecbm.promote.transaction import UnchangedError
from sparsecbm.track.store import Store, open_store, translated_errors

if TYPE_CHECKING:
    from sparsecbm.intervene.patches.patch import MaskPatch  # imports torch

REASONS_LENGTH = 4000  # of a tag


@dataclass(frozen=True)
class PromotionService:
    """A workspace, its parameters, and the registry of its models."""

    workspace: Workspace
    params: Params
    store: Store
    registry: Registry

    @classmethod
    def open(cls, workspace: Workspace, params: Params) -> "PromotionService":
        """Open the tracking store and its registry.

        The gates are those of `params`. The kind of model is that of the last run, which may have had other parameters.

        Raises:
            TrackingUnavailableError: the store does not answer.
        """
        params = params.model_copy(update={"model": load_run_params(workspace).model})
        store = open_store(workspace, params.track.experiment)
        return cls(
            workspace,
            params,
            store,
            Registry(store.client, model_name(params), workspace.state / "promotion" / "anchors"),
        )

    def gate(self, number: int | None = None, patches: "Sequence[MaskPatch]" = ()) -> Ledger:
        """Judge a version and publish the ledger; without a number, register this workspace's model first.

        Args:
            patches: to be permanent in the model that is registered

        Raises:
            UnchangedError: the version is the champion, or has the champion's bytes. A promotion of the champion that
                was interrupted is completed first.
            WorkspaceBusyError, PromotionError: another promotion is in progress, or the champion does not answer.
            SparseCBMError: as `register` and `judge_version`.
        """
        with translated_errors(self.store.uri):
            return self._gate(number, patches)

    def _gate(self, number: int | None, patches: "Sequence[MaskPatch]") -> Ledger:
        # These import torch, which `status` and `rollback` do not need.
        from sparsecbm.promote.judging import judge_version
        from sparsecbm.promote.register import register

        if number is None:
            number = register(self.workspace, self.params, self.store, self.registry, patches).number
        version, champion = self.registry.version(number), self.registry.alias(CHAMPION)
        if champion == number:
            self._settle()
            raise UnchangedError(f"version {number} is the champion")
        sha256 = version.tags.get(MODEL_TAG)
        if champion is not None and sha256 and self.registry.version(champion).tags.get(MODEL_TAG) == sha256:
            raise UnchangedError(f"version {number} has the same bytes as version {champion}, the champion")
        ledger = judge_version(self.workspace, self.params, self.registry, number)
        self._publish(ledger, version.run_id)
        return ledger

    def promote(self, ledger: Ledger, force: str = "") -> Entry:
        """Make the judged version the champion if the verdict says so; else refuse it.

        A refusal is an entry of the history, too; check the action of the returned entry.

        Args:
            force: the reason for a promotion against the verdict; empty to follow the verdict

        Raises:
            WorkspaceBusyError: another promotion is in progress.
            PromotionError, RegistryError, HistoryBrokenError: as `transaction.promote`.
        """
        reason = "; ".join([*([f"forced: {force}"] if force else []), *ledger.reasons])[:REASONS_LENGTH]
        decision = Decision(ledger.verdict, reason, bool(force), ledger.sha256)
        with translated_errors(self.store.uri), self._exclusive():
            if ledger.verdict != PROMOTE and not force:
                return transaction.refuse(self.registry, ledger.challenger, decision)
            return transaction.promote(self.registry, ledger.challenger, ledger.champion, decision, self.smoke)

    def rollback(self, reason: str) -> Entry:
        """Return to the previous champion.

        Raises:
            WorkspaceBusyError, PromotionError, RegistryError, HistoryBrokenError: as `transaction.rollback`.
        """
        with translated_errors(self.store.uri), self._exclusive():
            return transaction.rollback(self.registry, reason, self.smoke)

    def restart_history(self, reason: str) -> Entry:
        """Accept a history that is not valid, and verify it from here on.

        Raises:
            WorkspaceBusyError, ConfigError, PromotionError, RegistryError: as `transaction.restart`.
        """
        with translated_errors(self.store.uri), self._exclusive():
            return transaction.restart(self.registry, reason, self.smoke)

    def smoke(self) -> None:
        """Load the champion by its alias, as any user would, and let it predict.

        Raises:
            ModelError: it does not load, or its outputs are not probabilities.
        """
        number = self.registry.alias(CHAMPION)
        with fetched_version(self.registry, number) as folder:
            texts, seconds = [EXAMPLE, ""], self.params.promote.seconds
            predictions = predict_in_subprocess(folder, texts, self.params.threads, seconds)
        for name, variable in {"label": predictions.label, **predictions.concepts}.items():
            for row in variable["probabilities"]:
                if not math.isclose(sum(row), 1, abs_tol=1e-3):
                    raise ModelError(f"the probabilities of {name!r} in version {number} sum to {sum(row)}, not to 1")

    def _publish(self, ledger: Ledger, run_id: str) -> None:
        """Write the ledger as JSON, Markdown and HTML, here and to the run; tag run and version with the verdict."""
        folder = ledger_folder(self.workspace, ledger.challenger)
        write_json(folder / "ledger.json", ledger.to_dict())
        write_text(folder / "ledger.md", ledger.to_markdown())
        write_text(self.workspace.promotion_page, ledger_page(ledger))
        self.store.client.log_artifacts(run_id, str(folder), f"promotion/version-{ledger.challenger}")
        self.store.client.log_artifact(run_id, str(self.workspace.promotion_page), "reports")
        reasons = "; ".join(ledger.reasons)[:REASONS_LENGTH]
        self.registry.tag_version(ledger.challenger, {VERDICT_TAG: ledger.verdict, REASONS_TAG: reasons})
        self.store.client.set_tag(run_id, VERDICT_TAG, ledger.verdict)

    def _settle(self) -> None:
        """End the promotion of the champion if it was interrupted, since nobody promotes a champion once more."""
        if transaction.has_intent(self.registry):
            with self._exclusive():
                transaction.settle(self.registry, self.smoke)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """A lock for one promotion at a time, however the registry is addressed."""
        with promotion_lock(self.store.uri, self.registry.name, self.registry.identity()):
            yield


def ledger_folder(workspace: Workspace, number: int) -> Path:
    """The folder of a version's ledger."""
    return workspace.state / "promotion" / f"version-{number}"
