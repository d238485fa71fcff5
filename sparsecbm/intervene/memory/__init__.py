"""Stored corrections, and the similar texts to which they apply."""
