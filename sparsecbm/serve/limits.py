"""Limits of the service, so that no client takes its time and memory from the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sparsecbm.promote.request_limits import RequestLimits, whole_numbers


@dataclass(frozen=True)
class ServiceLimits:
    """The most that the service accepts at once. Environment variables replace them, such as SPARSECBM_MAX_QUEUED.

    Attributes:
        request: of one request
        max_queued: texts that wait or are being answered; a text to explain counts as 32
        max_tokens: of one forward pass, padding included
        max_body: bytes of a body
        body_seconds: until a body has arrived
        answer_seconds: until a request is answered
        rate: requests of one client in a second, with bursts of twice as many; None for any number
    """

    request: RequestLimits = field(default_factory=RequestLimits)
    max_queued: int = 2_000
    max_tokens: int = 4_096
    max_body: int = 4_000_000
    body_seconds: int = 10
    answer_seconds: int = 60
    rate: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServiceLimits":
        """Return the limits, some of them replaced by environment variables.

        Raises:
            ConfigError: a variable is no whole number above 0.
        """
        names = [each.name for each in fields(cls) if each.name != "request"]
        return cls(RequestLimits.from_environment(environment), **whole_numbers(names, environment))
