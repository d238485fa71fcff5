"""Optional packages: a command that needs a missing one says how to install it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from sparsecbm.base.errors import ConfigError

# Import name -> name, for the packages that the extra `plots` or `pipeline` installs.
PLOTS = {"matplotlib": "Matplotlib"}
PIPELINE = {
    "captum": "Captum",
    "dvc": "DVC",
    "mlflow": "MLflow",
    "pandera": "pandera",
    "PIL": "Pillow",
    "prefect": "Prefect",
}


class MissingExtraError(ConfigError):
    """A package of an extra is not installed."""

    def __init__(self, module: str) -> None:
        name, extra = (PLOTS[module], "plots") if module in PLOTS else (PIPELINE[module], "pipeline")
        super().__init__(f"this command needs {name}, which is not installed; pip install 'sparsecbm[{extra}]'")


def require(*modules: str) -> None:
    """Check that packages are installed, without importing them; for code that uses them in a subprocess.

    Raises:
        MissingExtraError: a package is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module)


@contextmanager
def missing_extras_explained() -> Iterator[None]:
    """Turn a failed import of an optional package in the block into a clear error.

    Raises:
        MissingExtraError: an import in the block failed because a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in PLOTS | PIPELINE:
            raise
        raise MissingExtraError(module) from error
