"""Where the language model is: its address, its name and the key, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.redaction import HIDDEN, redacted

URL, MODEL, KEY = "SPARSECBM_LLM_URL", "SPARSECBM_LLM_MODEL", "SPARSECBM_LLM_KEY"
OPENAI_URL, OPENAI_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"


@dataclass(frozen=True)
class Endpoint:
    """A model behind an address.

    Attributes:
        url: base address, such as https://example.org/v1
        model: name of the model there
        key: None where the server asks for none. It is not shown when the endpoint is printed
    """

    url: str
    model: str
    key: SecretStr | None = None

    def hide_secrets(self, text: str) -> str:
        """A text without the key, for messages; servers repeat what they were sent."""
        if self.key is not None:
            text = text.replace(self.key.get_secret_value(), HIDDEN)
        return redacted(text)


def read_endpoint(environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that the environment names.

    `SPARSECBM_LLM_URL`, `SPARSECBM_LLM_MODEL` and `SPARSECBM_LLM_KEY` name it. Without the first, `OPENAI_BASE_URL` and
    `OPENAI_API_KEY` count; that key is never sent to another address.

    Raises:
        ConfigError: there is no address or no model, or the address is none of a server.
    """
    address, key = environment.get(URL, "").strip(), environment.get(KEY, "").strip()
    name = URL
    if not address:
        name, address = OPENAI_URL, environment.get(OPENAI_URL, "").strip()
        key = key or environment.get(OPENAI_KEY, "").strip()
    if not address:
        raise ConfigError(
            f"no endpoint for the annotator llm; name its address by {URL}, such as http://127.0.0.1:8080/v1, the "
            f"model by {MODEL} and, if it needs one, the key by {KEY}"
        )
    model = environment.get(MODEL, "").strip()
    if not model:
        raise ConfigError(f"no model for the annotator llm; name it by {MODEL}")
    return Endpoint(_checked_address(address, name), model, SecretStr(key) if key else None)


def _checked_address(address: str, name: str) -> str:
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in address):
        raise ConfigError(f"{name} is no address of a server; it must look like http://127.0.0.1:8080/v1")
    if "@" in parts.netloc:
        raise ConfigError(f"{name} holds a user or password; give the key by {KEY}")
    if parts.query or parts.fragment:
        raise ConfigError(f"{name} must end before ? and #; give the key by {KEY}")
    return address.rstrip("/")
