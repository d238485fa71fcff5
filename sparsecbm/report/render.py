"""Self-contained HTML pages from templates: a page needs no other file and no network."""

from collections.abc import Callable, Mapping

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(
    template: str,
    *,
    loader: BaseLoader | None = None,
    filters: Mapping[str, Callable] | None = None,
    **values: object,
) -> str:
    """Fill a template of this package. All values are escaped, and a missing value is an error.

    Args:
        loader: finds templates of other packages that the template imports
        filters: those that the imported templates need
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("sparsecbm", "report"), *([] if loader is None else [loader])]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters.update(filters or {})
    return environment.get_template(template).render(**values)
