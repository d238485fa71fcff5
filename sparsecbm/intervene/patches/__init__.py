"""Mask patches: how they are found, applied, removed and judged."""
