"""Addresses of servers and databases: taken apart in one place, whatever characters a password holds."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from sparsecbm.base.errors import ConfigError

HTTP = ("http", "https")
LOCAL = ("sqlite", "file")  # paths, which have no users
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?=//|$|[^\\])")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:@/?#\[\]]*)(?::(\d*))?")
_ENCODE = "write / as %2F, ? as %3F, # as %23 and @ as %40 in a user or password"


class AddressError(ConfigError):
    """An address cannot be taken apart. The message holds no part of it that may be secret."""


@dataclass(frozen=True)
class Address:
    """The parts of an address.

    Attributes:
        scheme: lower case, without the driver: `postgresql` of `postgresql+psycopg2://`; empty for a plain path
        user, password: decoded; None without one
        host: host name; empty without one
        port: None without one
        uri: the whole address in the form that every library understands: user and password are percent-encoded
        bare: the same without user and password
    """

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    uri: str
    bare: str


def parse_address(text: str) -> Address:
    """Take an address apart.

    A password may hold `@`, `:` and, unless the address can be understood in two ways, `/`, `?` and `#`.

    Raises:
        AddressError: a server's address holds blanks or control characters, has no host or a wrong port, or has two
            meanings.
    """
    head, separator, rest = text.partition("://")
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    kind = scheme.partition("+")[0]
    if not separator or not match or match[1] != head or kind in LOCAL:
        return Address(kind, None, None, "", None, text, text)
    if any(character.isspace() or not character.isprintable() for character in text):
        raise AddressError("the address holds blanks or control characters; write a blank as %20")
    userinfo, tail = _split(rest, kind in HTTP)
    end = _end_of_host(tail)
    host, path = tail[:end], tail[end:]
    found = _HOST.fullmatch(host)
    if found is None or not (found[2] is None or found[2] == "" or 0 < int(found[2][:6]) < 65536):
        raise AddressError(f"the address has no valid host and port after {head}://; {_ENCODE}")
    if kind in HTTP and not found[1]:
        raise AddressError(f"the address has no host after {head}://")
    if kind in HTTP and "?" in path:
        raise AddressError(
            "the address of an MLflow server has no query (?...); give a token by MLFLOW_TRACKING_TOKEN, "
            "a user and a password by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    user, password = _credentials(userinfo)
    encoded = _encoded(user, password, kind in HTTP)
    port = int(found[2]) if found[2] else None
    name = scheme if scheme in HTTP else head
    return Address(kind, user, password, found[1], port, f"{name}://{encoded}{tail}", f"{name}://{tail}")


def user_info(address: str) -> str:
    """All that may be user and password in an address, up to its last `@`; empty if there is nothing of that kind.

    An `@` in a path counts only after a colon: `http://example.org/a@b` names no user.
    """
    head, separator, rest = address.partition("://")
    if not separator or head.lower().partition("+")[0] in LOCAL:
        return ""
    secret = rest.rpartition("@")[0]
    return secret if ":" in secret or "@" in rest[: _end_of_host(rest)] else ""


def _split(rest: str, http: bool) -> tuple[str | None, str]:
    """User and password, and what follows; None without them."""
    end = _end_of_host(rest)
    authority, later = rest[:end], rest[end:]
    if http:
        if "@" not in later:
            userinfo, at, host = authority.rpartition("@")
            return (userinfo if at else None), host + later
        found = _HOST.fullmatch(authority)
        if "@" in authority or ":" not in authority or found is not None:
            raise AddressError(f"the address can be understood in two ways; {_ENCODE}")
        return _split_at_last(rest)
    before, mark, query = rest.partition("?")
    if "@" in before:
        userinfo, _, tail = before.rpartition("@")
        return userinfo, tail + mark + query
    if "@" in query and ":" in authority and _HOST.fullmatch(authority) is None:
        return _split_at_last(rest)
    return None, rest


def _split_at_last(rest: str) -> tuple[str, str]:
    """What stands before the last `@`, and what follows it."""
    userinfo, _, tail = rest.rpartition("@")
    return userinfo, tail


def _end_of_host(rest: str) -> int:
    """Where host and port end in an address without its scheme."""
    return next((index for index, character in enumerate(rest) if character in "/?#"), len(rest))


def _credentials(userinfo: str | None) -> tuple[str | None, str | None]:
    """User and password, decoded; None without one."""
    if userinfo is None:
        return None, None
    user, colon, password = userinfo.partition(":")
    return unquote(user), unquote(password) if colon else None


def _encoded(user: str | None, password: str | None, http: bool) -> str:
    if user is None:
        return ""
    # `requests` takes a user without a password for no user.
    colon = f":{quote(password or '', safe='')}" if password is not None or http else ""
    return f"{quote(user, safe='')}{colon}@"
