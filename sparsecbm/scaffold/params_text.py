"""The first `params.yaml` of a workspace: the template's, with the block `source` and the bounds for its table."""

import io
import re

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from sparsecbm.base.params import TableSource
from sparsecbm.base.params.source import Mapping

_SOURCE = re.compile(r"^source:\n(?:[ #].*\n)*", re.MULTILINE)
_ACCURACY_BOUND = re.compile(r"(\{kind: score,.*\.accuracy, bound: )[0-9.]+(,)")
_NO_CONCEPTS = """\
    concepts: {}              # of concepts that people labelled: NAME: {column: COLUMN, states: [STATE, STATE]};
                              # concepts.yaml defines those that are still to be labelled
"""


def fill_params(template: str, source: TableSource) -> str:
    """The text of the template with another block `source`, and bounds of accuracies that fit any data.

    The template's bounds are those of the embedded reviews; a new model must at least be right more often than the
    commonest state is. All other lines and comments stay.

    Raises:
        ValueError: the template has no block `source`, or no bound of an accuracy.
    """
    filled, sources = _SOURCE.subn(lambda _: _source_block(source), template, count=1)
    filled, bounds = _ACCURACY_BOUND.subn(r"\1majority\2", filled)
    if not (sources and bounds):
        raise ValueError("the template of params.yaml lacks the block `source` or the bounds of accuracies")
    return filled


def _source_block(source: TableSource) -> str:
    plain = {"name": source.name, "path": source.path}
    form = source.format.model_dump(exclude_defaults=True)
    block = {**plain, **({"format": form} if form else {}), "columns": _columns(source.columns)}
    yaml = YAML()
    yaml.width = 4096
    stream = io.StringIO()
    yaml.dump({"source": block}, stream)
    concepts = "" if source.columns.concepts else _NO_CONCEPTS
    return stream.getvalue() + concepts


def _columns(columns: Mapping) -> dict[str, object]:
    plain: dict[str, object] = {"text": columns.text, "label": columns.label, "labels": _on_a_line(columns.labels)}
    plain |= {key: getattr(columns, key) for key in ("id", "group", "split") if getattr(columns, key)}
    if columns.concepts:
        plain["concepts"] = {
            name: {"column": concept.column, "states": _on_a_line(concept.states)}
            for name, concept in columns.concepts.items()
        }
    return plain


def _on_a_line(states: tuple[str, ...] | None) -> CommentedSeq:
    sequence = CommentedSeq(states or ())
    sequence.fa.set_flow_style()
    return sequence
