"""Saved models looked at and compared. No stage depends on it, so a change here makes no training out of date."""
