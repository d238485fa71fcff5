"""Concepts that the texts themselves suggest, and checks of a file of concepts."""
