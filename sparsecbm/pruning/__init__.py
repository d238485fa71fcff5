"""Pruning: saliencies, schedules, the choice of masks, and the training under them."""
