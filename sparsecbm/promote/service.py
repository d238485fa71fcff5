"""The service as a whole, for the command line and the flow: register, judge, promote, go back."""

import math
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir

from sparsecbm.base.errors import ModelError
from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.lock import only_one
from sparsecbm.promote import transaction
from sparsecbm.promote.artifacts import EXAMPLE, fetched, predict_in_subprocess
from sparsecbm.promote.history import Entry
from sparsecbm.promote.ledger import PROMOTE, Ledger
from sparsecbm.promote.ledger_page import ledger_page
from sparsecbm.promote.registry import CHAMPION, MODEL_TAG, REASONS_TAG, VERDICT_TAG, Registry
from sparsecbm.promote.transaction import UnchangedError, Why
from sparsecbm.track.store import Store, answering, open_store

REASONS_LENGTH = 4000  # of a tag


@dataclass(frozen=True)
class PromotionService:
    """A workspace, its parameters, and the registry that its models go to."""

    workspace: Workspace
    params: Params
    store: Store
    registry: Registry

    @classmethod
    def open(cls, workspace: Workspace, params: Params) -> "PromotionService":
        """Open the tracking store and the registry in it.

        Raises:
            TrackingUnavailableError: it does not answer.
        """
        store = open_store(workspace, params.track.experiment)
        return cls(workspace, params, store, Registry(store.client, params.promote.model))

    def gate(self, number: int | None = None) -> Ledger:
        """Register this workspace's model, unless a version is named, judge it, and publish the ledger.

        Raises:
            UnchangedError: it is the champion, or has the champion's bytes.
            SparseCBMError: as `register` and `judge_version`.
        """
        with answering(self.store.uri):
            return self._gate(number)

    def _gate(self, number: int | None) -> Ledger:
        # Torch comes with these, and `status` and `rollback` need none.
        from sparsecbm.promote.judging import judge_version
        from sparsecbm.promote.register import register

        if number is None:
            number = register(self.workspace, self.params, self.store, self.registry).number
        version, champion = self.registry.version(number), self.registry.alias(CHAMPION)
        same = champion is not None and self.registry.version(champion).tags.get(MODEL_TAG) == version.tags[MODEL_TAG]
        if champion == number or same:
            of = "is" if champion == number else f"has the same bytes as version {champion},"
            raise UnchangedError(f"version {number} {of} the champion")
        ledger = judge_version(self.workspace, self.params, self.registry, number)
        self._publish(ledger, version.run_id)
        return ledger

    def promote(self, ledger: Ledger, force: str = "") -> Entry:
        """Make the judged version the champion if the verdict says so, or if `force` gives a reason; else refuse.

        A refusal is put on record as well; look at the entry's action.

        Raises:
            WorkspaceBusyError: another promotion is under way.
            PromotionError, RegistryError, HistoryBrokenError: as `transaction.promote`.
        """
        reason = "; ".join([*([f"forced: {force}"] if force else []), *ledger.reasons])[:REASONS_LENGTH]
        why = Why(ledger.verdict, reason, bool(force), ledger.sha256)
        with answering(self.store.uri), self._alone():
            if ledger.verdict != PROMOTE and not force:
                return transaction.refuse(self.registry, ledger.challenger, why)
            return transaction.promote(self.registry, ledger.challenger, ledger.champion, why, self.smoke)

    def rollback(self, reason: str) -> Entry:
        """Go back to the champion before.

        Raises:
            WorkspaceBusyError, PromotionError, RegistryError, HistoryBrokenError: as `transaction.rollback`.
        """
        with answering(self.store.uri), self._alone():
            return transaction.rollback(self.registry, reason, self.smoke)

    def smoke(self) -> None:
        """Load the champion by its alias, as anybody would, and let it read.

        Raises:
            ModelError: it does not load, or what it reads are no probabilities.
        """
        number = self.registry.alias(CHAMPION)
        with fetched(self.registry, number) as folder:
            read = predict_in_subprocess(folder, [EXAMPLE, ""], self.params.threads, self.params.promote.seconds)
        for name, variable in {"label": read.label, **read.concepts}.items():
            for row in variable["probabilities"]:
                if not math.isclose(sum(row), 1, abs_tol=1e-3):
                    raise ModelError(f"version {number} gives {name!r} probabilities that add up to {sum(row)}")

    def _publish(self, ledger: Ledger, run_id: str) -> None:
        """The ledger as JSON, Markdown and a page of the report: here and at the run. Its verdict: at the version."""
        folder = ledger_folder(self.workspace, ledger.challenger)
        write_json(folder / "ledger.json", ledger.to_dict())
        write_text(folder / "ledger.md", ledger.to_markdown())
        write_text(self.workspace.promotion_page, ledger_page(ledger))
        self.store.client.log_artifacts(run_id, str(folder), f"promotion/version-{ledger.challenger}")
        self.store.client.log_artifact(run_id, str(self.workspace.promotion_page), "reports")
        reasons = "; ".join(ledger.reasons)[:REASONS_LENGTH]
        self.registry.tag(ledger.challenger, {VERDICT_TAG: ledger.verdict, REASONS_TAG: reasons})
        self.store.client.set_tag(run_id, VERDICT_TAG, ledger.verdict)

    def _alone(self) -> AbstractContextManager[None]:
        """One promotion of a model at a time, among all that share this registry on this machine."""
        database = self.store.uri.removeprefix("sqlite:///")
        shared = Path(gettempdir()) / f"sparsecbm-{os.getuid()}"
        folder = Path(database).parent if database != self.store.uri else shared
        name = sha256(f"{self.store.uri} {self.registry.name}".encode()).hexdigest()[:16]
        return only_one(folder, f"promotion-{name}", f"another promotion of {self.registry.name!r} is under way")


def ledger_folder(workspace: Workspace, number: int) -> Path:
    """Where the ledger of a version lies."""
    return workspace.state / "promotion" / f"version-{number}"
