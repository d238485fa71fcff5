"""Texts of any number: read in a stream, predicted in parts, written as one table a part."""
