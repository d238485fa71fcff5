"""What every layer uses: concepts, errors, files, metrics and the typed configuration. It imports no other layer."""
