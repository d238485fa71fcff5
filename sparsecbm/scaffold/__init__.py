"""New workspaces: the template, its first state, and its renewal by another version of the package."""
