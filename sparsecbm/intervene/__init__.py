"""What a person does about a wrong prediction: set a concept, or flip bits of its mask, and see what else changes."""
