"""Batches of texts of similar length, for inference."""

from collections.abc import Sequence


def batch_by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of row numbers, longest rows first, for inference, where the order does not matter."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
