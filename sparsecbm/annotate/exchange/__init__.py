"""Decisions of people to and from other tools: Label Studio and spreadsheets."""
