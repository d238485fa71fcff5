"""Pruning: saliencies, schedules and the choice of what to drop."""
