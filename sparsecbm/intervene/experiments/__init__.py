"""What interventions achieve: trials, curves, policies, the verdict."""
