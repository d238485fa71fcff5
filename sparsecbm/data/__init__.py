"""Sources, schemas, splits and the validation of tables."""
