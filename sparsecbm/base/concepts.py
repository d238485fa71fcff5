"""Named concepts with named states, and the label that is computed from them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsecbm.base.errors import ConfigError, unknown

DEFAULT_STATES = ("Negative", "Positive", "unknown")
RESERVED = ("label", "mean")  # metrics use these names for other things


@dataclass(frozen=True)
class Concept:
    """A named variable with named states in a fixed order. The label is one, too.

    Raises:
        ConfigError: the name is empty, or the states are fewer than two, not texts, empty or repeated.
    """

    name: str
    states: tuple[str, ...] = DEFAULT_STATES

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ConfigError(f"a concept needs a name, a text that is not empty; got {self.name!r}")
        if isinstance(self.states, str):
            raise ConfigError(f"concept {self.name!r} needs a list of states, not the text {self.states!r}")
        for state in self.states:
            if not isinstance(state, str) or not state:
                raise ConfigError(
                    f"concept {self.name!r} has the state {state!r}; a state is a text that is not empty, such as "
                    f"{str(state) or 'unknown'!r}"
                )
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
        """The index of a state, from 0.

        Raises:
            ConfigError: unknown state; the message lists the choices.
        """
        try:
            return self.states.index(state)
        except ValueError:
            raise ConfigError(unknown(f"state of {self.name!r}", state, self.states)) from None


@dataclass(frozen=True)
class ConceptSet:
    """The concepts of a task, in order, and the label that is computed from them.

    A task whose concepts are not defined yet has none. Only the black box (mode `standard`) can learn it.

    Raises:
        ConfigError: a name is repeated or reserved.
    """

    concepts: tuple[Concept, ...]
    label: Concept

    def __post_init__(self) -> None:
        names = [concept.name for concept in self.concepts]
        if len(set(names)) != len(names):
            raise ConfigError(f"a concept is named twice: {names}")
        for name in RESERVED:
            if name in names:
                raise ConfigError(f"a concept cannot be named {name!r}: metrics use that name; rename it")

    @classmethod
    def of(cls, label: tuple[str, Sequence[str]], concepts: Mapping[str, Sequence[str] | None]) -> "ConceptSet":
        """A concept set from plain names and states. A concept whose states are None has the default ones.

        >>> ConceptSet.of(label=("stars", ["1", "2"]), concepts={"food": None, "noise": ["loud", "quiet"]}).names
        ('food', 'noise')
        """
        name, states = label
        return cls(
            tuple(Concept(n, DEFAULT_STATES if s is None else _as_tuple(s)) for n, s in concepts.items()),
            Concept(name, _as_tuple(states)),
        )

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

    def without(self, names: Collection[str]) -> "ConceptSet":
        """The same task without some concepts."""
        return ConceptSet(tuple(concept for concept in self.concepts if concept.name not in names), self.label)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, as `concepts.json` holds it."""
        return {
            "label": {"name": self.label.name, "states": list(self.label.states)},
            "concepts": [{"name": c.name, "states": list(c.states)} for c in self.concepts],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "ConceptSet":
        """Inverse of `to_dict`."""
        label = plain["label"]
        return cls(
            tuple(Concept(c["name"], tuple(c["states"])) for c in plain["concepts"]),
            Concept(label["name"], tuple(label["states"])),
        )


def _as_tuple(states: Sequence[str]) -> tuple[str, ...]:
    """A bare text is one state, not its letters; `Concept` refuses a single state."""
    return (states,) if isinstance(states, str) else tuple(states)
