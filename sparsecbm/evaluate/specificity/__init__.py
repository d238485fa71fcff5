"""Whether a concept's mask matters more to that concept than to others."""
