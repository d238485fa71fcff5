"""What the routes of one application share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from sparsecbm.base.errors import ConfigError
from sparsecbm.serve.batcher import Answered, Batcher
from sparsecbm.serve.faults import TooLargeError
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.questions import Question
from sparsecbm.serve.telemetry import Telemetry


@dataclass(frozen=True)
class Service:
    """The queue in front of the model, limits, figures, and where corrections are kept."""

    batcher: Batcher
    limits: ServiceLimits
    telemetry: Telemetry
    corrections: Path

    def check(self, texts: Sequence[str], explained: bool = False) -> None:
        """Check the texts of a request.

        Raises:
            TooLargeError: they are too many or too long.
        """
        try:
            self.limits.request.check(texts, explained)
        except ConfigError as error:
            raise TooLargeError(str(error)) from None

    async def answer(self, request: Request, question: Question) -> Answered:
        """Answer a question, and note for the log how many texts it had and which version answered.

        Raises:
            TooLargeError, BusyError, LateError, SparseCBMError: as `check` and `Batcher.ask`.
        """
        request.state.facts["texts"] = len(question.texts)
        self.check(question.texts, question.explains)
        answered = await self.batcher.ask(question)
        request.state.facts["version"] = answered.version.version
        return answered


def service_of(request: Request) -> Service:
    """The service of the application that received a request."""
    service: Service = request.app.state.service
    return service
