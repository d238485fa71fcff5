"""The file that MLflow runs to get the registered model (models from code)."""

from mlflow.models import set_model

from sparsecbm.promote.service import Service

set_model(Service())
