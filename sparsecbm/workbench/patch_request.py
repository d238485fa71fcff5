"""What a person asks of a patch on the page, in a file of its own."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params.intervene import Intervene
from sparsecbm.intervene.patches.bits import bit_budget
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.model.cbm import ConceptBottleneck

# Titles of the fields of the page. Messages name them.
BITS, HARM, SHARE = "Bits, at most", "Harm, at most", "Texts to fix, at least"
TITLES = {"bits": BITS, "max_harm": HARM, "min_fixed": SHARE}
MOST_BITS = 1_000_000
ID = 12  # characters of an id


@dataclass(frozen=True)
class PatchLimits:
    """What a patch may cost, and what it must reach; None takes the value of the workspace.

    Attributes:
        bits: that it may flip
        max_harm: share of the concept's right predictions that it may harm
        min_fixed_share: share of the texts that must get the state
    """

    bits: int | None = None
    max_harm: float | None = None
    min_fixed_share: float = 1.0

    @classmethod
    def of_form(cls, fields: Mapping[str, str]) -> "PatchLimits":
        """Read the limits that a form gives; shares are in percent there.

        Raises:
            ConfigError: one is no number, or out of range; names the field.
        """
        bits = _number(fields, "bits", BITS, 2, MOST_BITS)
        if bits is not None and bits != int(bits):
            raise ConfigError(f"“{BITS}” is {bits:g}; it must be a whole number")
        harm, fixed = _number(fields, "max_harm", HARM, 0, 100), _number(fields, "min_fixed", SHARE, 1, 100)
        return cls(
            None if bits is None else int(bits),
            None if harm is None else harm / 100,
            1.0 if fixed is None else fixed / 100,
        )

    def options(self, model: ConceptBottleneck, settings: Intervene) -> PatchOptions:
        """The options of the search.

        Raises:
            InterventionError: the model is dense.
        """
        return PatchOptions(
            budget=bit_budget(model, settings.max_flipped_share) if self.bits is None else self.bits,
            margin=settings.margin,
            min_fixed_share=self.min_fixed_share,
            max_harm=settings.max_harm if self.max_harm is None else self.max_harm,
        )


@dataclass(frozen=True)
class PatchRequest:
    """What a person wants: that the model reads a state of a concept in some texts.

    Attributes:
        id: name of the folder of its job
        at: time, in ISO 8601
    """

    texts: tuple[str, ...]
    concept: str
    state: str
    author: str
    reason: str
    limits: PatchLimits = field(default_factory=PatchLimits)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:ID])
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def save(self, path: Path) -> None:
        """Write a file; it appears whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "PatchRequest":
        """Read a file that `save` wrote.

        Raises:
            DataError: it is missing or no JSON.
        """
        plain = read_json(path)
        return cls(**{**plain, "texts": tuple(plain["texts"]), "limits": PatchLimits(**plain["limits"])})


def _number(fields: Mapping[str, str], name: str, title: str, least: float, most: float) -> float | None:
    given = fields.get(name, "").strip().removesuffix("%").strip()
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise ConfigError(f"“{title}” is {given[:20]!r}; it must be a number from {least:g} to {most:g}")
    return value
