"""The workbench: a local web page on which people read, correct and label texts. It extends the online service."""
