"""The pages about a run: its data, its results, and every plot in them."""
