"""What a training will need, said before anything runs: memory by stage, disk and time."""
