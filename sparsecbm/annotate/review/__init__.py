"""The review queue: which cells people label next, and what their labels buy."""
