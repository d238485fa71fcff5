"""Drift: how new texts differ from those that a model was judged on, and which part of the model that breaks."""
