"""Self-contained HTML pages: templates of this package, no file or host beside them."""

from collections.abc import Callable, Mapping

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(
    template: str,
    *,
    loader: BaseLoader | None = None,
    filters: Mapping[str, Callable] | None = None,
    **values: object,
) -> str:
    """Fill a template of this package; everything in it is escaped, and a name it lacks is an error.

    Args:
        loader: of templates elsewhere that the template takes in
        filters: that those need
    """
    own = PackageLoader("sparsecbm", "report")
    environment = Environment(
        loader=own if loader is None else ChoiceLoader([own, loader]),
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
