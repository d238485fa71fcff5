"""Plots of a run as pictures inside a page."""

import base64
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sparsecbm.base.errors import DataError

# What a plot shows, in words: its caption, and its text for people who cannot see it. A key is the stage and the
# file's name, or the name's beginning up to the first dash, where a split follows. The order is that of the page.
CAPTIONS = {
    "annotate/confusion": "States that people gave, in rows, and those of the machines together, in columns",
    "annotate/calibration": "How often people agree with the machines together, by the machines' confidence",
    "finetune/curves": "Fine-tuning: loss by update, and validation accuracy by epoch; a line marks the kept epoch",
    "prune/curves": "Search for masks: sparsity, loss and validation accuracy by update",
    "prune/swap": "Accuracy of each concept's trained head under the mask of each concept",
    "prune/probe": "Accuracy of a fresh probe for each concept under the mask of each concept",
    "prune/overlap": "Overlap of the masks of two concepts (Jaccard), and what chance would give",
    "prune/exclusive": "Share of the weights that one concept alone keeps, by layer",
    "prune/density": "Share of the weights that each concept's mask keeps, by layer",
    "explain/faithfulness": "Lead of each method over matched random attributions, with its interval",
    "explain/effects": "Effect of each state on each class of the label",
    "explain/effects-hard": "The same effects through the label head for one-hot concepts",
    "explain/calibration": "Accuracy of each concept by its confidence",
    "explain/waterfall": "One text: from the mean training text to its label, concept by concept",
    "explain/heads": "Share of the weights of each attention head that each concept's mask keeps",
    "explain/heads-exclusive": "Share of the weights of each attention head that one concept alone keeps",
    "intervene/policies": "Label accuracy by number of edited concepts, in the order of each policy",
    "intervene/people": "The same with a person who sometimes errs",
    "intervene/patches": "Patches of masks: bits flipped, and correct predictions that they harm",
    "intervene/memory": "Corrections recalled for similar texts, by threshold",
    "evaluate/accuracy": "Accuracy of the label and each concept with its interval, next to majority and bag of words",
    "evaluate/confusion": "Confusions of the label and each concept: annotated (gold) in rows, predicted in columns",
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
    """Every PNG of one stage's folder, in the order of `CAPTIONS` and then by name; none if there is no folder.

    Raises:
        DataError: a file is not a picture; the message names it.
    """
    ranks = {name: rank for rank, name in enumerate(CAPTIONS)}
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: (ranks.get(_kind(path), len(ranks)), path.name))
    return [_read_plot(path) for path in paths]


def _read_plot(path: Path) -> Plot:
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        raise DataError(f"{path} is not a readable PNG; run the stage `report` again") from None
    return Plot(path.stem, base64.b64encode(path.read_bytes()).decode("ascii"), width, height, _caption(path))


def _kind(path: Path) -> str:
    """The key of a plot in `CAPTIONS`, if it has one."""
    name = f"{path.parent.name}/{path.stem}"
    return name if name in CAPTIONS else name.partition("-")[0]


def _caption(path: Path) -> str:
    kind = _kind(path)
    if kind not in CAPTIONS:
        return path.stem.replace("-", " ").replace("_", " ").capitalize()
    split = f"{path.parent.name}/{path.stem}".removeprefix(kind).removeprefix("-")
    return f"{CAPTIONS[kind]}. Split {split}" if split else CAPTIONS[kind]
