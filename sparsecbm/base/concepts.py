"""The vocabulary of everything: named concepts with named states, and the label they lead to."""

from collections.abc import Iterator
from dataclasses import dataclass

from sparsecbm.base.errors import ConfigError, unknown

DEFAULT_STATES = ("Negative", "Positive", "unknown")
RESERVED = ("label", "mean")  # names that metrics give to other things


@dataclass(frozen=True)
class Concept:
    """One named variable and its named states, in a fixed order. The label is one, too.

    Raises:
        ConfigError: fewer than two states, or a state named twice.
    """

    name: str
    states: tuple[str, ...] = DEFAULT_STATES

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a concept needs a name")
        if len(self.states) < 2:
            raise ConfigError(
                f"concept {self.name!r} has {len(self.states)} state(s): {list(self.states)}; "
                "a concept needs at least two, or there is nothing to predict"
            )
        if len(set(self.states)) != len(self.states):
            raise ConfigError(f"concept {self.name!r} names a state twice: {list(self.states)}")

    def __len__(self) -> int:
        return len(self.states)

    def index(self, state: str) -> int:
        """Position of a state; an unknown one is an error that lists the choices."""
        try:
            return self.states.index(state)
        except ValueError:
            raise ConfigError(unknown(f"state of {self.name!r}", state, self.states)) from None


@dataclass(frozen=True)
class ConceptSet:
    """The concepts of a task, in order, and the label that is computed from them."""

    concepts: tuple[Concept, ...]
    label: Concept

    def __post_init__(self) -> None:
        names = [concept.name for concept in self.concepts]
        if not names:
            raise ConfigError("a concept set needs at least one concept")
        if len(set(names)) != len(names):
            raise ConfigError(f"a concept is named twice: {names}")
        for name in RESERVED:
            if name in names:
                raise ConfigError(f"a concept cannot be named {name!r}: metrics use that name; rename it")

    def __len__(self) -> int:
        return len(self.concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __getitem__(self, name: str) -> Concept:
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise ConfigError(unknown("concept", name, self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Concept names, in order."""
        return tuple(concept.name for concept in self.concepts)

    def to_dict(self) -> dict:
        """Plain form, as `concepts.json` holds it."""
        return {
            "label": {"name": self.label.name, "states": list(self.label.states)},
            "concepts": [{"name": c.name, "states": list(c.states)} for c in self.concepts],
        }

    @classmethod
    def from_dict(cls, plain: dict) -> "ConceptSet":
        """Inverse of `to_dict`."""
        label = plain["label"]
        return cls(
            tuple(Concept(c["name"], tuple(c["states"])) for c in plain["concepts"]),
            Concept(label["name"], tuple(label["states"])),
        )
