"""Terminal output of the commands: tables and short texts; no colours if NO_COLOR is set."""
