"""How notebooks show results as HTML. `sparsecbm.display` registers one function for each type of result.

Results do not import their HTML: stages only compute, so a changed card makes no stage out of date.
"""

from functools import singledispatch


@singledispatch
def fragment(value: object) -> str | None:
    """HTML to put into a page, such as a notebook; None for a type without a registered function."""
    return None


@singledispatch
def page(value: object) -> str:
    """A whole HTML page.

    Raises:
        TypeError: no function is registered for the type.
    """
    raise TypeError(f"{type(value).__name__} has no HTML page; import sparsecbm.display first")


class Rich:
    """A result that notebooks show as HTML."""

    def _repr_html_(self) -> str | None:
        return fragment(self)

    def to_html(self) -> str:
        """A self-contained page for light and dark screens. It is legible without colours, and texts are escaped."""
        return page(self)
