"""What commands print: tables, and plain words under them. Without colours if NO_COLOR is set."""
