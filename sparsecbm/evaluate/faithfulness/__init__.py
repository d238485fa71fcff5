"""Whether explanations say what the model really does."""
