"""The public Python interface: train, prune, predict, explain, correct, on data frames and without a pipeline."""

from sparsecbm.api.model import SparseCBM
from sparsecbm.api.options import FitOptions, PatchSettings, TrainOptions
from sparsecbm.api.training import fit, prune

__all__ = ["FitOptions", "PatchSettings", "SparseCBM", "TrainOptions", "fit", "prune"]
