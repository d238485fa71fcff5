"""Prefect for the pipeline: tasks, services, the clone of scheduled runs, and what a flow shows."""
