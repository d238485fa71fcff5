"""Scores of a model on a split: label, concepts, leakage, baselines, intervals."""
