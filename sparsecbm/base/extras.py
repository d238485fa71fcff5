"""Optional packages: a command that needs a missing one says how to install it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from sparsecbm.base.errors import ConfigError

# Import name -> name, for the packages that an extra installs.
PLOTS = {"matplotlib": "Matplotlib"}
PIPELINE = {
    "captum": "Captum",
    "cleanlab": "cleanlab",
    "dvc": "DVC",
    "mlflow": "MLflow",
    "pandera": "pandera",
    "PIL": "Pillow",
    "prefect": "Prefect",
}
ANNOTATE = {
    "openai": "the OpenAI client",
    "stamina": "stamina",
    "aiolimiter": "aiolimiter",
    "genai_prices": "genai-prices",
    "crowdkit": "crowd-kit",
}
SERVE = {"fastapi": "FastAPI", "uvicorn": "Uvicorn", "prometheus_client": "the Prometheus client"}
ONNX = {"onnx": "ONNX", "onnxruntime": "ONNX Runtime", "onnxscript": "ONNX Script"}
OPENVINO = {"openvino": "OpenVINO", "nncf": "NNCF"}
RAY = {"ray": "Ray", "prefect_ray": "prefect-ray"}
REDACTION = {"presidio_analyzer": "Presidio", "spacy": "spaCy"}
EXTRAS = {
    "plots": PLOTS,
    "pipeline": PIPELINE,
    "annotate": ANNOTATE,
    "onnx": ONNX,
    "openvino": OPENVINO,
    "ray": RAY,
    "redaction": REDACTION,
    "serve": SERVE,
}


class MissingExtraError(ConfigError):
    """A package of an extra is not installed."""

    def __init__(self, module: str) -> None:
        extra = next(extra for extra, modules in EXTRAS.items() if module in modules)
        name = EXTRAS[extra][module]
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
        if not any(module in modules for modules in EXTRAS.values()):
            raise
        raise MissingExtraError(module) from error
