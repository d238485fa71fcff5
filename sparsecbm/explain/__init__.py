"""Why a model reads a text as it does: words, subnetworks, concepts."""
