"""What interventions achieve: trials of patches, curves of edits, policies, and the verdict."""
