"""Annotators: who gives the concept labels of a text."""
