"""Settings of pruning in tests."""

from sparsecbm.base.params import Prune, read_yaml
from tests.support.tiny_pipeline import ROOT


def pruning(**changes) -> Prune:
    """Return settings: half of the weights go in three events, with few texts; all else is as in params.yaml."""
    values = {
        "sparsity": 0.5, "initial": 0.0, "schedule": "linear", "begin": 0.0, "end": 0.5, "events": 3,
        "saliency": "movement", "granularity": "unstructured", "threshold": "layer", "layers": ["*"],
        "masked_from": 0, "weights": "frozen", "concepts": "sampled", "core": 0.0, "leakage_weight": 0.0,
        "distill": 0.0, "first_scores": "magnitude", "epochs": 2, "learning_rate": 3e-3, "score_learning_rate": 3e-2,
        "gradients": 4, "gradient_batch": 2, "block": 8, "damping": 1e-10, "memory_mb": 10,
    }  # fmt: skip
    return Prune(**(read_yaml(ROOT / "params.yaml")["prune"] | values | changes))
