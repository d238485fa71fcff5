"""The sources of data, each a function from its settings to a `SourceTable`."""
