"""Self-contained HTML pages: templates of this package, no file or host beside them."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: object) -> str:
    """Fill a template of this package; everything in it is escaped, and a name it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("sparsecbm", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share, digits=1: f"{share:.{digits}%}"
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment.get_template(template).render(**values)
