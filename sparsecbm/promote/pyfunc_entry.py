"""The script that MLflow runs to create the registered model (MLflow's "models from code")."""

from mlflow.models import set_model

from sparsecbm.promote.pyfunc_model import PyfuncModel

set_model(PyfuncModel())
