"""Causal effects of concepts: estimates by explainers, compared with counterfactual texts."""
