"""How good a model is, measured on texts that it was not trained on."""
