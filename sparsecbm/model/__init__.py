"""The network: backbone, masks, heads, and the model on disk."""
