"""The saliencies that a configuration can name."""

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.prune.saliency import fisher_diagonal, magnitude, movement, obert, random
from sparsecbm.prune.saliency.base import Saliency

SALIENCIES = {
    "obert": Saliency(obert.score, needs_gradients=True),
    "fisher_diagonal": Saliency(fisher_diagonal.score, needs_gradients=True),
    "magnitude": Saliency(magnitude.score, needs_gradients=False),
    "movement": Saliency(movement.score, needs_gradients=True),
    "random": Saliency(random.score, needs_gradients=False),
}


def saliency(name: str) -> Saliency:
    """The saliency of a name.

    Raises:
        ConfigError: there is none of that name; the message has the choices.
    """
    if name not in SALIENCIES:
        raise ConfigError(unknown("saliency", name, SALIENCIES))
    return SALIENCIES[name]
