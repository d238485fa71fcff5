"""Files as tables of cells: what a file holds, and what is wrong with it, whoever wrote it."""
