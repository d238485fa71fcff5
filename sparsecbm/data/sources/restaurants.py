"""The embedded data set: restaurant reviews with edits, four concepts and a rating."""

from pathlib import Path

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.params import RestaurantsSource
from sparsecbm.data.source_table import SourceTable, canonical, require_columns
from sparsecbm.data.sources.readers import existing_folder, file_entry, read_rows

CONCEPTS = ConceptSet(
    tuple(Concept(name) for name in ("food", "service", "ambiance", "noise")),
    Concept("rating", ("1", "2", "3", "4", "5")),
)
FILE = "reviews.csv"


def load_restaurants(source: RestaurantsSource, root: Path) -> SourceTable:
    """Load `reviews.csv`, which has splits of its own."""
    path = existing_folder(root, source.path) / FILE
    rows = read_rows(path)
    names = {"id": "id", "text": "text", "rating": "label", "original_id": "group", "edit_type": "edit_type"}
    names |= {"split": "split"}
    names |= {name: f"concept.{name}" for name in CONCEPTS.names}
    names |= {f"cluster_{name}": f"cluster.{name}" for name in CONCEPTS.names}
    require_columns(list(rows.columns), list(names), FILE, "Take the file as the project ships it.")
    frame = rows[list(names)].rename(columns=names)
    frame = frame.assign(file=FILE, row=range(1, len(rows) + 1))
    files = (file_entry(path, len(rows)),)
    return SourceTable(canonical(frame, CONCEPTS), CONCEPTS, source.name, "Apache-2.0", files, FILE)
