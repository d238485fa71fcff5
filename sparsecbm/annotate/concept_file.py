"""`concepts.yaml`: the concepts that people and machines label, with a definition of each state."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from sparsecbm.base.concepts import Concept
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import write_text
from sparsecbm.base.params.messages import explain_faults
from sparsecbm.base.params.section import Section
from sparsecbm.base.terminal_text import visible
from sparsecbm.base.yaml_reader import read_yaml


@dataclass(frozen=True)
class ConceptDefinition:
    """One concept, as a person or a machine reads it.

    Attributes:
        name: of the concept
        description: what the concept is about, in one sentence
        states: state -> what a text says that has this state; the order is that of the concept's states
        examples: pairs of a text and its state
    """

    name: str
    description: str
    states: dict[str, str]
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def concept(self) -> Concept:
        """The name and the states."""
        return Concept(self.name, tuple(self.states))

    @property
    def hash(self) -> str:
        """Twelve hex digits over all that a machine is told; another definition needs other labels."""
        told = [self.name, self.description, list(self.states.items()), self.examples]
        return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ConceptFile:
    """The content of `concepts.yaml`.

    Attributes:
        task: what the texts are, in one sentence, such as "Reviews of restaurants"
        concepts: in order
    """

    task: str
    concepts: tuple[ConceptDefinition, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(concept.name for concept in self.concepts)

    @property
    def hashes(self) -> dict[str, str]:
        """Concept -> hash of its definition."""
        return {concept.name: concept.hash for concept in self.concepts}


class _Example(Section):
    text: str
    state: str


class _Concept(Section):
    description: str = ""
    states: dict[str, str] = Field(min_length=2)
    examples: tuple[_Example, ...] = ()


class _File(Section):
    task: str = ""
    concepts: dict[str, _Concept] = Field(default={})


def read_concept_file(path: Path) -> ConceptFile:
    """Read and check a file of concepts.

    Raises:
        ConfigError: the file is missing or no YAML, a key is unknown, a state has no definition, or an example has an
            unknown state. The message names the key.
    """
    plain = read_yaml(path)
    try:
        checked = _File.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(explain_faults(error, str(path), _File)) from None
    faults = []
    concepts = []
    for name, entry in checked.concepts.items():
        for state, definition in entry.states.items():
            if not definition.strip():
                faults.append(f"concepts.{name}.states.{state}: say in a sentence when a text has this state")
        for number, example in enumerate(entry.examples, start=1):
            if example.state not in entry.states:
                choices = ", ".join(entry.states)
                faults.append(
                    f"concepts.{name}.examples, number {number}: state {example.state!r} is none of {choices}"
                )
        examples = tuple((example.text, example.state) for example in entry.examples)
        concepts.append(ConceptDefinition(name, entry.description, dict(entry.states), examples))
        try:
            Concept(name, tuple(entry.states))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(f"{path} is not valid:\n" + "\n".join(f"  {fault}" for fault in faults))
    return ConceptFile(checked.task, tuple(concepts))


def plain_concepts(file: ConceptFile) -> dict:
    """The content as YAML holds it; empty parts are left out."""
    concepts = {}
    for definition in file.concepts:
        entry: dict = {"description": definition.description} if definition.description else {}
        entry["states"] = dict(definition.states)
        if definition.examples:
            entry["examples"] = [{"text": text, "state": state} for text, state in definition.examples]
        concepts[definition.name] = entry
    return {"task": file.task, "concepts": concepts}


def write_concept_file(
    path: Path, file: ConceptFile, comment: str = "", notes: Mapping[str, str] | None = None
) -> None:
    """Write a file of concepts, atomically.

    Args:
        comment: lines for the reader, which go to the head of the file
        notes: name of a concept -> lines for the reader, which go above it
    """
    yaml = YAML()
    yaml.width = 100
    yaml.allow_unicode = True
    plain = plain_concepts(file)
    plain["concepts"] = CommentedMap(plain["concepts"])
    for name, note in (notes or {}).items():
        plain["concepts"].yaml_set_comment_before_after_key(name, before=visible(note), indent=2)
    stream = io.StringIO()
    yaml.dump(plain, stream)
    head = "".join(f"# {line}\n".replace("# \n", "#\n") for line in visible(comment).splitlines())
    write_text(path, head + stream.getvalue())
