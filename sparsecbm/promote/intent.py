"""The intent of an operation on the aliases: stored before the operation starts, cleared at its end."""

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.promote.history import Aliases, first_fault
from sparsecbm.promote.record_texts import recordable, user_name


class IntentUnreadableError(SparseCBMError):
    """The registry holds an intent that is none."""


@dataclass(frozen=True)
class Decision:
    """The grounds of an operation.

    Attributes:
        verdict: of the gates; empty if no gate ran
        reason: free text
        forced: whether the operation goes against the verdict
        ledger: sha256 of the ledger; empty without one
    """

    verdict: str = ""
    reason: str = ""
    forced: bool = False
    ledger: str = ""


@dataclass(frozen=True)
class Intent:
    """An operation that moves aliases, or would.

    Attributes:
        action: promote | rollback; refusals use the same form, but are never stored as an intent
        version: the version that becomes the champion
        before, after: versions with the aliases `champion` and `previous`
        why: the grounds
        by: user name; it is looked up before anything moves
        operation: id
    """

    action: Literal["promote", "rollback"]
    version: Annotated[int, Field(ge=1, lt=2**31)]
    before: Aliases
    after: Aliases
    why: Decision
    by: str = field(default_factory=user_name)
    operation: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_json(self) -> str:
        """The form that the registry keeps."""
        plain = asdict(self)
        plain["why"]["reason"] = recordable(self.why.reason)
        return json.dumps(plain, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Intent":
        """Inverse of `to_json`.

        Raises:
            IntentUnreadableError: the text is no intent.
        """
        try:
            return _INTENT.validate_json(text, strict=True)
        except (ValidationError, UnicodeEncodeError) as error:
            raise IntentUnreadableError(
                f"the note of an unfinished operation is unreadable: {first_fault(error)}"
            ) from None


_INTENT = TypeAdapter(Intent)
