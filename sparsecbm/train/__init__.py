"""Training of the dense model: examples, losses, the loop, checkpoints and the training modes."""
