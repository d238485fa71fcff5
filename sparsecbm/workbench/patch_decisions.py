"""Decisions on patches: approved by another person than the one who asked, rejected, taken back.

The journal is what counts: the folder of approved patches follows it, also after a crash between both.
"""

import threading
from collections.abc import Mapping
from typing import Any

from sparsecbm.base.errors import ConfigError
from sparsecbm.workbench.journal import Journal
from sparsecbm.workbench.patch_jobs import PatchJob, PatchJobs
from sparsecbm.workbench.stale import StaleError

VERDICTS = {"approve": "Approved", "reject": "Rejected", "withdraw": "Taken back"}

Entry = dict[str, Any]


class PatchDecisions:
    """The decisions on the patches of one workspace."""

    def __init__(self, jobs: PatchJobs, journal: Journal) -> None:
        self._jobs, self._journal = jobs, journal
        self._turn = threading.Lock()

    def standing(self) -> Mapping[str, Entry]:
        """Id of a patch -> the entry of the journal that counts now. Approved files follow.

        Raises:
            DataError: the journal was changed.
        """
        decided = {entry["patch"]: entry for entry in self._journal.entries() if entry["action"] in VERDICTS}
        self._jobs.set_approved([name for name, entry in decided.items() if entry["action"] == "approve"])
        return decided

    def decide(self, job: PatchJob, action: str, author: str, reason: str, seen: str | None) -> None:
        """Note a decision. The same decision by the same person twice counts once.

        Args:
            action: one of `VERDICTS`
            reason: needed to reject
            seen: number of the entry that the page showed as the decision, "" for none; None is not compared

        Raises:
            ConfigError: the patch is not made, its author wants to approve it, there is nothing to take back, or a
                reason is missing.
            StaleError: somebody decided since the page was made.
            DataError: the journal cannot be written.
        """
        with self._turn:
            standing = self.standing().get(job.request.id)
            if standing is not None and (standing["action"], standing["by"]) == (action, author):
                return
            if seen is not None and seen != ("" if standing is None else str(standing["number"])):
                now = "" if standing is None else f" ({VERDICTS[standing['action']].lower()} by {standing['by']})"
                raise StaleError(f"the decision changed since you opened this page{now}; reload it, and decide again")
            self._journal.append(action, author, **_facts(job, action, author, reason, standing))
            self.standing()


def _facts(job: PatchJob, action: str, author: str, reason: str, standing: Entry | None) -> Entry:
    """What the journal keeps of a decision that is allowed."""
    facts: Entry = {"patch": job.request.id}
    if action == "withdraw":
        if standing is None or standing["action"] != "approve":
            raise ConfigError("nobody has approved this patch, so there is no approval to take back")
        return facts
    if job.patch is None:
        raise ConfigError(f"this patch is {job.state}, so nobody can decide on it")
    if action == "approve":
        if author == job.request.author:
            raise ConfigError(f"{author} asked for this patch; somebody else has to approve it")
        return {**facts, "id": job.patch.id, "bits": job.patch.bits}
    if not reason:
        raise ConfigError("give a reason, so that others need not guess")
    return {**facts, "reason": reason}
