"""Who may use the service."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sparsecbm.base.errors import ConfigError

TOKEN = "SPARSECBM_TOKEN"
SHORTEST = 16  # characters of a token


@dataclass(frozen=True)
class AccessRules:
    """Where the service listens, by which names clients know it, and the token that they need.

    Attributes:
        host: address to listen at
        hosts: further host names in requests, besides 127.0.0.1 and localhost
        token: empty if none is needed
    """

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(
        cls, host: str, port: int, hosts: Sequence[str], environment: Mapping[str, str]
    ) -> "AccessRules":
        """Return the rules, with the token that SPARSECBM_TOKEN holds.

        Raises:
            ConfigError: the token is too short or not plain, or other machines would need none.
        """
        token = environment.get(TOKEN, "")
        if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
            raise ConfigError(f"{TOKEN} must have at least {SHORTEST} plain characters without blanks")
        if not token and not is_loopback(host):
            raise ConfigError(f"--host {host} is open to other machines, so clients need a token: set {TOKEN}")
        return cls(host, port, tuple(hosts), token)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
