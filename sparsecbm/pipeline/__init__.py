"""The graph of stages: order, keys, locks, configuration, verification."""
