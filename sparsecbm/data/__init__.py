"""Sources, splits, schemas and the validation of tables."""
