"""A page that is older than what others did meanwhile."""

from sparsecbm.base.errors import SparseCBMError


class StaleError(SparseCBMError):
    """Somebody acted since the page was made, so what it sends is not stored."""
