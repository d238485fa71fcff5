"""Annotators that learn from the labels of people."""
