"""Training of the dense bottleneck: examples, loss, loop, checkpoints, modes."""
