"""How good a model and its explanations are, measured on texts that the model was not trained on."""
