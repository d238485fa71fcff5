"""Whether explanations say what the model does."""
