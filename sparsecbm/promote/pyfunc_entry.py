"""The file that MLflow runs to get the registered model (models from code)."""

from mlflow.models import set_model

from sparsecbm.promote.pyfunc_model import PyfuncModel

set_model(PyfuncModel())
