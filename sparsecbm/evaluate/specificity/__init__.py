"""Whether a concept's mask matters to that concept more than to others."""
