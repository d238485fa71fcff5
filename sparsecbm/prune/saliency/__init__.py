"""Saliencies: what each weight is worth to a concept, one file each under one interface."""
