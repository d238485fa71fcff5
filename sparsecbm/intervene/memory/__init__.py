"""Stored corrections, and similar texts to which they apply."""
