"""Parameters for plans in tests."""

from sparsecbm.base.params import Params, load_params
from tests.support.project import ROOT


def params_with(**prune) -> Params:
    """Return the parameters of params.yaml with other ones of `prune`."""
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"prune": params.prune.model_copy(update=prune)})
