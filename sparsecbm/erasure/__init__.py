"""Erasure of a text: from everything that a workspace keeps, with a list of what others still hold."""
