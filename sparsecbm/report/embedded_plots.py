"""Plots that stages wrote, as pictures inside a page."""

import base64
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sparsecbm.base.errors import DataError

# What a plot shows, in words, for those who cannot see it and as its caption: by stage and the file's name, or its
# beginning up to the first dash (what follows is a split).
CAPTIONS = {
    "finetune/curves": "Fine-tuning: loss by update, and validation accuracy by epoch; the kept epoch is marked",
    "prune/curves": "Search for masks: sparsity, loss and validation accuracy by update",
    "prune/density": "Share of the weights that each concept's mask keeps, by block and its parts",
    "prune/overlap": "How much the masks of two concepts share (Jaccard), and what chance would give",
    "prune/swap": "Accuracy of each concept's trained head under the mask of each concept",
    "prune/probe": "Accuracy of a fresh probe for each concept under the mask of each concept",
    "explain/effects": "What each state does to each class of the label",
    "explain/effects-hard": "The same through the label head for plain states",
    "explain/calibration": "How often a concept is what it was read as, by how sure the model was",
    "explain/waterfall": "One text: from the mean training text to its label, concept by concept",
    "explain/heads": "Share of the weights of each attention head that each concept's mask keeps",
    "explain/faithfulness": "How far each method is ahead of matched random attributions, with its interval",
    "intervene/policies": "Accuracy by number of concepts edited, in the order of each policy",
    "intervene/people": "The same where the person who edits errs at times",
    "intervene/patches": "Patches of masks: bits flipped, and right readings that they spoil",
    "intervene/memory": "Corrections recalled for similar texts, by threshold",
    "evaluate/accuracy": "Accuracy of the label and each concept with its interval, beside majority and bag of words",
    "evaluate/confusion": "Confusions of the label and each concept: gold in rows, read in columns",
}


@dataclass(frozen=True)
class Plot:
    """One PNG: the name of its file, its bytes in base64, its size in pixels, and what it shows."""

    name: str
    data: str
    width: int
    height: int
    caption: str


def read_plots(folder: Path) -> list[Plot]:
    """Every PNG of one stage's folder, by name; none if there is no folder.

    Raises:
        DataError: a file is no picture; names it.
    """
    return [_read(path) for path in sorted(Path(folder).glob("*.png"))]


def _read(path: Path) -> Plot:
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        raise DataError(f"{path} is not a readable PNG; run the stage {path.parent.name!r} again") from None
    return Plot(path.stem, base64.b64encode(path.read_bytes()).decode("ascii"), width, height, _caption(path))


def _caption(path: Path) -> str:
    name = f"{path.parent.name}/{path.stem}"
    if name in CAPTIONS:
        return CAPTIONS[name]
    kind, _, rest = name.partition("-")
    if kind in CAPTIONS:
        return f"{CAPTIONS[kind]}. Split {rest}"
    return path.stem.replace("-", " ").replace("_", " ").capitalize()
