"""Who says which state a text has."""
