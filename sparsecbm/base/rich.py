"""How results show themselves as HTML, kept apart from the results: `sparsecbm.display` registers one function a type.

A stage of the pipeline computes results and never shows them, so a changed card makes no stage out of date.
"""

from functools import singledispatch


@singledispatch
def fragment(value: object) -> str | None:
    """HTML to be put into a page, such as a notebook; None for a type without a registered function."""
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
        """A self-contained page: light and dark, legible without colours; texts are escaped."""
        return page(self)
