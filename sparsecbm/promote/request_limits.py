"""Limits of one request to a served model, so that no client takes its time and memory from the others.

They hold where MLflow serves the model. A program that loads the model itself may predict any number of texts.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from sparsecbm.base.errors import ConfigError

PREFIX = "SPARSECBM_"  # of the environment variables, such as SPARSECBM_MAX_TEXTS
SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # MLflow sets it to `true` in its server
CHUNK = 128  # texts that are predicted at once
LARGE = 128  # a request of more texts gives its memory back to the system


@dataclass(frozen=True)
class RequestLimits:
    """The most that one request may ask for.

    Attributes:
        max_texts: number of texts
        max_characters: of each text
        max_bytes: of all texts together, in UTF-8
        max_explained: number of texts with `explain: full`, which takes some hundred times as long as a prediction
    """

    max_texts: int = 500
    max_characters: int = 20_000
    max_bytes: int = 2_000_000
    max_explained: int = 8

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "RequestLimits":
        """Return the limits, some of them replaced by environment variables.

        Raises:
            ConfigError: a variable is no whole number above 0.
        """
        return cls(**whole_numbers([field.name for field in fields(cls)], environment))

    def check(self, texts: Sequence[str], explained: bool) -> None:
        """Check the texts of a request.

        Raises:
            ConfigError: they are too many or too long; names the limit and its environment variable.
        """
        limit = self.max_explained if explained else self.max_texts
        if len(texts) > limit:
            name, kind = ("EXPLAINED", " with `explain: full`") if explained else ("TEXTS", "")
            raise ConfigError(f"a request may hold {limit} texts{kind}, not {len(texts)}; {_advice(name)}")
        for number, text in enumerate(texts, start=1):
            if len(text) > self.max_characters:
                raise ConfigError(
                    f"row {number} has {len(text)} characters, and {self.max_characters} are allowed; the model reads "
                    f"only the first words; {_advice('CHARACTERS')}"
                )
        size = sum(len(text.encode()) for text in texts)
        if size > self.max_bytes:
            raise ConfigError(f"the texts of a request may take {self.max_bytes} bytes, not {size}; {_advice('BYTES')}")


def whole_numbers(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, int]:
    """Whole numbers above 0 that environment variables give: `max_texts` by SPARSECBM_MAX_TEXTS.

    Raises:
        ConfigError: a variable is no such number.
    """
    given = {}
    for name in names:
        variable = f"{PREFIX}{name.upper()}"
        if variable in environment:
            value = environment[variable]
            if not (value.isascii() and value.isdigit() and 0 < len(value) <= 12 and int(value)):
                raise ConfigError(f"{variable} must be a whole number above 0, not {value[:40]!r}")
            given[name] = int(value)
    return given


def is_served() -> bool:
    """Whether MLflow serves the model in this process."""
    return os.environ.get(SERVED, "").lower() == "true"


def is_unicode(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Parts of the texts, each small enough that its tokens and activations take little memory."""
    return (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))


def release_memory() -> None:
    """Give freed memory back to the system, which the allocator of glibc otherwise keeps for later requests."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _advice(name: str) -> str:
    return f"send several requests, or start the server with a larger {PREFIX}MAX_{name}"
