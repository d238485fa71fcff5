"""Causal effects of concepts, estimated and compared with counterfactual texts."""
