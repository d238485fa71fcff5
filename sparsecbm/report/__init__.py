"""The pages: validation, and the whole run."""
