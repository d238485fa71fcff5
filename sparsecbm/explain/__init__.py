"""Why a model predicts what it predicts: words, subnetworks, concepts."""
