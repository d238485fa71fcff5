"""IMDB-C: film reviews with eight concepts, with labels by people or by a language model."""

from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import ImdbSource
from sparsecbm.data.source_table import HUMAN, SourceTable, canonical, require_columns
from sparsecbm.data.sources.readers import existing_folder, file_entry, read_rows

CONCEPTS = ConceptSet(
    tuple(
        Concept(name)
        for name in (
            "acting",
            "storyline",
            "emotional arousal",
            "cinematography",
            "soundtrack",
            "directing",
            "background setting",
            "editing",
        )
    ),
    Concept("sentiment", ("Negative", "Positive")),
)
LICENCE = "not stated by the release; the texts are from the Large Movie Review Dataset"
MACHINE = "machine"

# The release holds Windows-1252 punctuation as control characters U+0080 to U+009F.
_PUNCTUATION = {byte: bytes([byte]).decode("cp1252", errors="ignore") or " " for byte in range(0x80, 0xA0)}


def clean(text: str) -> str:
    """The text with line ends for HTML line breaks, and with the Windows-1252 punctuation restored."""
    lines = text.translate(_PUNCTUATION).replace("<br />", "\n").split("\n")
    return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)


def load_imdb(source: ImdbSource, root: Path) -> SourceTable:
    """Load the CSV files with the chosen kind of labels.

    Raises:
        DataError: none of the files is there, or one is broken.
    """
    folder = existing_folder(root, source.path)
    names = {split: f"IMDB-{split}-{source.labels}.csv" for split in ("train", "dev")}
    present = {split: name for split, name in names.items() if (folder / name).is_file()}
    if not present:
        raise DataError(f"{folder} holds none of {', '.join(names.values())}; set source.path to the released files")
    labeller = HUMAN if source.labels == "manual" else MACHINE
    frames, files = [], []
    for split, name in present.items():
        rows = read_rows(folder / name)
        require_columns(list(rows.columns), ["review", "sentiment", *CONCEPTS.names], name, "Take the released file.")
        frame = pd.DataFrame({"text": rows["review"].map(clean, na_action="ignore"), "label": rows["sentiment"]})
        for concept in CONCEPTS.names:
            frame[f"concept.{concept}"] = rows[concept]
            frame[f"source.{concept}"] = rows[concept].notna().map({True: labeller, False: "blank"})
        numbers = range(1, len(rows) + 1)
        ids = [f"{split}-{source.labels}-{number:04d}" for number in numbers]
        frames.append(frame.assign(id=ids, file=name, row=numbers, split=split))
        files.append(file_entry(folder / name, len(rows)))
    frame = canonical(pd.concat(frames, ignore_index=True), CONCEPTS)
    return SourceTable(frame, CONCEPTS, source.name, LICENCE, tuple(files), names["train"])
