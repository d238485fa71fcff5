"""The online service: predictions, explanations and interventions over HTTP."""
