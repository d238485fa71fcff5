"""Scores of the label and of the concepts, with baselines and intervals."""
