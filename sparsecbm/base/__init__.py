"""What every layer uses and what uses none of them: names, errors, files, metrics, the typed configuration."""
